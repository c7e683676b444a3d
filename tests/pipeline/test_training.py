"""Training as a whole: what it leaves behind, and that an interruption leaves no trace."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from autoseg.core.child import EndedProcess
from autoseg.core.compute import Compute
from autoseg.core.errors import CaseError, Interrupted, TrainingError
from autoseg.core.progress import Progress, Silent
from autoseg.documents import store
from autoseg.documents.model import TrainedModel
from autoseg.documents.plan import Plan, TrainingBudget
from autoseg.documents.recipe import Budget
from autoseg.documents.run import Run
from autoseg.documents.workspace import Workspace
from autoseg.models.folder import StoredModel
from autoseg.models.loader import LoadOptions, load_stored
from autoseg.planning.augmentation import augmentations_of
from autoseg.preprocessing.storage import StoredCase
from autoseg.stages import step_check
from autoseg.stages.train import train as stage
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import CHECKPOINT_NAME, TrainRequest
from autoseg.stages.train.train import train

STEPS = 16
CPU = Compute(device="cpu", workers=0)


def request(**changes: object) -> TrainRequest:
    length = TrainingDuration(iterations=STEPS)
    return TrainRequest(**{"fold": 0, "length": length, "compute": CPU} | changes)


def fold_folder(workspace: Workspace, fold: int = 0) -> Path:
    made = store.load(Plan, workspace.plan)
    return workspace.fold(made.default_configuration, fold)


def weights(workspace: Workspace) -> dict:
    return load_file(fold_folder(workspace) / "weights.safetensors")


def history_without_times(workspace: Workspace) -> list[dict]:
    lines = (fold_folder(workspace) / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def assert_same_training(first: Workspace, second: Workspace) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)
    assert history_without_times(first) == history_without_times(second)


@pytest.fixture(scope="module")
def uninterrupted(planned_volumes: Workspace, tmp_path_factory: pytest.TempPathFactory):
    root = shutil.copytree(planned_volumes.root, tmp_path_factory.mktemp("whole") / "work")
    workspace = Workspace(root)
    train(workspace, request(), progress=Silent())
    return workspace


class StopAfter(Progress):
    """Sends a signal once enough epochs have been reported: to the workers, then to this process.

    SIGKILL and SIGSEGV go to the workers alone.
    """

    def __init__(self, epochs: int, number: signal.Signals) -> None:
        self._left, self._number = epochs, number

    def say(self, message: str) -> None:
        if message.startswith("epoch "):
            self._left -= 1
            if self._left == 0:
                self._send()

    def _send(self) -> None:
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, self._number)
        is_fatal = self._number in {signal.SIGKILL, signal.SIGSEGV}
        time.sleep(10 if is_fatal else 0.2)  # the death of a worker interrupts it
        if not is_fatal:
            signal.raise_signal(self._number)

    def track(self, items, *, description, total):
        yield from items

    def status(self, line: str) -> None:
        return


def test_a_finished_fold_has_weights_record_log_picture_and_scores(uninterrupted) -> None:
    folder = fold_folder(uninterrupted)
    run = store.load(Run, folder / "run.json")
    assert run.steps == STEPS
    assert len(run.history) == len((folder / "log.jsonl").read_text().splitlines())
    assert 0 < run.predicted_memory_gib < 0.01
    # a process may use memory again that it has freed, so that nearly nothing is added
    assert sys.platform != "linux" or 0 <= run.peak_memory_gib < 2
    assert (folder / "curves.png").stat().st_size > 1000
    assert (folder / "overlay.png").stat().st_size > 1000
    report = json.loads((folder / "validation" / "evaluation.json").read_text())
    assert len(report["cases"]) == 2
    assert not report["issues"]
    files = {path.name for path in (folder / "validation").iterdir()}
    names = {case["name"] for case in report["cases"]}
    kept = {"evaluation.json", "probabilities"}
    assert files == {*kept, *(f"{name}.nii.gz" for name in names)}


def test_prediction_mirrors_where_training_did(uninterrupted) -> None:
    # the balls keep their order along every axis, so the plan mirrors none
    model = store.load(TrainedModel, fold_folder(uninterrupted).parent / "model.json")
    made = store.load(Plan, uninterrupted.plan)
    entries = made.configuration(None).recipe.augmentations
    assert [entry.axes for entry in entries if entry.kind == "mirroring"] == [()]
    assert model.mirror_axes == ()


def test_no_file_of_a_model_is_a_pickle(uninterrupted) -> None:
    kinds = {path.suffix for path in uninterrupted.models.rglob("*") if path.is_file()}
    assert kinds == {".json", ".jsonl", ".safetensors", ".png", ".gz", ".b2nd"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_ends_as_if_nothing_had_happened(
    number: signal.Signals, volumes_work: Workspace, uninterrupted: Workspace
) -> None:
    for epochs in (3, 4):
        with pytest.raises(Interrupted, match="resumes from here"):
            train(volumes_work, request(), progress=StopAfter(epochs, number))
        assert not (fold_folder(volumes_work) / "weights.safetensors").exists()
    train(volumes_work, request(), progress=Silent())
    assert_same_training(volumes_work, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_at_once_saves_too(
    number: signal.Signals, volumes_work: Workspace, uninterrupted: Workspace
) -> None:
    with pytest.raises(Interrupted, match="everything is saved"):
        train(volumes_work, request(compute=replace(CPU, workers=1)), progress=StopAfter(3, number))
    train(volumes_work, request(), progress=Silent())
    assert_same_training(volumes_work, uninterrupted)


def test_where_bfloat16_is_faulty_a_fold_trains_resumes_and_predicts_in_float32(
    volumes_work: Workspace, uninterrupted: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = EndedProcess(-signal.SIGSEGV, "", "")
    monkeypatch.setattr(step_check, "run_module", lambda *_, **__: crash)
    asked = []

    def recording(stored: StoredModel, options: LoadOptions, folds: tuple[int, ...]) -> object:
        asked.append(options.precision)
        return load_stored(stored, options, folds)

    monkeypatch.setattr("autoseg.stages.train.score_fold.load_stored", recording)
    progress = StopAfter(3, signal.SIGINT)
    with pytest.raises(Interrupted):
        train(volumes_work, request(compute=replace(CPU, precision="bfloat16")), progress=progress)
    run = train(
        volumes_work, request(compute=replace(CPU, precision="bfloat16")), progress=Silent()
    ).run
    assert (run.options.precision, run.precision) == ("bfloat16", "float32")
    assert asked == ["float32"]
    if store.load(Run, fold_folder(uninterrupted) / "run.json").precision == "float32":
        assert_same_training(volumes_work, uninterrupted)


def test_a_training_goes_on_where_its_files_were_copied_to(
    volumes_work: Workspace, volumes_dataset: Path, uninterrupted: Workspace
) -> None:
    with pytest.raises(Interrupted):
        train(volumes_work, request(), progress=StopAfter(3, signal.SIGINT))
    copy = shutil.copytree(volumes_dataset, volumes_work.root.parent / "copy")
    for path in copy.rglob("*.nii.gz"):
        os.utime(path, ns=(0, 0))
    known = json.loads(volumes_work.dataset.read_text())
    volumes_work.dataset.write_text(json.dumps(known).replace(str(volumes_dataset), str(copy)))
    train(volumes_work, request(), progress=Silent())
    assert_same_training(volumes_work, uninterrupted)


@pytest.mark.parametrize(
    ("number", "advice"), [(signal.SIGKILL, "To use less memory"), (signal.SIGSEGV, "--workers 0")]
)
def test_a_worker_that_dies_is_named_with_its_signal(
    number: signal.Signals, advice: str, volumes_work: Workspace
) -> None:
    message = rf"prepares training batches was ended by {number.name} \(.*{advice}"
    with pytest.raises(TrainingError, match=message):
        train(volumes_work, request(compute=replace(CPU, workers=1)), progress=StopAfter(3, number))


def test_background_workers_change_nothing(
    volumes_work: Workspace, uninterrupted: Workspace
) -> None:
    train(volumes_work, request(compute=replace(CPU, workers=2)), progress=Silent())
    assert_same_training(volumes_work, uninterrupted)


def test_a_killed_training_goes_on_from_its_last_checkpoint(
    volumes_work: Workspace, uninterrupted: Workspace
) -> None:
    program = (
        "import sys; from pathlib import Path; "
        "from autoseg.core.compute import Compute; "
        "from autoseg.core.progress import Silent; "
        "from autoseg.documents.workspace import Workspace; "
        "from autoseg.stages.train.duration import TrainingDuration; "
        "from autoseg.stages.train.train import train; "
        "from autoseg.stages.train.task import TrainRequest; "
        f"train(Workspace(Path(sys.argv[1])), TrainRequest(fold=0, length=TrainingDuration("
        f"iterations={STEPS}), compute=Compute('cpu', workers=1), checkpoint_seconds=0.0), "
        "progress=Silent())"
    )
    checkpoint = fold_folder(volumes_work) / CHECKPOINT_NAME
    process = subprocess.Popen([sys.executable, "-c", program, str(volumes_work.root)])
    try:
        deadline = time.monotonic() + 300
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert checkpoint.exists()
    assert not (fold_folder(volumes_work) / "run.json").exists()
    train(volumes_work, request(), progress=Silent())
    assert_same_training(volumes_work, uninterrupted)


def test_another_seed_gives_another_network(
    volumes_work: Workspace, uninterrupted: Workspace
) -> None:
    train(volumes_work, request(seed=1), progress=Silent())
    one, other = weights(volumes_work), weights(uninterrupted)
    assert any((one[name] != other[name]).any() for name in one)


def test_a_checkpoint_of_another_training_is_refused(volumes_work: Workspace) -> None:
    with pytest.raises(Interrupted):
        train(volumes_work, request(), progress=StopAfter(2, signal.SIGINT))
    with pytest.raises(TrainingError, match=rf"\(--iterations {STEPS} --seed 0\).* --restart"):
        train(volumes_work, request(seed=5), progress=Silent())
    train(volumes_work, request(seed=5, restart=True), progress=Silent())


def test_a_truncated_checkpoint_is_named_and_not_read(volumes_work: Workspace) -> None:
    with pytest.raises(Interrupted):
        train(volumes_work, request(), progress=StopAfter(2, signal.SIGINT))
    checkpoint = fold_folder(volumes_work) / CHECKPOINT_NAME
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(TrainingError, match="invalid or corrupt checkpoint"):
        train(volumes_work, request(), progress=Silent())


def test_a_budget_ends_a_training_that_would_have_gone_on(volumes_work: Workspace) -> None:
    budget = request(length=TrainingDuration(budget="2s"))
    trained = train(volumes_work, budget, progress=Silent())
    assert trained.run.steps > 1
    assert trained.run.seconds < 60


def test_a_plan_that_was_sized_to_a_time_is_trained_so_long(volumes_work: Workspace) -> None:
    made = store.load(Plan, volumes_work.plan)
    budget = TrainingBudget(seconds=2.0, configurations=(made.default_configuration,))
    store.save(made.model_copy(update={"budget": budget}), volumes_work.plan)
    run = train(
        volumes_work, TrainRequest(fold=0, compute=Compute(workers=0)), progress=Silent()
    ).run
    assert run.options.length == Budget(seconds=2.0)


def test_a_budget_that_is_not_needed_ends_after_the_most_steps(volumes_work: Workspace) -> None:
    budget = request(length=TrainingDuration(budget="2h", most_steps=3))
    assert train(volumes_work, budget, progress=Silent()).run.steps == 3


def test_an_edited_plan_trains_and_resumes_with_another_optimiser_and_schedule(
    volumes_work: Workspace, tmp_path: Path
) -> None:
    made = json.loads(volumes_work.plan.read_text())
    made["configurations"][0]["recipe"] |= {
        "optimizer": {"kind": "nadam", "learning_rate": 0.01},
        "schedule": {"kind": "cosine", "warm_up": 0.25},
    }
    volumes_work.plan.write_text(json.dumps(made))
    whole = Workspace(shutil.copytree(volumes_work.root, tmp_path / "whole"))
    run = train(whole, request(), progress=Silent()).run
    with pytest.raises(Interrupted):
        train(volumes_work, request(), progress=StopAfter(3, signal.SIGINT))
    train(volumes_work, request(), progress=Silent())
    assert_same_training(volumes_work, whole)
    assert (run.recipe.optimizer.kind, run.recipe.schedule.kind) == ("nadam", "cosine")
    rates = [record.learning_rate for record in run.history]
    half = len(rates) // 2 - 1
    assert rates[half] == pytest.approx(0.01 * 0.5)
    assert rates[-1] == pytest.approx(0.0)


def test_a_training_with_batchgenerators_resumes_as_if_nothing_had_happened(
    volumes_work: Workspace, tmp_path: Path
) -> None:
    made = store.load(Plan, volumes_work.plan)
    recipe = made.configurations[0].recipe
    strong = recipe.model_copy(update={"augmentations": augmentations_of("strong", ())})
    changed = made.configurations[0].model_copy(update={"recipe": strong})
    store.save(made.model_copy(update={"configurations": (changed,)}), volumes_work.plan)
    whole = Workspace(shutil.copytree(volumes_work.root, tmp_path / "whole"))
    train(whole, request(), progress=Silent())
    with pytest.raises(Interrupted):
        train(
            volumes_work,
            request(compute=replace(CPU, workers=1)),
            progress=StopAfter(3, signal.SIGINT),
        )
    train(volumes_work, request(), progress=Silent())
    assert_same_training(volumes_work, whole)


def test_pictures_train_and_predict_in_two_dimensions(pictures_work: Workspace) -> None:
    trained = train(pictures_work, request(), progress=Silent())
    assert [entry.label for entry in trained.report.classes] == [255]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_in_a_case_surfaces_as_its_own_error(
    workers: int, volumes_work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "measure_step", lambda task: 0.1)  # it would meet the issue first
    made = store.load(Plan, volumes_work.plan)
    prepared = volumes_work.preprocessed(made.configuration(None).data_name)
    for folder in prepared.iterdir():
        (folder / "image.b2nd").write_bytes(b"not an array")
    monkeypatch.setattr(StoredCase, "is_intact", lambda _: True)  # damaged after it was checked
    with pytest.raises(CaseError, match=r"prepared data of ball_\d+ are damaged: .*image\.b2nd"):
        train(volumes_work, request(compute=replace(CPU, workers=workers)), progress=Silent())


def test_an_image_that_is_no_array_any_more_is_prepared_again(volumes_work: Workspace) -> None:
    made = store.load(Plan, volumes_work.plan)
    prepared = volumes_work.preprocessed(made.configuration(None).data_name)
    for folder in prepared.iterdir():
        (folder / "image.b2nd").write_bytes(b"not an array")
    assert train(volumes_work, request(), progress=Silent()).report is not None
