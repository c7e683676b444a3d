"""A server whose predictions are made by hand."""

import threading
import time
from pathlib import Path

import pytest

from autoseg.serving.api import Api, create_app
from autoseg.serving.jobs import Jobs
from autoseg.serving.metrics import Metrics
from autoseg.serving.settings import Label, Limits, ModelDescription, ServerOptions
from autoseg.serving.worker import Engine, Outcome, Status

testclient = pytest.importorskip("starlette.testclient")  # warns about httpx

TOKEN = "0123456789abcdef"
MODEL = ModelDescription(num_axes=3, channels=("CT",), labels=(Label(name="liver", value=7),))
UPLOAD = {"files": ("patient_0815.nii.gz", b"voxels")}
WAIT = "/v1/jobs?wait=true"


class FakeEngine(Engine):
    """Answers with the uploaded bytes, after a gate was opened."""

    @property
    def is_ready(self):
        return True

    def __init__(self):
        self.gate, self.began = threading.Event(), threading.Event()
        self.gate.set()
        self.outcome = None
        self.paths = []

    def run(self, task, on_status, stop):
        self.paths.append(task.given.paths)
        on_status(Status("tile 1 of 2"))
        on_status(Status("the voxels are larger", is_warning=True))
        self.began.set()
        while not self.gate.wait(0.01):
            if request := stop():
                return Outcome(reason=request.reason, message=request.message)
        if self.outcome is not None:
            return self.outcome
        for name in ("", "statistics", "preview"):
            (task.folder / name).mkdir(parents=True, exist_ok=True)
        path = task.folder / f"case{task.outputs.ending or '.nii.gz'}"
        source = task.given.paths[0]
        path.write_bytes(source.read_bytes() if source.is_file() else b"of a folder")
        (task.folder / "statistics" / "case.json").write_text('{"volume": 3}')
        (task.folder / "preview" / "case.png").write_bytes(b"picture")
        return Outcome((path,), "case")


class Server:
    def __init__(self, folder: Path, root: Path | None = None, **limits):
        self.engine, self.lines, metrics = FakeEngine(), [], Metrics()
        self.folder = folder
        chosen = Limits(**limits)
        self.jobs = Jobs(self.engine, folder, chosen, metrics.count_job)
        metrics.watch(self.jobs)
        options = ServerOptions("127.0.0.1", 0, TOKEN, root, folder, chosen)
        app = create_app(Api(self.jobs, MODEL, options, metrics), self.lines.append)
        self.client = testclient.TestClient(app, headers={"authorization": f"Bearer {TOKEN}"})

    def upload(self, query="", files=UPLOAD):
        return self.client.post(f"/v1/jobs{query}", files=files)

    def state(self, identity):
        return self.client.get(f"/v1/jobs/{identity}").json()

    def ended(self, identity):
        for _ in range(500):
            if (found := self.state(identity))["state"] in ("done", "failed"):
                return found
            time.sleep(0.01)
        raise AssertionError(found)
