"""A real server: its answers equal those of Python, and it stops without losing the job."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK
from dicom_files import save, slices
from fakes import save_model, tiny_configuration, tiny_plan
from synthetic import balls, write_volume

from autoseg.stages.predict.predictor import Predictor

TOKEN = "0123456789abcdef"
WAIT = "/v1/jobs?wait=true"
FLIPPED = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], dtype=float)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    configuration = tiny_configuration((8, 8, 8))
    plan = tiny_plan(configuration, axis_order=(0, 1, 2))
    return save_model(folder / "work", plan, configuration, (0,))


class Running:
    """A server in a process of its own."""

    def __init__(self, model: Path, folder: Path) -> None:
        command = [sys.executable, "-c", "from autoseg.cli import main; main()", "serve"]
        options = ["--port", "0", "--token", TOKEN, "--temporary", str(folder), "--device", "cpu"]
        self.process = subprocess.Popen(
            [*command, str(model), *options], stdout=subprocess.PIPE, text=True
        )
        url = next(line for line in self.process.stdout if line.startswith("http")).split()[0]
        headers = {"authorization": f"Bearer {TOKEN}"}
        self.client = httpx.Client(base_url=url, headers=headers, timeout=120)

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)
        self.client.close()


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    running = Running(model, tmp_path_factory.mktemp("server"))
    yield running
    running.close()


def turned(folder: Path) -> Path:
    voxels, _ = balls(np.random.default_rng(0), (12, 20, 16))
    path = folder / "turned.nii.gz"
    write_volume(voxels, path, spacing=(1.0, 2.0, 1.0), origin=(5, -3, 7), direction=FLIPPED)
    return path


def assert_equal(served: bytes, model: Path, image: Path, folder: Path) -> None:
    """Check voxels and geometry of a label map against those of Python."""
    (folder / "served.nii.gz").write_bytes(served)
    Predictor(model, device="cpu").segment(image).save(folder / "own.nii.gz")
    ours, theirs = (
        SimpleITK.ReadImage(str(folder / f"{name}.nii.gz")) for name in ("own", "served")
    )
    arrays = [SimpleITK.GetArrayFromImage(each) for each in (ours, theirs)]
    np.testing.assert_array_equal(*arrays)
    assert len(np.unique(arrays[0])) > 1
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(ours, name)() == getattr(theirs, name)()


def test_a_label_map_equals_that_of_python(server, model, tmp_path):
    path = turned(tmp_path)
    answer = server.client.post(WAIT, files={"files": (path.name, path.read_bytes())})
    assert answer.status_code == 200
    assert_equal(answer.content, model, path, tmp_path)


def test_a_dicom_series_in_a_zip_file_is_segmented(server, model, tmp_path):
    voxels, _ = balls(np.random.default_rng(0), (12, 20, 16))
    files = save(slices((voxels * 100).clip(0).astype(np.uint16)), tmp_path / "series")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in files:
            archive.write(file, f"study/{file.name}")
    url = f"{WAIT}&format=nii.gz"
    answer = server.client.post(url, files={"files": ("series.zip", buffer.getvalue())})
    assert answer.status_code == 200, answer.text
    assert_equal(answer.content, model, files[0], tmp_path)


def test_a_damaged_image_is_refused_without_the_path_of_the_server(server):
    answer = server.client.post(WAIT, files={"files": ("a.nii.gz", b"damaged")})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("a.nii.gz cannot be read")


def test_a_killed_worker_is_replaced(server, model, tmp_path):
    tasks = Path(f"/proc/{server.process.pid}/task")
    if not tasks.is_dir():
        pytest.skip("the processes of the server are found on Linux only")
    for pid in _descendants(server.process.pid):
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
            while _is_running(pid):
                time.sleep(0.01)
    path = turned(tmp_path)
    answer = server.client.post(WAIT, files={"files": (path.name, path.read_bytes())})
    assert answer.status_code == 200, answer.text
    assert_equal(answer.content, model, path, tmp_path)


def test_the_server_finishes_its_job_and_exits_without_an_error(server, model, tmp_path):
    path, answers = turned(tmp_path), []

    def request():
        answers.append(server.client.post(WAIT, files={"files": (path.name, path.read_bytes())}))

    thread = threading.Thread(target=request)
    thread.start()
    while not server.client.get("/health").json()["running"] and thread.is_alive():
        pass
    server.process.send_signal(signal.SIGTERM)
    thread.join()
    assert_equal(answers[0].content, model, path, tmp_path)
    assert server.process.wait(60) == 0


def _is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def _descendants(pid: int) -> list[int]:
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(each) for path in paths for each in path.read_text().split()]
    return [*children, *(each for child in children for each in _descendants(child))]
