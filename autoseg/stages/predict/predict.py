"""`autoseg predict`: segment every image of a folder."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from autoseg.core.compute import Compute
from autoseg.core.disk import naming_disk_errors
from autoseg.core.errors import CaseError, DatasetError, affects_all, case_error_message
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
    Prediction,
    PredictionTask,
    ood_warnings,
    prepare_for_members,
    start_prediction,
)
from autoseg.inference.selected_model import SelectedModel, load_selection
from autoseg.models.loader import LoadOptions
from autoseg.models.model_selection import describe_selection, find_selection
from autoseg.readers import is_image_name, read_image
from autoseg.stages.predict.expected_quality import QualityReport
from autoseg.stages.predict.outputs.base import CasePrediction
from autoseg.stages.predict.outputs.build import case_outputs, check_ending, say_what_is_lost
from autoseg.stages.predict.outputs.options import OutputOptions
from autoseg.stages.predict.prefetching import PREFETCHED_CASES, prefetched
from autoseg.stages.predict.tasks import CaseTask, protect_inputs
from autoseg.stages.step_check import load_options

PENDING_EXPORTS = 2
"""Maximum number of images whose export may be unfinished."""


@dataclass(frozen=True)
class PredictOptions:
    """Options for prediction.

    Attributes:
        model: Value of `--model`; None finds the only model. A work folder with a selection means
            the selected configurations.
        folds: Folds to average; None for the selected folds, or all trained folds with a number.
        use_mirroring: Whether to average over mirrored images (TTA).
        skip_existing: Whether to skip images of which all outputs exist.
        probabilities: Folder for the probabilities of each case, for a single configuration.
        series: Patterns of the descriptions of DICOM series to predict; none for all.
        step_size: Largest distance of tiles as a fraction of the patch, above 0 and at most 1; None
            for ½.
        outputs: Files to write.
        compute: Device, precision, number of export threads and cache folder.
    """

    model: Path | None = None
    folds: tuple[FoldName, ...] | None = None
    use_mirroring: bool = True
    skip_existing: bool = False
    probabilities: Path | None = None
    series: tuple[str, ...] = ()
    step_size: float | None = None
    outputs: OutputOptions = field(default_factory=OutputOptions)
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


def predict(
    inputs: Path, outputs: Path, options: PredictOptions, progress: Progress
) -> PredictReport:
    """Predict a label map for every image.

    A label map has the geometry of its image, the label values of the training data, and the name
    and file ending of its image (`.png` for a JPEG, `.tif` for HDF5 and Zarr) unless
    `options.outputs` chooses another one. If a case fails, the others continue.

    Args:
        inputs: Folder of images, or a single image.
        outputs: Folder for the label maps; created if missing.
        options: Options for prediction.
        progress: Receives progress and warnings.

    Returns:
        Written, skipped and failed cases.

    Raises:
        ModelError: If there is no model or more than one, or a selected model is missing.
        DatasetError: If no image is found, `outputs` is a file, an output would overwrite an
            input, or an option of the outputs does not fit the images or the model.
    """
    _check_folder(outputs)
    if options.outputs.ending:
        check_ending(options.outputs.ending)
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
    if options.outputs.ending:
        say_what_is_lost(options.outputs.ending, cases, progress)
    if options.step_size is not None:
        model = model.with_step(options.step_size)
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
    written = case_outputs(options.outputs, cases, outputs, model.plan)
    tasks = [
        CaseTask(case, written, options.probabilities and options.probabilities / case.name)
        for case in cases
    ]
    protect_inputs(tasks)
    skipped: list[CaseTask] = []
    remaining: list[CaseTask] = []
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
    for output in written:
        output.finish()
    return PredictReport(
        model=model.path,
        written=tuple(outcome.output for outcome in done if isinstance(outcome, _Written)),
        skipped=tuple(task.label_map for task in skipped),
        failures=tuple(outcome for outcome in done if isinstance(outcome, UnscoredCase)),
        agreements=(
            *(agreement for task in skipped for agreement in task.saved_agreement()),
            *(outcome.agreement for outcome in done if isinstance(outcome, _Written)),
        ),
    )


def _outcomes(
    tasks: Sequence[CaseTask], model: SelectedModel, workers: int, progress: Progress
) -> Iterator[_Written | UnscoredCase]:
    """Yield the output or failure of each task, in order.

    At any time one image is read, one is predicted, and one or two are exported.
    """
    exporting: deque[tuple[CaseTask, Future[Path], SelectedModel]] = deque()
    with ExportThread() as exports:
        prepared = prefetched(lambda task: _joint_task(task, model, workers, progress), tasks)
        for position, (task, ready) in enumerate(prepared):
            progress.begin(_stage_name(tasks, position))
            measured = model.with_tta_consistency()
            exporting.append((task, _started(ready, measured, exports, progress), measured))
            del ready  # free the prepared image before the next one is taken
            if len(exporting) > PENDING_EXPORTS:
                yield _outcome(*exporting.popleft())
        while exporting:
            yield _outcome(*exporting.popleft())


def _stage_name(tasks: Sequence[CaseTask], position: int) -> str:
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
    task: CaseTask, model: SelectedModel, workers: int, progress: Progress
) -> PredictionTask[Path]:
    """Read and prepare an image, and warn if it differs from the training data."""
    if task.case.issue:
        raise CaseError(task.case.issue)
    image = read_image(task.case.images).reoriented(model.plan.orientation)
    for output in task.outputs:
        output.check(task.case, image)
    kept = image
    if not any(output.needs_voxels for output in task.outputs):
        # Shape and geometry are enough: zeros that take no memory free the voxels.
        kept = replace(image, voxels=np.broadcast_to(np.uint8(0), image.voxels.shape))

    def write(found: Prediction) -> Path:
        values = model.values(found.indices)
        prediction = CasePrediction(task.case, kept, values, found.probabilities)
        for output in task.outputs:
            output.write(prediction)
        return task.label_map

    prepared = prepare_for_members(image, model)
    for sentence in ood_warnings(image, model.members[0].loaded):
        progress.say(f"warning: {task.case.name}: {sentence}.")
    keeps = any(output.needs_probabilities for output in task.outputs)
    return PredictionTask(prepared, write, workers, task.probabilities, keeps_probabilities=keeps)


def _outcome(
    task: CaseTask, future: Future[Path], measured: SelectedModel
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
