"""`autoseg predict`: segment every image of a folder."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

import numpy as np

from autoseg.core.arrays import LabelArray
from autoseg.core.compute import Compute
from autoseg.core.disk import naming_disk_errors
from autoseg.core.errors import CaseError, DatasetError, affects_all, case_error_message
from autoseg.core.memory import available_bytes
from autoseg.core.progress import Progress
from autoseg.core.reading_process import READING
from autoseg.datasets.inputs import (
    InputCase,
    channel_files_warning,
    find_inputs,
    series_warning,
)
from autoseg.documents import store
from autoseg.documents.quality import CaseTtaConsistency
from autoseg.documents.report import UnscoredCase
from autoseg.documents.splits import FoldName
from autoseg.inference.export_queue import ExportThread
from autoseg.inference.prediction import (
    PredictionTask,
    ood_warnings,
    prepare_for_members,
    start_prediction,
)
from autoseg.inference.probabilities import has_probabilities
from autoseg.inference.selected_model import SelectedModel, load_selection
from autoseg.models.loader import LoadOptions
from autoseg.models.model_selection import describe_selection, find_selection
from autoseg.preprocessing.memory import reading_bytes
from autoseg.readers import is_image_name, label_ending, read_header, read_image, write_labels
from autoseg.stages.predict.expected_quality import QualityReport
from autoseg.stages.step_check import load_options

PREFETCHED_CASES = 1
"""Images that are read and prepared while the networks predict another one."""

PREFETCH_MEMORY_SHARE = 1 / 8
"""Maximum share of the free memory that a prefetched image may need. Reading a larger image takes a
small part of its total time, but prefetching it would double the memory."""

PENDING_EXPORTS = 2
"""Maximum number of images whose export may be unfinished."""


R = TypeVar("R")


@dataclass(frozen=True)
class PredictOptions:
    """Options for prediction.

    Attributes:
        model: Value of `--model`; None finds the only model. A work folder with a selection means
            the selected configurations.
        folds: Folds to average; None for the selected folds, or all trained folds with a number.
        use_mirroring: Whether to average over mirrored images (TTA).
        skip_existing: Whether to skip images whose output exists.
        probabilities: Folder for the probabilities of each case, for a single configuration.
        series: Patterns of the descriptions of DICOM series to predict; none for all.
        compute: Device, precision, number of export threads and cache folder.
    """

    model: Path | None = None
    folds: tuple[FoldName, ...] | None = None
    use_mirroring: bool = True
    skip_existing: bool = False
    probabilities: Path | None = None
    series: tuple[str, ...] = ()
    compute: Compute = field(default_factory=Compute)

    def loading(self, progress: Progress) -> LoadOptions:
        """Return the options for loading networks."""
        return load_options(self.compute, progress, use_mirroring=self.use_mirroring)


@dataclass(frozen=True)
class PredictReport:
    """Outcome of a prediction.

    Attributes:
        model: Path of the model.
        written: New outputs.
        skipped: Existing outputs.
        failures: Cases without output.
        agreements: TTA consistency of the cases written now, and of the skipped cases with saved
            probabilities.
    """

    model: Path
    written: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failures: tuple[UnscoredCase, ...]
    agreements: tuple[CaseTtaConsistency, ...] = ()


@dataclass(frozen=True)
class _Written:
    """A new output, and its TTA consistency."""

    output: Path
    agreement: CaseTtaConsistency


@dataclass(frozen=True)
class _PredictionTask:
    case: InputCase
    output: Path
    probabilities: Path | None = None

    @property
    def is_finished(self) -> bool:
        """Whether all output files exist."""
        if self.probabilities is None:
            return self.output.is_file()
        agreement = self.probabilities / CaseTtaConsistency.FILE_NAME
        is_saved = has_probabilities(self.probabilities) and agreement.is_file()
        return is_saved and self.output.is_file()

    def saved_agreement(self) -> tuple[CaseTtaConsistency, ...]:
        """Load the TTA consistency of a finished task; empty if probabilities are not saved."""
        if self.probabilities is None:
            return ()
        path = self.probabilities / CaseTtaConsistency.FILE_NAME
        return (store.load(CaseTtaConsistency, path),)


def predict(
    inputs: Path, outputs: Path, options: PredictOptions, progress: Progress
) -> PredictReport:
    """Predict a label map for every image.

    A label map has the geometry of its image, the label values of the training data, and the name
    and file ending of its image (`.png` for a JPEG, `.tif` for HDF5 and Zarr). If a case fails,
    the others continue.

    Args:
        inputs: Folder of images, or a single image.
        outputs: Folder for the label maps; created if missing.
        options: Options for prediction.
        progress: Receives progress and warnings.

    Returns:
        Written, skipped and failed cases.

    Raises:
        ModelError: If there is no model or more than one, or a selected model is missing.
        DatasetError: If no image is found, `outputs` is a file, or an output would overwrite an
            input.
    """
    _check_folder(outputs)
    progress.begin("loading the model")
    READING.start()  # before torch starts threads
    selected = find_selection(options.model, options.folds)
    model = load_selection(selected, options.loading(progress))
    if description := describe_selection(selected):
        progress.say(description)
    for sentence in selected.warnings:
        progress.say(f"warning: {sentence}.")
    num_channels = len(model.plan.channel_names)
    cases = find_inputs(inputs, num_channels=num_channels, series=options.series)
    warnings = (
        channel_files_warning(cases, num_channels=num_channels),
        series_warning(inputs, cases),
    )
    for sentence in filter(None, warnings):
        progress.say(f"warning: {sentence}.")
    if selected.selection is None:
        return predict_cases(cases, outputs, model, options, progress)
    quality = QualityReport(selected.selection.quality, model.plan.labels, outputs, progress)
    report = predict_cases(cases, outputs, model, options, progress, on_written=quality.add)
    quality.finish(report.skipped)
    return report


def predict_cases(
    cases: Sequence[InputCase],
    outputs: Path,
    model: SelectedModel,
    options: PredictOptions,
    progress: Progress,
    *,
    on_written: Callable[[CaseTtaConsistency], None] = lambda _: None,
) -> PredictReport:
    """Predict the label maps of given cases, see `predict`.

    Args:
        cases: The images.
        outputs: Folder for the label maps.
        model: The loaded model.
        options: Options for prediction.
        progress: Receives progress and warnings.
        on_written: Called for each written label map with its TTA consistency.

    Raises:
        DatasetError: If an output would overwrite an input.
        OSError: If the disk is full or not writable.
    """
    tasks = [_task(case, outputs, options.probabilities) for case in cases]
    _protect_inputs(tasks)
    skipped: list[_PredictionTask] = []
    remaining: list[_PredictionTask] = []
    for task in tasks:
        (skipped if options.skip_existing and task.is_finished else remaining).append(task)
    if remaining:
        _check_writable(outputs)
    outcomes = _outcomes(remaining, model, options.compute.num_workers, progress)
    done = []
    for outcome in progress.track(outcomes, description="Predicting", total=len(remaining)):
        done.append(outcome)
        if isinstance(outcome, _Written):
            on_written(outcome.agreement)
    return PredictReport(
        model=model.path,
        written=tuple(outcome.output for outcome in done if isinstance(outcome, _Written)),
        skipped=tuple(task.output for task in skipped),
        failures=tuple(outcome for outcome in done if isinstance(outcome, UnscoredCase)),
        agreements=(
            *(agreement for task in skipped for agreement in task.saved_agreement()),
            *(outcome.agreement for outcome in done if isinstance(outcome, _Written)),
        ),
    )


def _task(case: InputCase, outputs: Path, probabilities: Path | None) -> _PredictionTask:
    output = outputs / f"{case.name}{label_ending(case.ending)}"
    return _PredictionTask(
        case, output, None if probabilities is None else probabilities / case.name
    )


def _outcomes(
    tasks: Sequence[_PredictionTask], model: SelectedModel, workers: int, progress: Progress
) -> Iterator[_Written | UnscoredCase]:
    """Yield the output or failure of each task, in order.

    At any time one image is read, one is predicted, and one or two are exported.
    """
    exporting: deque[tuple[_PredictionTask, Future[Path], SelectedModel]] = deque()
    with ExportThread() as exports:
        prepared = _prefetched(lambda task: _joint_task(task, model, workers, progress), tasks)
        for position, (task, ready) in enumerate(prepared):
            progress.begin(_stage_name(tasks, position))
            measured = model.with_tta_consistency()
            exporting.append((task, _started(ready, measured, exports, progress), measured))
            del ready  # free the prepared image before the next one is taken
            if len(exporting) > PENDING_EXPORTS:
                yield _outcome(*exporting.popleft())
        while exporting:
            yield _outcome(*exporting.popleft())


def _stage_name(tasks: Sequence[_PredictionTask], position: int) -> str:
    """Name the case being predicted, and those being read or exported at the same time."""
    first, last = max(0, position - PENDING_EXPORTS), position + PREFETCHED_CASES
    others = [task.case.name for task in (*tasks[first:position], *tasks[position + 1 : last + 1])]
    in_parallel = f" (in parallel: {', '.join(others)})" if others else ""
    return f"predicting {tasks[position].case.name}{in_parallel}"


def _started(
    ready: Future[PredictionTask[Path]],
    model: SelectedModel,
    exports: ExportThread,
    progress: Progress,
) -> Future[Path]:
    """Start a prediction; if reading or preparing failed, the future already has that error."""
    error = ready.exception()
    if error is None:
        return start_prediction(ready.result(), model.members, exports, progress=progress)
    failed: Future[Path] = Future()
    failed.set_exception(error)
    return failed


def _joint_task(
    task: _PredictionTask, model: SelectedModel, workers: int, progress: Progress
) -> PredictionTask[Path]:
    """Read and prepare an image, and warn if it differs from the training data."""
    if task.case.issue:
        raise CaseError(task.case.issue)
    image = read_image(task.case.images).reoriented(model.plan.orientation)
    # Writing needs only shape and geometry: zeros that take no memory free the voxels.
    grid = replace(image, voxels=np.broadcast_to(np.uint8(0), image.voxels.shape))

    def write(indices: LabelArray) -> Path:
        write_labels(model.values(indices), grid, task.output)
        return task.output

    prepared = prepare_for_members(image, model)
    for sentence in ood_warnings(image, model.members[0].loaded):
        progress.say(f"warning: {task.case.name}: {sentence}.")
    return PredictionTask(prepared, write, workers, task.probabilities)


def _prefetched(
    function: Callable[[_PredictionTask], R], tasks: Iterable[_PredictionTask]
) -> Iterator[tuple[_PredictionTask, Future[R]]]:
    """Yield each task with the future result of `function`, computed ahead in a thread.

    A large image is not prefetched: it waits until all images before it are predicted.
    """
    waiting: deque[tuple[_PredictionTask, Future[R]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="prepare") as pool:
        for task in tasks:
            if waiting and _is_large(task.case):
                while waiting:
                    yield waiting.popleft()
            waiting.append((task, pool.submit(function, task)))
            if len(waiting) > PREFETCHED_CASES:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _is_large(case: InputCase) -> bool:
    """Return True if reading a case needs a large share of the free memory; False if unknown."""
    available = available_bytes()
    if available is None or case.issue:
        return False
    try:
        headers = [read_header(path) for path in case.images]
    except CaseError:  # reading the image will raise the error
        return False
    channels = sum(header.num_channels for header in headers)
    size = max(header.voxel_bytes for header in headers)
    return reading_bytes(headers[0].shape, channels, size) > PREFETCH_MEMORY_SHARE * available


def _outcome(
    task: _PredictionTask, future: Future[Path], measured: SelectedModel
) -> _Written | UnscoredCase:
    """Return the output of a task, or its failure."""
    try:
        output = future.result()
        agreement = CaseTtaConsistency(name=task.case.name, targets=measured.tta_consistency())
        if task.probabilities is not None:
            store.save(agreement, task.probabilities / CaseTtaConsistency.FILE_NAME)
        return _Written(output, agreement)
    except Exception as error:  # an error in one case must not stop the others
        if affects_all(error):
            raise  # all other cases would fail in the same way
        return UnscoredCase(name=task.case.name, message=case_error_message(error))


def _check_folder(outputs: Path) -> None:
    """Raise a DatasetError if the output folder is a file or has the name of an image file."""
    if outputs.is_file() or (is_image_name(outputs) and not outputs.is_dir()):
        msg = (
            f"{outputs} is a file name; expected an output folder. Label maps get the names of "
            f"their images. Give a folder, for example {outputs.parent / 'segmentations'}."
        )
        raise DatasetError(msg)


def _check_writable(outputs: Path) -> None:
    """Create the output folder, and raise an OSError if it is not writable."""
    with naming_disk_errors(outputs):
        outputs.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=outputs):
            pass


def _protect_inputs(tasks: Sequence[_PredictionTask]) -> None:
    """Raise a DatasetError if an output would overwrite an input."""
    inputs = {path.resolve() for task in tasks for path in task.case.images}
    for task in tasks:
        if task.output.resolve() in inputs:
            msg = f"{task.output} would overwrite an input. Choose another output folder."
            raise DatasetError(msg)
