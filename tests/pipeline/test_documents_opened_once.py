"""A command opens each document of a work folder at most once.

The report after it is left out: it opens what it shows, as `autoseg report` does.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.commands import running, selection, training
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Plan
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.planning.planner import make_plan
from autoseg.stages.plan import plan as stage
from autoseg.stages.plan.plan import plan

OPENED_ONCE = tuple(kind.FILE_NAME for kind in (DatasetSpec, Fingerprint, Plan, Splits))


class Command:
    """Runs commands on a work folder and counts the documents that each reads."""

    def __init__(self, root: Path, dataset: Path, patch: pytest.MonkeyPatch) -> None:
        self._root, self._dataset, self._patch = root, dataset, patch

    def __call__(self, name: str, *options: object) -> Counter[str]:
        """Run a command on the dataset; return the number of reads of each file."""
        return self.without_dataset(name, self._dataset, "--work", self._root, *options)

    def without_dataset(self, *words: object) -> Counter[str]:
        counts, read_text = Counter(), store.read_text

        def counting(path: Path) -> str:
            if path.is_relative_to(self._root):
                counts[path.relative_to(self._root).as_posix()] += 1
            return read_text(path)

        with self._patch.context() as patch:
            patch.setattr(store, "read_text", counting)
            for command in (running, selection, training):
                patch.setattr(command, "save_report", lambda *_: None)
            done = CliRunner().invoke(app, [*map(str, words), "--workers", "0"])
        assert done.exit_code == 0, done.output
        return counts


def assert_opened_at_most_once(counts: Counter[str]) -> None:
    several = {name: count for name, count in counts.items() if count > 1}
    assert not [name for name in several if Path(name).name in OPENED_ONCE], several


def test_train_select_and_predict_open_each_document_once(
    planned_volumes: Workspace,
    volumes_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    root = shutil.copytree(planned_volumes.root, tmp_path / "work")
    command = Command(root, volumes_dataset, monkeypatch)
    computing = ("--device", "cpu", "--cache", tmp_path)
    training = ("--iterations", 2, *computing)

    for fold in (0, 1):
        counts = command("train", "--fold", fold, *training)
        assert_opened_at_most_once(counts)
        assert counts["dataset.json"] == counts["fingerprint.json"] == counts["plan.json"] == 1
        cases = [count for name, count in counts.items() if name.endswith("case.json")]
        assert cases == [1] * 6
    assert counts["splits.json"] == 1
    assert_opened_at_most_once(command("train", "--fold", 1, *training))
    assert_opened_at_most_once(command("train", "--fold", "all", *training))

    counts = command("select")
    assert_opened_at_most_once(counts)
    assert counts["dataset.json"] == counts["splits.json"] == 1
    assert not {"fingerprint.json", "plan.json", "cross_validation.json"} & set(counts)

    inputs, outputs = volumes_dataset / "imagesTr", tmp_path / "outputs"
    predicting = ("predict", inputs, outputs, "--model", root, *computing)
    assert max(command.without_dataset(*predicting).values()) == 1


@pytest.mark.parametrize("is_planned", [True, False])
def test_run_opens_each_document_once(
    is_planned: bool,
    volumes_dataset: Path,
    tmp_path: Path,
    shrink: Callable[..., Plan],
    monkeypatch: pytest.MonkeyPatch,
):
    dataset = shutil.copytree(volumes_dataset, tmp_path / "Task90_Balls")
    (dataset / "dataset.json").unlink()
    for path in [*(dataset / "imagesTr").iterdir(), *(dataset / "labelsTr").iterdir()]:
        if not path.name.startswith(("ball_00", "ball_01")):
            path.unlink()
    work = Workspace(tmp_path / "work")

    def make_small_plan(measured: Fingerprint, **settings: object) -> Plan:
        settings |= {"training_seconds": None}
        return shrink(make_plan(measured, **settings), (8, 16, 16))

    monkeypatch.setattr(stage, "make_plan", make_small_plan)
    monkeypatch.setattr(stage, "machine_speed", lambda *_, **__: None)
    if is_planned:
        plan(dataset, work, workers=1, progress=Silent())
    command = Command(work.root, dataset, monkeypatch)

    counts = command("run", "--budget", "4s", "--device", "cpu", "--cache", tmp_path)

    assert [counts[name] for name in OPENED_ONCE] == [int(is_planned)] * 3 + [0]
    exported = [counts[f"models/3d_compact/{name}.json"] for name in ("model", "fingerprint")]
    assert exported == [1, 1]
