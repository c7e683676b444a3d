"""Load test of `autoseg serve`: lost or mixed-up answers, memory, and time against the Python API.

python docs/benchmarks/serving.py MODEL.autoseg FOLDER_OF_IMAGES --requests 1000
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections import Counter
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import httpx
import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # noqa: TID251  (as the command does)

from autoseg import Predictor
from autoseg.readers import read_labels

TOKEN = "token-of-the-load-test"
CLIENTS, NUM_IMAGES, PAIRS = 8, 8, 40
MEMORY_AT = 100


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process, and of all processes below it, in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    own = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(each) for path in tasks for each in path.read_text().split()]
    return own + sum(map(rss_mb, children))


def bad_uploads() -> list[tuple[str, bytes]]:
    """Return files that must be refused."""
    traversal, bomb = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(traversal, "w") as archive:
        archive.writestr("../../evil.nii.gz", b"x")
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.nii", bytes(20_000_000))
    return [
        ("text.nii.gz", b"not an image"),
        ("unknown.txt", b"text"),
        ("evil.zip", traversal.getvalue()),
        ("bomb.zip", bomb.getvalue()),
        ("broken.png", b"\x89PNG\r\n\x1a\n" + bytes(50)),
    ]


class Load:
    """Requests of several clients, and the faults that they found."""

    def __init__(self, url: str, images: list[Path], expected: list[np.ndarray], pid: int) -> None:
        self.url, self.images, self.expected, self.pid = url, images, expected, pid
        self.seconds: list[float] = []
        self.found: Counter[str] = Counter()
        self.memory: dict[int, float] = {}
        self.numbers, self.lock = count(1), threading.Lock()

    def client(self) -> httpx.Client:
        """Return a client with the token."""
        headers = {"authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=600)

    def request(self, client: httpx.Client, image: int) -> tuple[float, bool]:
        """Segment an image; return the seconds, and whether the answer is the known one."""
        content, name = self.images[image].read_bytes(), self.images[image].name
        started = perf_counter()
        answer = client.post("/v1/jobs?wait=true", files={"files": (name, content)})
        seconds = perf_counter() - started
        if answer.status_code != 200:
            return seconds, False
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "labels.nii.gz"
            path.write_bytes(answer.content)
            return seconds, np.array_equal(read_labels(path).values, self.expected[image])

    def run(self, total: int) -> None:
        """Send requests from several clients until there were enough; every tenth one is bad."""
        threads = [threading.Thread(target=self._work, args=(total,)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, total: int) -> None:
        bad = bad_uploads()
        with self.client() as client:
            while (number := next(self.numbers)) <= total:
                if number % 10 == 0:
                    name, content = bad[number // 10 % len(bad)]
                    url = "/v1/jobs?wait=true"
                    status = client.post(url, files={"files": (name, content)}).status_code
                    is_refused = status in (413, 422)
                    outcome = "bad, refused" if is_refused else f"bad, but answered {status}"
                else:
                    seconds, is_right = self.request(client, number % len(self.images))
                    outcome = "right" if is_right else "wrong or lost"
                    self.seconds.append(seconds)
                with self.lock:
                    self.found[outcome] += 1
                    done = sum(self.found.values())
                    if done in (MEMORY_AT, total):
                        self.memory[done] = rss_mb(self.pid)


def percentiles(seconds: list[float]) -> str:
    """Return median and 95th percentile as cells of a table."""
    cuts = quantiles(seconds, n=20)
    return f"{cuts[9]:.3f} s | {cuts[18]:.3f} s"


def compare(load: Load, predictor: Predictor, out: Path) -> None:
    """Print the times of single requests and of the Python API, measured in turns."""
    api, http = [], []
    with load.client() as client:
        load.request(client, 0)
        for number in range(PAIRS):
            image = number % len(load.images)
            started = perf_counter()
            predictor.segment(load.images[image]).save(out)
            api.append(perf_counter() - started)
            http.append(load.request(client, image)[0])
    ratio = quantiles(http, n=20)[18] / quantiles(api, n=20)[18]
    print(f"| Python | {percentiles(api)} |\n| HTTP, one client | {percentiles(http)} |")
    ratios = [one / other for one, other in zip(http, api, strict=True)]
    print(f"ratio of the 95th percentiles: {ratio:.2f}", f"median ratio: {median(ratios):.2f}")


def main() -> None:
    """Start a server, and print times, answers and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--requests", type=int, default=1000)
    given = parser.parse_args()
    images = sorted(given.images.glob("[!.]*.nii.gz"))[:NUM_IMAGES]
    predictor = Predictor(given.model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        out, expected = Path(folder) / "labels.nii.gz", []
        for image in images:
            predictor.segment(image).save(out)
            expected.append(read_labels(out).values)
        command = [sys.executable, "-c", "from autoseg.cli import main; main()", "serve"]
        options = ["--port", "0", "--token", TOKEN, "--temporary", folder, "--device", "cpu"]
        options += ["--max-unpacked-mb", "10"]
        with subprocess.Popen(
            [*command, str(given.model), *options], stdout=subprocess.PIPE, text=True
        ) as server:
            url = server.stdout.readline().split()[0]
            threading.Thread(target=server.stdout.read, daemon=True).start()
            load = Load(url, images, expected, server.pid)
            compare(load, predictor, out)
            load.run(given.requests)
            server.terminate()
            status = server.wait(timeout=60)
    print(f"| HTTP, {CLIENTS} clients | {percentiles(load.seconds)} |\nanswers: {dict(load.found)}")
    memory = ", ".join(f"{mb:.0f} MB after {done}" for done, mb in sorted(load.memory.items()))
    print(f"memory of the server: {memory}; exit status {status}")


if __name__ == "__main__":
    main()
