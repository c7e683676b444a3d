"""Prepare all cases of a dataset for one configuration; `autoseg train` begins with it."""

import time
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.atomic_write import remove_leftovers
from autoseg.core.errors import CaseError, DocumentError
from autoseg.core.parallel import Failure, run_each
from autoseg.core.progress import Progress
from autoseg.datasets.inspection import content_of, source_of
from autoseg.datasets.loading import load_case
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import CaseFingerprint, Fingerprint
from autoseg.documents.preparation import PlannedData, PlannedPreparation, PlanPreparationView
from autoseg.documents.workspace import Workspace
from autoseg.preprocessing.memory import fitting_workers, preparation_bytes
from autoseg.preprocessing.prepare import prepare_case
from autoseg.preprocessing.storage import is_prepared, is_renewed, preparation_key, save_case

MADE_BY = "autoseg plan DATASET"

FAILURES_SHOWN = 20
"""Failed cases that an error lists; the rest is counted."""


@dataclass(frozen=True)
class PreprocessReport:
    """What one run of preprocessing did.

    Attributes:
        prepared: Cases prepared now.
        reused: Cases that were there already, prepared in the same way from the same files.
        seconds: Wall-clock time.
    """

    prepared: tuple[str, ...]
    reused: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class PreparationTask:
    """All that a worker needs to prepare one case.

    Attributes:
        files: Where the case is.
        folder: Where its prepared form goes.
        key: What that will be recognised by, as long as the files are not copied or touched.
        plan: The plan.
        configuration: Which of its configurations.
    """

    files: CaseFiles
    folder: Path
    key: str
    plan: PlannedPreparation
    configuration: PlannedData


def preprocess(
    workspace: Workspace, *, configuration: str | None, workers: int, progress: Progress
) -> PreprocessReport:
    """Prepare every case of the fingerprint that is not prepared yet, each on its own.

    Args:
        workspace: Work folder with dataset, fingerprint and plan.
        configuration: Name of a configuration; None takes the plan's default.
        workers: Number of processes; fewer are used if memory would not last.
        progress: Where to report to.

    Raises:
        DocumentError: If the dataset has not been planned, or its documents do not fit together.
        PlanError: If there is no such configuration.
        CaseError: If cases failed; it lists them. All others are prepared and stay so.
    """
    start = time.monotonic()
    spec = store.load(DatasetSpec, workspace.dataset, made_by=MADE_BY)
    fingerprint = store.load(Fingerprint, workspace.fingerprint, made_by=MADE_BY)
    plan = store.load(PlanPreparationView, workspace.plan, made_by=MADE_BY)
    tasks = _tasks(workspace, spec, fingerprint, plan, plan.configuration(configuration))
    todo = [task for task in tasks if not is_prepared(task.folder, task.key)]
    done: set[str] = set()
    if todo:
        remove_leftovers(todo[0].folder.parent)
        number = _number_of_workers(workers, fingerprint, todo[0], progress)
        done = _prepare_all(todo, workers=number, progress=progress)
    return PreprocessReport(
        prepared=tuple(sorted(done)),
        reused=tuple(task.files.name for task in tasks if task.files.name not in done),
        seconds=time.monotonic() - start,
    )


def prepare(task: PreparationTask) -> bool:
    """Read one case, prepare it and write it; return whether that was necessary.

    It is not where another process was faster, or where the files were only copied or touched.
    """
    if is_prepared(task.folder, task.key):
        return False
    content_key = preparation_key(task.plan, task.configuration, content_of(task.files))
    if is_renewed(task.folder, key=task.key, content_key=content_key):
        return False
    case = load_case(task.files, task.plan.labels)
    prepared = prepare_case(case, task.plan, task.configuration)
    if is_prepared(task.folder, task.key):  # another training was faster, and may read it now
        return False
    patch_shape = task.configuration.topology.patch_shape
    try:
        save_case(prepared, task.folder, patch_shape, key=task.key, content_key=content_key)
    except OSError:  # two trainings of the same data started together: both may move it in
        if not is_prepared(task.folder, task.key):
            raise
    return True


def _tasks(
    workspace: Workspace,
    spec: DatasetSpec,
    fingerprint: Fingerprint,
    plan: PlannedPreparation,
    configuration: PlannedData,
) -> list[PreparationTask]:
    """Return one task per case of the fingerprint, in its order.

    Raises:
        DocumentError: If the fingerprint has cases of which the files are not known.
    """
    files = {case.name: case for case in spec.cases}
    unknown = [case.name for case in fingerprint.cases if case.name not in files]
    if unknown:
        msg = (
            f"{workspace.fingerprint} has {len(unknown)} cases that {workspace.dataset} does not "
            f"list: {', '.join(unknown[:5])}. Run `{MADE_BY}`, which makes both anew."
        )
        raise DocumentError(msg)
    folder = workspace.preprocessed(configuration.data_name)
    return [
        PreparationTask(
            files=files[case.name],
            folder=folder / case.name,
            key=preparation_key(plan, configuration, _source(files[case.name], spec, case)),
            plan=plan,
            configuration=configuration,
        )
        for case in fingerprint.cases
    ]


def _source(
    files: CaseFiles, spec: DatasetSpec, measured: CaseFingerprint
) -> tuple[tuple[str, int, int], ...]:
    """Return the state of a case's files now, or as measured where they have been taken away.

    So a prepared case outlives its files, and a changed file is noticed without planning again.
    """
    try:
        return source_of(files, spec)
    except OSError:
        return measured.source


def _number_of_workers(
    wanted: int, fingerprint: Fingerprint, task: PreparationTask, progress: Progress
) -> int:
    """Return how many cases are prepared side by side, and say so if memory decides."""
    needed = max(
        preparation_bytes(case, task.plan, task.configuration) for case in fingerprint.cases
    )
    affordable, shortage = fitting_workers(wanted, needed)
    if shortage:
        progress.say(f"Preparing cases {shortage}")
    return affordable


def _prepare_all(tasks: list[PreparationTask], *, workers: int, progress: Progress) -> set[str]:
    """Run all tasks, whatever happens to some, and return the names of the cases prepared.

    Raises:
        CaseError: If tasks failed.
    """
    description = f"Preparing {tasks[0].configuration.data_name}"
    failures, done = [], set()
    outcomes = run_each(prepare, tasks, workers=workers)
    for outcome in progress.track(outcomes, description=description, total=len(tasks)):
        if isinstance(outcome, Failure):
            failures.append(outcome)
        elif outcome.value:
            done.add(tasks[outcome.index].files.name)
    if failures:
        raise CaseError(_listed(failures, tasks))
    return done


def _listed(failures: list[Failure], tasks: list[PreparationTask]) -> str:
    """Return the message that names each failed case and why."""
    lines = [
        f"  {tasks[failure.index].files.name}: {failure.message}"
        for failure in sorted(failures, key=lambda failure: failure.index)[:FAILURES_SHOWN]
    ]
    if len(failures) > FAILURES_SHOWN:
        lines.append(f"  … and {len(failures) - FAILURES_SHOWN} more")
    listing = "\n".join(lines)
    return (
        f"{len(failures)} of {len(tasks)} cases could not be prepared:\n{listing}\n"
        "The others are done and stay. Correct these and run the same command; or take them out of "
        "the dataset and plan again."
    )
