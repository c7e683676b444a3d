"""Kill a training with SIGKILL at three random moments; compare it with one left alone.

Run it as `python docs/benchmarks/kill_and_resume.py DATASET [STEPS]`, after which it prints the
SHA-256 of both trainings' weights and learning curves. The dataset is planned in a temporary
folder; checkpoints are written every second, so that the kills fall between and into them.
"""

import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KILLS = 3
LATEST_SECONDS = 4.0
SEED = 5


def train(work: Path, dataset: str, steps: int) -> subprocess.Popen[bytes]:
    """Start a training in a process of its own."""
    command = ["autoseg", "train", dataset, "--work", str(work), "--iterations", str(steps)]
    options = ["--device", "cpu", "--checkpoint-every", "1s"]
    return subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a training's end, which must be a good one."""
    if process.wait() != 0:
        sys.exit(f"a training failed with exit status {process.returncode}")


def wait_for_checkpoint(work: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has written a checkpoint of its own."""
    started = time.time()
    while process.poll() is None:
        found = list(work.glob("models/*/fold_0/checkpoint.safetensors"))
        if found and found[0].stat().st_mtime > started:
            return
        time.sleep(0.02)
    sys.exit("the training ended before its first checkpoint; give it more steps")


def digest(work: Path) -> tuple[str, str]:
    """Return the hashes of the weights and of the learning curve without its times."""
    (weights,) = work.glob("models/*/fold_0/weights.safetensors")
    lines = (weights.parent / "log.jsonl").read_text().splitlines()
    curve = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
    return (
        hashlib.sha256(weights.read_bytes()).hexdigest()[:16],
        hashlib.sha256(json.dumps(curve).encode()).hexdigest()[:16],
    )


def main() -> None:
    """Run both trainings and print their hashes."""
    dataset, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    moments = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        subprocess.run(
            ["autoseg", "plan", dataset, "--work", str(whole)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        shutil.copytree(whole, killed)
        finish(train(whole, dataset, steps))
        for _ in range(KILLS):
            process = train(killed, dataset, steps)
            wait_for_checkpoint(killed, process)
            time.sleep(moments.uniform(0, LATEST_SECONDS))
            process.kill()
            print(f"killed, exit status {process.wait()}")
        finish(train(killed, dataset, steps))
        print("uninterrupted:", *digest(whole))
        print("killed       :", *digest(killed))


if __name__ == "__main__":
    main()
