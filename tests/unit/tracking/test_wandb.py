"""Weights & Biases without a server: what it stores to be sent later."""

from pathlib import Path

import pytest
from trackers import described

from autoseg.tracking.base import Metrics
from autoseg.tracking.tracked import Tracking, tracked
from autoseg.tracking.wandb import Wandb

wandb = pytest.importorskip("wandb")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


def train(folder: Path, steps: range, *files: Path) -> str:
    with tracked(Tracking((Wandb(),)), described(folder), pytest.fail) as run:
        run.wait()
        for step in steps:
            run.log(Metrics(step, {"loss/training": 1 / step}))
        if files:
            run.finish(Metrics(steps[-1], {"dice/liver": 0.9}), files)
        return run.ids["wandb"]


def stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("wandb/*/*.wandb")))


def test_values_settings_and_files_are_stored_for_sending(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("{}")
    train(tmp_path, range(1, 4), report)
    for text in (b"loss/training", b"dice/liver", b"loss.kind", b"2d, fold 0", b"nuclei"):
        assert text in stored(tmp_path)
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/report.json"))) == 1


def test_a_resumed_training_keeps_its_identifier(tmp_path: Path) -> None:
    assert train(tmp_path, range(1, 3)) == train(tmp_path, range(1, 5))


def test_neither_paths_nor_packages_nor_code_are_stored(tmp_path: Path) -> None:
    train(tmp_path, range(1, 3))
    assert str(tmp_path).encode() not in stored(tmp_path)
    files = {path.name for path in tmp_path.glob("wandb/offline-run-*/files/**/*")}
    assert not files & {"wandb-metadata.json", "requirements.txt", "output.log"}


def test_without_a_key_nobody_is_asked_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    wandb.teardown()
    warnings: list[str] = []
    with tracked(Tracking((Wandb(),)), described(tmp_path), warnings.append) as run:
        run.wait()
    wandb.teardown()
    (warning,) = warnings
    assert "wandb login" in warning
