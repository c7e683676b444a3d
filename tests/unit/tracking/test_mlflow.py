"""A server of MLflow on SQLite, in a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from trackers import described

from autoseg.tracking.base import Metrics
from autoseg.tracking.mlflow import Mlflow, valid_name
from autoseg.tracking.tracked import Tracking, tracked

mlflow = pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    stores = ["--backend-store-uri", f"sqlite:///{folder}/db"]
    stores += ["--artifacts-destination", str(folder / "files")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--port", port, *stores],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def train(tracker: Mlflow, folder: Path, steps: range, *files: Path, **changes: object) -> str:
    folder.mkdir(exist_ok=True)
    run = described(folder, **changes)
    with tracked(Tracking((tracker,)), run, pytest.fail) as started:
        started.wait()
        for step in steps:
            started.log(Metrics(step, {"loss/training": 1 / step, "pseudo_dice/a<b": 0.5}))
        if files:
            started.finish(Metrics(steps[-1], {"dice/liver": 0.9}), files)
        started.wait()
        return started.ids["mlflow"]


def test_a_run_and_its_children_are_on_the_server(server: str, tmp_path: Path) -> None:
    tracker = Mlflow(uri=server)
    report = tmp_path / "report.json"
    report.write_text("{}")
    many = {f"parameter_{number}": "1" * 600 for number in range(120)}
    parent = train(tracker, tmp_path / "run", range(0), parameters=many)
    child = train(
        tracker, tmp_path / "fold", range(1, 4), report, parents={"mlflow": parent}, name="fold 0"
    )
    client = mlflow.MlflowClient(server)
    found = client.get_run(child)
    assert found.data.tags["mlflow.parentRunId"] == parent
    assert found.data.params == {"batch_size": "2", "loss.kind": "dice_ce"}
    assert found.info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(child)] == ["report.json"]
    assert len(client.get_run(parent).data.params) == 120
    assert found.data.tags.keys() == {"host", "mlflow.parentRunId", "mlflow.runName"}


def test_a_resumed_training_continues_its_run(server: str, tmp_path: Path) -> None:
    tracker = Mlflow(uri=server)
    first = train(tracker, tmp_path / "fold", range(1, 4))
    assert train(tracker, tmp_path / "fold", range(1, 6)) == first
    history = mlflow.MlflowClient(server).get_metric_history(first, "loss/training")
    assert [entry.step for entry in history] == [1, 2, 3, 4, 5]


def test_a_deleted_run_is_replaced(server: str, tmp_path: Path) -> None:
    tracker = Mlflow(uri=server)
    first = train(tracker, tmp_path / "fold", range(1, 3))
    mlflow.MlflowClient(server).delete_run(first)
    second = train(tracker, tmp_path / "fold", range(1, 3))
    history = mlflow.MlflowClient(server).get_metric_history(second, "loss/training")
    assert [entry.step for entry in history] == [1, 2]


def test_without_an_address_the_database_is_in_the_work_folder(tmp_path: Path) -> None:
    train(Mlflow(), tmp_path / "work", range(1, 3))
    assert (tmp_path / "work" / "mlflow.db").is_file()


def test_a_server_that_refuses_leads_to_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    warnings: list[str] = []
    tracker = Mlflow(uri="http://127.0.0.1:9")
    with tracked(Tracking((tracker,)), described(tmp_path), warnings.append) as run:
        run.log(Metrics(1, {"loss": 1.0}))
        run.wait()
    (warning,) = warnings
    assert warning.startswith("warning: mlflow failed (")


def test_passwords_are_not_recorded() -> None:
    assert Mlflow(uri="https://me:secret@host:1/path?token=x").address == "https://host:1/path"


def test_names_that_mlflow_rejects_stay_different() -> None:
    assert valid_name("dice/Lunge (links)") == "dice/Lunge _28_links_29_"
    assert valid_name("a<b") != valid_name("a>b")
