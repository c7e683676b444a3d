"""Prepare all cases of a dataset for one configuration, the first step of `autoseg train`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import CaseError, DocumentError
from autoseg.core.formatting import format_lines, format_names
from autoseg.core.parallel import Failure, run_each
from autoseg.core.progress import Progress
from autoseg.datasets.inspection import file_hashes, file_states
from autoseg.datasets.loading import load_case
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import CaseFingerprint, Fingerprint
from autoseg.documents.preparation import PlannedData, PlannedPreparation
from autoseg.documents.workspace import Workspace
from autoseg.preprocessing.memory import fitting_workers, preparation_bytes
from autoseg.preprocessing.prepare import prepare_case
from autoseg.preprocessing.storage import (
    StoredCase,
    open_case,
    open_prepared,
    preparation_key,
    refresh_key,
    save_case,
)

FAILURES_SHOWN = 20
"""Maximum number of failed cases that an error lists; the rest are counted."""


@dataclass(frozen=True)
class PlannedCases:
    """The documents of a work folder that define its prepared cases.

    Attributes:
        workspace: The work folder.
        dataset: Description of the dataset.
        fingerprint: Fingerprint of the dataset.
        plan: The plan.
    """

    workspace: Workspace
    dataset: DatasetSpec
    fingerprint: Fingerprint
    plan: PlannedPreparation


@dataclass(frozen=True)
class PreprocessReport:
    """Result of one preprocessing.

    Attributes:
        cases: All prepared cases by name.
        prepared: Cases prepared now.
        reused: Existing cases, prepared before in the same way from the same files.
        seconds: Wall-clock time.
        predicted_bytes: Predicted memory for the case that needs most.
    """

    cases: Mapping[str, StoredCase]
    prepared: tuple[str, ...]
    reused: tuple[str, ...]
    seconds: float
    predicted_bytes: int


@dataclass(frozen=True)
class PreparationTask:
    """Arguments of a worker that prepares one case.

    Attributes:
        files: Files of the case.
        folder: Folder for the prepared case.
        key: Identifies the prepared case as long as its files are not copied or touched.
        plan: The plan.
        configuration: Configuration of the plan to prepare for.
    """

    files: CaseFiles
    folder: Path
    key: str
    plan: PlannedPreparation
    configuration: PlannedData


def preprocess(
    workspace: Workspace,
    *,
    configuration: str | None,
    workers: int,
    progress: Progress,
    dataset: DatasetSpec | None = None,
) -> PreprocessReport:
    """Prepare every case of a planned dataset that is not prepared yet, see `prepare_cases`.

    Args:
        workspace: Work folder with dataset, fingerprint and plan.
        configuration: Name of a configuration; None for the plan's default.
        workers: Number of processes; reduced if the memory is too small.
        progress: Receives progress and messages.
        dataset: Description of the dataset; None loads it.

    Raises:
        DocumentError: If the dataset has not been planned, or its documents are inconsistent.
        PlanError: If the configuration does not exist.
        CaseError: If cases failed; the message lists them. All others stay prepared.
    """
    planned = PlannedCases(
        workspace,
        dataset or store.load(DatasetSpec, workspace.dataset),
        store.load(Fingerprint, workspace.fingerprint),
        store.load(PlannedPreparation, workspace.plan),
    )
    return prepare_cases(planned, configuration, workers=workers, progress=progress)


def prepare_cases(
    planned: PlannedCases, configuration: str | None, *, workers: int, progress: Progress
) -> PreprocessReport:
    """Prepare every case of the fingerprint that is not prepared yet, and open all of them.

    Args:
        planned: Documents of the work folder.
        configuration: Name of a configuration; None for the plan's default.
        workers: Number of processes; reduced if the memory is too small.
        progress: Receives progress and messages.

    Raises:
        DocumentError: If the documents are inconsistent.
        PlanError: If the configuration does not exist.
        CaseError: If cases failed; the message lists them. All others stay prepared.
    """
    start = time.monotonic()
    plan, data = planned.plan, planned.plan.configuration(configuration)
    tasks = _tasks(planned, data)
    found = {task.files.name: open_prepared(task.folder, task.key) for task in tasks}
    pending = [task for task in tasks if found[task.files.name] is None]
    needed = max(preparation_bytes(case, plan, data) for case in planned.fingerprint.cases)
    done = _prepare_all(pending, needed, workers, progress) if pending else set()
    return PreprocessReport(
        cases={task.files.name: found[task.files.name] or open_case(task.folder) for task in tasks},
        prepared=tuple(sorted(done)),
        reused=tuple(task.files.name for task in tasks if task.files.name not in done),
        seconds=time.monotonic() - start,
        predicted_bytes=needed,
    )


def prepare(task: PreparationTask) -> bool:
    """Read, prepare and save one case; return False if that was not necessary.

    It is not necessary if another process was faster, or if the files were only copied or touched.
    """
    if open_prepared(task.folder, task.key):
        return False
    content_key = preparation_key(task.plan, task.configuration, file_hashes(task.files))
    if refresh_key(task.folder, key=task.key, content_key=content_key):
        return False
    case = load_case(task.files, task.plan.labels)
    prepared = prepare_case(case, task.plan, task.configuration)
    if open_prepared(task.folder, task.key):  # another process was faster, and may be reading it
        return False
    patch_shape = task.configuration.patch_shape
    try:
        save_case(prepared, task.folder, patch_shape, key=task.key, content_key=content_key)
    except OSError:  # another process may have moved its folder in first
        if not open_prepared(task.folder, task.key):
            raise
    return True


def _tasks(planned: PlannedCases, configuration: PlannedData) -> list[PreparationTask]:
    """Build one task per case of the fingerprint, in the same order."""
    workspace, spec = planned.workspace, planned.dataset
    files = {case.name: case for case in spec.cases}
    unknown = [case.name for case in planned.fingerprint.cases if case.name not in files]
    if unknown:
        msg = (
            f"{workspace.fingerprint} has {len(unknown)} cases that {workspace.dataset} does not "
            f"list: {format_names(unknown)}. Run `{spec.MADE_BY}` to create both again."
        )
        raise DocumentError(msg)
    folder = workspace.preprocessed(configuration.data_name)
    return [
        PreparationTask(
            files=files[case.name],
            folder=folder / case.name,
            key=preparation_key(planned.plan, configuration, _source(files[case.name], spec, case)),
            plan=planned.plan,
            configuration=configuration,
        )
        for case in planned.fingerprint.cases
    ]


def _source(
    files: CaseFiles, spec: DatasetSpec, measured: CaseFingerprint
) -> tuple[tuple[str, int, int], ...]:
    """Return the current state of a case's files, or the measured one if files were removed.

    A prepared case stays usable without its files; changed files are detected without replanning.
    """
    try:
        return file_states(files, spec)
    except OSError:
        return measured.source


def _prepare_all(
    tasks: list[PreparationTask], bytes_each: int, workers: int, progress: Progress
) -> set[str]:
    """Run the tasks of one configuration, even if some fail; return the names of prepared cases."""
    affordable, shortage = fitting_workers(workers, bytes_each)
    if shortage:
        progress.say(f"Preparing cases {shortage}")
    description = f"Preparing {tasks[0].configuration.data_name}"
    failures, done = {}, set()
    outcomes = run_each(prepare, tasks, workers=affordable)
    for outcome in progress.track(outcomes, description=description, total=len(tasks)):
        if isinstance(outcome, Failure):
            failures[outcome.index] = outcome.message
        elif outcome.value:
            done.add(tasks[outcome.index].files.name)
    if failures:
        lines = [f"{tasks[index].files.name}: {failures[index]}" for index in sorted(failures)]
        msg = (
            f"{len(failures)} of {len(tasks)} cases could not be prepared:\n"
            f"{format_lines(lines, FAILURES_SHOWN)}\n"
            "The other cases are prepared. Correct these cases and run the same command again, or "
            "remove them from the dataset and plan again."
        )
        raise CaseError(msg)
    return done
