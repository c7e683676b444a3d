"""What the previous stage of a cascade predicts for the cases that the next stage trains on.

A network predicts the cases that it was trained on better than any other, so the next stage would
learn to trust it too much. Each case is therefore predicted by the fold that held it out.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "3D U-Net cascade".
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from autoseg.core.arrays import LabelArray
from autoseg.core.case import PreparedImage
from autoseg.core.errors import TrainingError
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.model import PLAN_NAME, WEIGHTS_NAME
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.splits import ALL, FoldName
from autoseg.documents.workspace import Workspace
from autoseg.inference.model import load_model
from autoseg.inference.prediction import cascade_input_of, predict_classes
from autoseg.preprocessing.storage import (
    CascadeInputRecord,
    StoredCase,
    open_cascade_input,
    open_case,
    save_cascade_input,
)
from autoseg.stages.folds import load_splits
from autoseg.stages.next_command import train_command
from autoseg.stages.predict import PredictOptions
from autoseg.stages.preprocess import preprocess
from autoseg.stages.step_check import known_precision

ALGORITHM_VERSION = 1
"""Raised whenever cascade_inputs come out differently, so that older ones are redone."""

NAMES_SHOWN = 5
"""Cases that an error names."""


@dataclass(frozen=True)
class _Task:
    """One case to predict.

    Attributes:
        case: Of the next stage; the prediction is brought to its grid.
        fold: Which fold of the previous stage held it out.
        folder: Where the prediction goes.
        key: What that will be recognised by.
    """

    case: StoredCase
    fold: int
    folder: Path
    key: str


def check_previous_stage(
    workspace: Workspace, plan: Plan, configuration: Configuration, cases: Sequence[str]
) -> None:
    """Check that the previous stage, if there is one, can predict each case without having seen it.

    Args:
        workspace: Work folder.
        plan: The plan.
        configuration: What is to be trained.
        cases: What it is to be trained and validated on.

    Raises:
        TrainingError: If no fold holds a case out, such a fold is not trained, or it was trained
            with another plan.
    """
    if configuration.previous_stage is None:
        return
    stage = plan.configuration(configuration.previous_stage)
    needed = sorted(set(_held_out(workspace, configuration, cases).values()))
    missing = [
        fold for fold in needed if not (workspace.fold(stage.name, fold) / WEIGHTS_NAME).is_file()
    ]
    if missing:
        raise TrainingError(_untrained(workspace, configuration, missing))
    folder = workspace.models / stage.name
    if not store.load(Plan, folder / PLAN_NAME, made_by="autoseg train").agrees_with(plan, stage):
        msg = (
            f"{folder} was trained with another {stage.name}: the plan has changed since. Move "
            f"that folder away and train its folds again, or go on with its plan: copy "
            f"{folder / PLAN_NAME} to {workspace.plan}."
        )
        raise TrainingError(msg)


def make_cascade_inputs(
    workspace: Workspace,
    plan: Plan,
    configuration: Configuration,
    cases: Sequence[str],
    options: PredictOptions,
    progress: Progress,
) -> None:
    """Predict every case that is not predicted yet by the networks that now are the previous stage.

    Each is written whole or not at all, so an interrupted run goes on where it stopped.

    Args:
        workspace: Work folder, with the cases prepared.
        plan: The plan.
        configuration: What is to be trained; without a previous stage nothing is done.
        cases: What it is to be trained and validated on.
        options: Device, precision and workers.
        progress: Where to report to.

    Raises:
        CaseError: If a case cannot be prepared or predicted.
        ModelError: If a network is damaged.
    """
    stages = _stages_before(plan, configuration)
    if not stages:
        return
    tasks = [task for task in _tasks(workspace, configuration, stages, cases) if not _is_made(task)]
    if not tasks:
        return
    for stage in stages:
        preprocess(workspace, configuration=stage.name, workers=options.workers, progress=progress)
    done = _predicted(workspace, plan, stages[0], tasks, options, progress)
    description = f"Predicting with {stages[0].name}"
    for task, classes in progress.track(done, description=description, total=len(tasks)):
        record = CascadeInputRecord(name=task.case.record.name, key=task.key)
        try:
            save_cascade_input(classes, task.folder, record, configuration.topology.patch_shape)
        except OSError:  # two folds started together: both may move it in
            if not _is_made(task):
                raise


def open_prepared(workspace: Workspace, configuration: Configuration, name: str) -> StoredCase:
    """Return a prepared case, with what the previous stage predicted for it, if there is one.

    Raises:
        DocumentError: If it is not prepared.
        TrainingError: If the previous stage has not predicted it.
    """
    case = open_case(workspace.preprocessed(configuration.data_name) / name)
    if configuration.previous_stage is None:
        return case
    folder = workspace.cascade_inputs(configuration.previous_stage, configuration.data_name) / name
    cascade_input = open_cascade_input(folder)
    if cascade_input is None:
        msg = (
            f"{folder} does not hold what {configuration.previous_stage} predicts for {name}. Run "
            "the same command again; it is made anew."
        )
        raise TrainingError(msg)
    return replace(case, cascade_input=cascade_input)


def note_on_newer_stage(
    workspace: Workspace, configuration: Configuration, fold: FoldName
) -> str | None:
    """Return a sentence if the previous stage was trained again after a finished fold was."""
    if configuration.previous_stage is None:
        return None
    finished = (workspace.fold(configuration.name, fold) / WEIGHTS_NAME).stat().st_mtime
    stage = workspace.models / configuration.previous_stage
    newer = [
        weights.parent.name
        for weights in sorted(stage.glob(f"fold_*/{WEIGHTS_NAME}"))
        if weights.stat().st_mtime > finished and weights.parent.name != f"fold_{ALL}"
    ]
    if not newer:
        return None
    return (
        f"note: {', '.join(newer)} of {stage.name} came after this fold, which learned from what "
        "was there before; --restart trains it anew"
    )


def _is_made(task: _Task) -> bool:
    cascade_input = open_cascade_input(task.folder)
    return cascade_input is not None and cascade_input.key == task.key


def _held_out(
    workspace: Workspace, configuration: Configuration, cases: Sequence[str]
) -> dict[str, int]:
    """Return, for each case, the first fold that holds it out.

    Raises:
        TrainingError: If none does.
    """
    folds = load_splits(workspace).folds
    held_out = {
        name: number for number in reversed(range(len(folds))) for name in folds[number].validation
    }
    never = [name for name in cases if name not in held_out]
    if never:
        msg = (
            f"{configuration.name} learns from what {configuration.previous_stage} predicts for "
            f"cases that it has not seen, but no fold of {workspace.splits} holds out "
            f"{len(never)} of them: {', '.join(never[:NAMES_SHOWN])}"
            f"{' …' if len(never) > NAMES_SHOWN else ''}. Let every case be held out by one fold."
        )
        raise TrainingError(msg)
    return {name: held_out[name] for name in cases}


def _untrained(workspace: Workspace, configuration: Configuration, missing: list[int]) -> str:
    """Return the message that names the commands to run first."""
    stage = configuration.previous_stage
    spec = store.load(DatasetSpec, workspace.dataset, made_by="autoseg plan")
    commands = "\n".join(
        f"  {train_command(spec.root, workspace.root, fold, configuration=stage)}"
        for fold in missing
    )
    return (
        f"{configuration.name} learns from what {stage} predicts for cases that it has not seen, "
        f"so these folds of {stage} must be trained first:\n{commands}"
    )


def _stages_before(plan: Plan, configuration: Configuration) -> tuple[Configuration, ...]:
    """Return the stages before a configuration, the nearest first."""
    if configuration.previous_stage is None:
        return ()
    stage = plan.configuration(configuration.previous_stage)
    return (stage, *_stages_before(plan, stage))


def _tasks(
    workspace: Workspace,
    configuration: Configuration,
    stages: Sequence[Configuration],
    cases: Sequence[str],
) -> list[_Task]:
    """Return one task per case, those of a fold together."""
    held_out = _held_out(workspace, configuration, cases)
    digests = {
        fold: [_digest(workspace.fold(stage.name, fold) / WEIGHTS_NAME) for stage in stages]
        for fold in set(held_out.values())
    }
    folder = workspace.cascade_inputs(stages[0].name, configuration.data_name)
    tasks = []
    for name, fold in sorted(held_out.items(), key=lambda item: item[1]):
        case = open_case(workspace.preprocessed(configuration.data_name) / name)
        made_from = [ALGORITHM_VERSION, case.record.content_key, digests[fold]]
        key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
        tasks.append(_Task(case=case, fold=fold, folder=folder / name, key=key))
    return tasks


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _predicted(
    workspace: Workspace,
    plan: Plan,
    stage: Configuration,
    tasks: Sequence[_Task],
    options: PredictOptions,
    progress: Progress,
) -> Iterator[tuple[_Task, LabelArray]]:
    """Yield each task with its classes, on the grid of the next stage."""
    for fold, group in groupby(tasks, key=lambda task: task.fold):
        model = load_model(
            workspace.fold(stage.name, fold),
            device=options.device,
            precision=options.precision,
            rule=known_precision(options.cache, progress),
        )
        for task in group:
            image = _prepared(workspace, plan, stage, task.case.record.name)
            target = task.case.record.restoration
            image = replace(image, restoration=image.restoration.onto(target))
            outputs = predict_classes(image, model, workers=options.workers)
            yield task, cascade_input_of(outputs, plan.labels).classes


def _prepared(
    workspace: Workspace, plan: Plan, configuration: Configuration, name: str
) -> PreparedImage:
    """Return a prepared image as a stage sees it, with itself as the stages before see it."""
    case = open_case(workspace.preprocessed(configuration.data_name) / name)
    previous = None
    if configuration.previous_stage is not None:
        stage = plan.configuration(configuration.previous_stage)
        previous = _prepared(workspace, plan, stage, name)
    return PreparedImage(
        voxels=case.read_image(), restoration=case.record.restoration, previous=previous
    )
