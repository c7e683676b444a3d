"""What trackers receive of a training and a run; that they change neither."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file
from trackers import Remembering, remembering, steps

from autoseg.core.compute import Compute
from autoseg.core.errors import Interrupted, MissingPackage
from autoseg.core.progress import Progress, Silent
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.plan import Plan
from autoseg.documents.run import Run
from autoseg.documents.workspace import Workspace
from autoseg.stages.run.request import RunRequest
from autoseg.stages.run.run import run
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import TrainedFold, train
from autoseg.tracking.tensorboard import TensorBoard
from autoseg.tracking.tracked import Tracking

CPU = Compute(device="cpu", workers=0)


class Heard(Silent):
    """Keeps messages, and stops the training after an epoch."""

    def __init__(self, stop_at: str = "never") -> None:
        self.lines: list[str] = []
        self.stop_at = stop_at

    def say(self, message: str) -> None:
        self.lines.append(message)
        if message.startswith(self.stop_at):
            raise Interrupted("stopped")


def train_with(
    workspace: Workspace,
    *trackers: Remembering,
    progress: Progress | None = None,
    **changes: object,
) -> TrainedFold:
    request = TrainRequest(
        fold=0,
        length=TrainingDuration(iterations=16),
        compute=CPU,
        tracking=Tracking(trackers),
        checkpoint_seconds=0.0,
    )
    return train(workspace, replace(request, **changes), progress=progress or Silent())


def test_a_training_is_tracked_completely_without_case_names_or_paths(
    volumes_work: Workspace,
) -> None:
    tracker = remembering()
    trained = train_with(volumes_work, tracker)
    (events,), (description,) = tracker.runs.values(), tracker.descriptions.values()
    history = store.load(Run, trained.folder / Run.FILE_NAME).history
    assert steps(events) == [*(record.step for record in history), 16]
    logged = events[len(history) - 1][1]
    assert logged["loss/training"] == history[-1].training_loss
    assert logged.keys() >= {"learning_rate", "seconds_per_step", "peak_memory_gib"}
    report, names = trained.report, [name for name, _ in events if isinstance(name, str)]
    assert {f"dice/{scores.name}" for scores in report.classes} <= events[len(history)][1].keys()
    assert names == ["curves.png", "plan.json", "report.json", "overlay.png", "end"]
    sent = repr((events, {**vars(description), "folder": None, "work": None}))
    cases = [case.name for case in store.load(DatasetSpec, volumes_work.dataset).cases]
    assert not [name for name in (*cases, str(volumes_work.root)) if name in sent]
    assert description.parameters["architecture.kind"] == "unet"
    assert description.parameters["options.length.total"] == "16"
    assert description.tags.keys() == {"dataset", "autoseg", "host", "configuration", "fold"}


def test_a_resumed_training_continues_its_run(volumes_work: Workspace) -> None:
    tracker = remembering()
    with pytest.raises(Interrupted):
        train_with(volumes_work, tracker, progress=Heard(stop_at="epoch 3"))
    (events,) = tracker.runs.values()
    assert events[-1] == ("end", "stopped")
    trained = train_with(volumes_work, tracker)
    (events,) = tracker.runs.values()
    history = store.load(Run, trained.folder / Run.FILE_NAME).history
    assert steps(events) == [*(record.step for record in history), 16]


def test_a_tracker_may_be_added_to_a_finished_training(volumes_work: Workspace) -> None:
    train_with(volumes_work)
    tracker = remembering()
    for _ in range(2):
        train_with(volumes_work, tracker)
    (events,) = tracker.runs.values()
    assert steps(events) == sorted(steps(events))
    assert [name for name, _ in events].count("report.json") == 1


def test_a_retrained_fold_gets_a_new_run(volumes_work: Workspace) -> None:
    tracker = remembering()
    train_with(volumes_work, tracker)
    train_with(volumes_work, tracker, restart=True)
    assert len(tracker.runs) == 2


def test_a_failing_tracker_changes_nothing(volumes_work: Workspace, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise ConnectionError("the server is down")

    heard = Heard()
    tracked = train_with(volumes_work, remembering(on_log=fail), progress=heard)
    warnings = [line for line in heard.lines if "the server is down" in line]
    assert len(warnings) == 1
    weights = load_file(tracked.folder / "weights.safetensors")
    plain = train_with(volumes_work, restart=True)
    again = load_file(plain.folder / "weights.safetensors")
    assert all(bool((weights[name] == again[name]).all()) for name in weights)


def test_a_missing_package_is_an_error_before_the_training(
    volumes_work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TensorBoard, "module", "package_that_is_missing")
    with pytest.raises(MissingPackage, match=r"autoseg\[tensorboard\]"):
        train_with(volumes_work, TensorBoard())
    assert not volumes_work.models.exists()


def test_a_run_is_the_parent_of_its_trainings(volumes_work: Workspace) -> None:
    dataset = store.load(DatasetSpec, volumes_work.dataset).root
    name = store.load(Plan, volumes_work.plan).default_configuration
    tracker = remembering()
    request = RunRequest(
        budget_seconds=12.0, configurations=(name,), compute=CPU, trackers=(tracker,)
    )
    run(dataset, volumes_work, request, progress=Silent())
    (parent, events), *trainings = tracker.runs.items()
    assert trainings
    for child, _ in trainings:
        assert tracker.descriptions[child].parents == {"remembering": parent}
    files = dict(event for event in events if isinstance(event[0], str))
    assert files.keys() >= {"leaderboard.png", "plan.json", "report.json"}
    assert any(file.endswith(".autoseg") for file in files)
    cases = json.loads(files["report.json"])["cases"]
    assert all(re.fullmatch(r"case_\d{4}", case["name"]) for case in cases)
