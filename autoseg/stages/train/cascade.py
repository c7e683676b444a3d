"""Predict the cascade inputs: previous-stage predictions for the next stage's training cases.

A network predicts its own training cases better than unseen ones, so the next stage would learn to
trust its input too much. Each case is therefore predicted by the fold that held it out.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "3D U-Net cascade".
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from autoseg.core.arrays import LabelArray
from autoseg.core.case import PreparedImage
from autoseg.core.compute import Compute
from autoseg.core.errors import TrainingError
from autoseg.core.formatting import format_count, format_names
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.run import Run
from autoseg.documents.splits import ALL, FoldName
from autoseg.documents.workspace import Workspace
from autoseg.inference.cascade_input import to_cascade_input
from autoseg.inference.prediction import predict_classes
from autoseg.inference.selected_model import ReadyModel
from autoseg.models.folder import ModelFolder, weights_digest
from autoseg.models.loader import load_stored
from autoseg.preprocessing.records import CascadeInputRecord
from autoseg.preprocessing.storage import (
    StoredCascadeInput,
    StoredCase,
    open_cascade_input,
    save_cascade_input,
)
from autoseg.stages.next_command import train_command
from autoseg.stages.preprocess import prepare_cases
from autoseg.stages.project import Project
from autoseg.stages.step_check import load_options
from autoseg.stages.train.continuation import check_trained_with

ALGORITHM_VERSION = 1
"""Increment whenever the predictions change, so that stored cascade inputs are recomputed."""


@dataclass(frozen=True)
class _Task:
    """One case to predict.

    Attributes:
        case: Case of the next stage; the prediction is resampled to its grid.
        fold: Fold of the previous stage that held the case out.
        output: The prediction; its key is a hash of everything that it depends on.
    """

    case: StoredCase
    fold: int
    output: StoredCascadeInput

    @property
    def is_done(self) -> bool:
        """Whether the prediction exists and is up to date."""
        return open_cascade_input(self.output.folder) == self.output


def check_previous_stage(
    project: Project, configuration: Configuration, cases: Sequence[str]
) -> None:
    """Check that the previous stage, if any, has a trained fold that held out each case.

    Args:
        project: The project.
        configuration: The configuration to be trained.
        cases: Names of its training and validation cases.

    Raises:
        TrainingError: If no fold holds a case out, or the fold that does is not trained or was
            trained with another plan.
    """
    stage, workspace = configuration.previous_stage, project.workspace
    if stage is None:
        return
    needed = sorted(set(_held_out(project, configuration, cases).values()))
    missing = [
        fold for fold in needed if not (workspace.fold(stage, fold) / WEIGHTS_NAME).is_file()
    ]
    if missing:
        commands = "\n".join(
            f"  {train_command(project.dataset.root, workspace.root, fold, configuration=stage)}"
            for fold in missing
        )
        msg = (
            f"{configuration.name} is trained on predictions of {stage} for held-out cases, so "
            f"these folds of {stage} must be trained first:\n{commands}"
        )
        raise TrainingError(msg)
    ModelFolder(workspace.models / stage).read_plan()  # raises if it is missing
    check_trained_with(project, stage)


def with_cascade_inputs(
    project: Project,
    configuration: Configuration,
    cases: Sequence[StoredCase],
    compute: Compute,
    progress: Progress,
) -> dict[str, StoredCase]:
    """Return prepared cases by name with their cascade inputs; predict those missing or outdated.

    A cascade input is outdated if the case or the weights of a previous stage have changed. Each
    one is written atomically, so an interrupted run resumes where it stopped.

    Args:
        project: The project.
        configuration: The configuration to be trained; without a previous stage, the cases are
            returned unchanged.
        cases: Its training and validation cases.
        compute: Device, precision and processes.
        progress: Receives messages and progress.

    Raises:
        CaseError: If a case cannot be prepared or predicted.
        ModelError: If the weights of a network are damaged.
    """
    stages = _stages_before(project.plan, configuration)
    if not stages:
        return {case.record.name: case for case in cases}
    tasks = _tasks(project, configuration, stages, cases)
    pending = [task for task in tasks if not task.is_done]
    if pending:
        _make(project, configuration, stages, pending, compute, progress)
    return {task.case.record.name: replace(task.case, cascade_input=task.output) for task in tasks}


def note_on_newer_stage(
    workspace: Workspace, configuration: Configuration, fold: FoldName
) -> str | None:
    """Build a note if the previous stage was retrained after a fold was finished; else None.

    Args:
        workspace: Work folder.
        configuration: Configuration of the finished fold.
        fold: The finished fold.
    """
    if configuration.previous_stage is None:
        return None
    record = workspace.fold(configuration.name, fold) / Run.FILE_NAME
    known = store.load(Run, record).stage_weights if record.is_file() else {}
    current = stage_weights(workspace, configuration)
    newer = [name for name in sorted(current) if known.get(name, current[name]) != current[name]]
    if not newer:
        return None
    return (
        f"note: {', '.join(newer)} of {configuration.previous_stage} finished after this fold, "
        "which was trained on earlier predictions; retrain it with --restart"
    )


def stage_weights(workspace: Workspace, configuration: Configuration) -> dict[str, str]:
    """Return a hash of the weights of each numbered fold of the previous stage, by fold name."""
    if configuration.previous_stage is None:
        return {}
    folds = (workspace.models / configuration.previous_stage).glob("fold_*")
    digests = {fold.name: weights_digest(fold) for fold in folds if fold.name != f"fold_{ALL}"}
    return {name: digest for name, digest in digests.items() if digest is not None}


def _held_out(
    project: Project, configuration: Configuration, cases: Sequence[str]
) -> dict[str, int]:
    """Map each case to the first fold that holds it out; raise a TrainingError if none does."""
    folds = project.splits.folds
    held_out = {
        name: number for number in reversed(range(len(folds))) for name in folds[number].validation
    }
    missing = [name for name in cases if name not in held_out]
    if missing:
        msg = (
            f"{configuration.name} is trained on predictions of {configuration.previous_stage} for "
            f"held-out cases, but no fold of {project.workspace.splits} holds out "
            f"{format_count(len(missing), 'case')}: {format_names(missing)}. Hold out every case "
            "in one fold."
        )
        raise TrainingError(msg)
    return {name: held_out[name] for name in cases}


def _stages_before(plan: Plan, configuration: Configuration) -> tuple[Configuration, ...]:
    """Return all previous stages of a configuration, the nearest first."""
    if configuration.previous_stage is None:
        return ()
    stage = plan.configuration(configuration.previous_stage)
    return (stage, *_stages_before(plan, stage))


def _tasks(
    project: Project,
    configuration: Configuration,
    stages: Sequence[Configuration],
    cases: Sequence[StoredCase],
) -> list[_Task]:
    """Build one task per case, grouped by fold."""
    workspace, by_name = project.workspace, {case.record.name: case for case in cases}
    held_out = _held_out(project, configuration, tuple(by_name))
    digests = {
        fold: [_digest(workspace.fold(stage.name, fold) / WEIGHTS_NAME) for stage in stages]
        for fold in set(held_out.values())
    }
    folder = workspace.cascade_inputs(stages[0].name, configuration.data_name)
    tasks = []
    for name, fold in sorted(held_out.items(), key=lambda item: item[1]):
        case = by_name[name]
        dependencies = [ALGORITHM_VERSION, case.record.content_key, digests[fold]]
        key = hashlib.sha256(json.dumps(dependencies).encode()).hexdigest()
        tasks.append(_Task(case, fold, StoredCascadeInput(folder=folder / name, key=key)))
    return tasks


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(
    project: Project,
    configuration: Configuration,
    stages: Sequence[Configuration],
    tasks: Sequence[_Task],
    compute: Compute,
    progress: Progress,
) -> None:
    """Predict and save the cascade inputs of tasks that are grouped by fold."""
    workers = compute.num_workers
    prepared = [
        prepare_cases(project, stage.name, workers=workers, progress=progress).cases
        for stage in stages
    ]
    folder = project.workspace.models / stages[0].name
    predictions = _predict(folder, prepared, tasks, compute, progress)
    description = f"Predicting with {stages[0].name}"
    for task, classes in progress.track(predictions, description=description, total=len(tasks)):
        record = CascadeInputRecord(name=task.case.record.name, key=task.output.key)
        patch_shape = configuration.topology.patch_shape
        try:
            save_cascade_input(classes, task.output.folder, record, patch_shape)
        except OSError:  # another fold, trained at the same time, may have written it first
            if not task.is_done:
                raise


def _predict(
    folder: Path,
    prepared: Sequence[Mapping[str, StoredCase]],
    tasks: Sequence[_Task],
    compute: Compute,
    progress: Progress,
) -> Iterator[tuple[_Task, LabelArray]]:
    """Yield each task with its predicted label map, on the grid of the next stage.

    `prepared` are the prepared cases of the previous stage, of its previous stage, and so on.
    """
    options = load_options(compute, progress)
    stored = ModelFolder(folder)
    for fold, group in groupby(tasks, key=lambda task: task.fold):
        model = ReadyModel.of(load_stored(stored, options, (fold,)))
        for task in group:
            image = _prepared_image([cases[task.case.record.name] for cases in prepared])
            target = task.case.record.restoration
            image = replace(image, restoration=image.restoration.onto(target))
            outputs = predict_classes(image, model, workers=compute.num_workers)
            yield task, to_cascade_input(outputs, model.loaded.plan.labels).classes


def _prepared_image(stages: Sequence[StoredCase]) -> PreparedImage:
    """Load the prepared image of a stage, together with its versions for all previous stages."""
    case, *others = stages
    return PreparedImage(
        voxels=case.voxels,
        restoration=case.record.restoration,
        previous=_prepared_image(others) if others else None,
    )
