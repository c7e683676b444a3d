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
from autoseg.core.case import Image
from autoseg.core.device import Precision
from autoseg.core.errors import CaseError, DatasetError, issue_of_case, issue_of_disk
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.datasets.inputs import InputCase, channels_alone, find_inputs
from autoseg.documents import store
from autoseg.documents.quality import CaseAgreement
from autoseg.documents.splits import FoldName
from autoseg.inference.export_queue import ExportThread
from autoseg.inference.joint_prediction import JointPredictionTask, prepared_for_all, start_joint
from autoseg.inference.model import LoadOptions
from autoseg.inference.model_selection import SelectedModel, description, find_selection, loaded
from autoseg.inference.prediction import unlike_training
from autoseg.inference.probabilities import has_probabilities
from autoseg.preprocessing.memory import available_bytes, reading_bytes
from autoseg.readers import is_image_name, label_ending, read_header, read_image, write_labels
from autoseg.stages.expected_quality import QualityReport
from autoseg.stages.step_check import known_precision

CASES_AHEAD = 1
"""Images that are read and prepared while the networks work on another."""

AHEAD_SHARE = 1 / 8
"""Share of the free memory that reading an image may take for it to be read ahead. Of larger ones,
reading takes little of the time, but would take the memory twice."""

CASES_BEHIND = 2
"""Images whose export may still be going on."""

AGREEMENT_NAME = "agreement.json"
"""How far the networks agreed on a case, among its probabilities: a prediction that was interrupted
would else not know it of the cases before."""

R = TypeVar("R")


@dataclass(frozen=True)
class PredictOptions:
    """How to predict.

    Attributes:
        model: `--model`; None finds the only one. A work folder with a selection means the
            selected configurations.
        device: Name of the device.
        precision: What convolutions compute in.
        folds: Which folds to average; None for those selected, or else all numbered ones that are
            trained.
        use_mirroring: Whether to average over flips.
        skip_existing: Whether outputs that exist are left as they are.
        probabilities: Folder to keep the probabilities of each case in, for a single configuration.
        workers: Threads of the export.
        cache: Folder of what is known about this machine; None knows nothing.
    """

    model: Path | None = None
    device: str = "auto"
    precision: Precision = "auto"
    folds: tuple[FoldName, ...] | None = None
    use_mirroring: bool = True
    skip_existing: bool = False
    probabilities: Path | None = None
    workers: int = field(default_factory=default_workers)
    cache: Path | None = None

    def loading(self, progress: Progress) -> LoadOptions:
        """Return the options for loading networks."""
        rule = known_precision(self.cache, progress)
        return LoadOptions(self.device, self.precision, self.use_mirroring, rule)


@dataclass(frozen=True)
class FailedCase:
    """A case without output.

    Attributes:
        name: The case.
        message: Why, in one sentence.
    """

    name: str
    message: str


@dataclass(frozen=True)
class PredictReport:
    """What became of each input.

    Attributes:
        model: The model that was used.
        written: Outputs made now.
        skipped: Outputs that were there already.
        failures: Cases that have no output.
        agreements: How far the networks agreed with themselves on the cases written now, and on
            those whose probabilities were kept.
    """

    model: Path
    written: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failures: tuple[FailedCase, ...]
    agreements: tuple[CaseAgreement, ...] = ()


@dataclass(frozen=True)
class _Written:
    """An output made now, and how far the networks agreed."""

    output: Path
    agreement: CaseAgreement


@dataclass(frozen=True)
class _PredictionTask:
    case: InputCase
    output: Path
    probabilities: Path | None = None

    @property
    def is_finished(self) -> bool:
        """Whether all that it should give is there."""
        if self.probabilities is None:
            return self.output.is_file()
        kept = has_probabilities(self.probabilities)
        return kept and self.output.is_file() and (self.probabilities / AGREEMENT_NAME).is_file()

    def saved_agreement(self) -> tuple[CaseAgreement, ...]:
        """Return how far the networks agreed, if a finished task kept it.

        Raises:
            DocumentError: If it is damaged.
        """
        if self.probabilities is None:
            return ()
        path = self.probabilities / AGREEMENT_NAME
        return (store.load(CaseAgreement, path, made_by="autoseg train"),)


def predict(
    inputs: Path, outputs: Path, options: PredictOptions, progress: Progress
) -> PredictReport:
    """Write a label map for every image, and return what became of each.

    An output has the geometry of its input, the label values of the training data, and the name
    and ending of its input (`.png` for a JPEG). A case that fails does not keep the others.

    Args:
        inputs: A folder of images, or one image.
        outputs: Folder for the label maps; made if it is not there.
        options: How to predict.
        progress: Where warnings and the position go.

    Raises:
        ModelError: If no model, or more than one, is meant, or a selected one is not there.
        DatasetError: If no image is found, `outputs` is a file, or an output would overwrite an
            input.
    """
    _check_folder(outputs)
    progress.begin("loading the model")
    choice = find_selection(options.model, options.folds)
    model = loaded(choice, options.loading(progress))
    if selected := description(choice):
        progress.say(selected)
    for sentence in choice.warnings:
        progress.say(f"warning: {sentence}.")
    num_channels = len(model.plan.channel_names)
    cases = find_inputs(inputs, num_channels=num_channels)
    if sentence := channels_alone(cases, num_channels=num_channels):
        progress.say(f"warning: {sentence}.")
    if choice.selection is None:
        return predict_cases(cases, outputs, model, options, progress)
    quality = QualityReport(choice.selection.quality, model.plan.labels, outputs, progress)
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
    on_written: Callable[[CaseAgreement], None] = lambda _: None,
) -> PredictReport:
    """Write the label maps of given cases, and return what became of each; see `predict`.

    Args:
        cases: The images.
        outputs: Folder for the label maps.
        model: The networks.
        options: How to predict.
        progress: Where warnings and the position go.
        on_written: Called for each label map that is written, with how far the networks agreed.

    Raises:
        DatasetError: If an output would overwrite an input.
        OSError: If the disk is full or closed to the user.
    """
    tasks = [_task(case, outputs, options.probabilities) for case in cases]
    _protect_inputs(tasks)
    finished = [options.skip_existing and task.is_finished for task in tasks]
    left = [task for task, is_finished in zip(tasks, finished, strict=True) if not is_finished]
    if left:
        _check_writable(outputs)
    outcomes = _outcomes(left, model, options.workers, progress)
    done = []
    for outcome in progress.track(outcomes, description="Predicting", total=len(left)):
        done.append(outcome)
        if isinstance(outcome, _Written):
            on_written(outcome.agreement)
    return PredictReport(
        model=model.path,
        written=tuple(outcome.output for outcome in done if isinstance(outcome, _Written)),
        skipped=tuple(task.output for task, is_in in zip(tasks, finished, strict=True) if is_in),
        failures=tuple(outcome for outcome in done if isinstance(outcome, FailedCase)),
        agreements=(
            *(
                entry
                for task, is_in in zip(tasks, finished, strict=True)
                if is_in
                for entry in task.saved_agreement()
            ),
            *(entry.agreement for entry in done if isinstance(entry, _Written)),
        ),
    )


def _task(case: InputCase, outputs: Path, probabilities: Path | None) -> _PredictionTask:
    output = outputs / f"{case.name}{label_ending(case.ending)}"
    return _PredictionTask(
        case, output, None if probabilities is None else probabilities / case.name
    )


def _outcomes(
    tasks: Sequence[_PredictionTask], model: SelectedModel, workers: int, progress: Progress
) -> Iterator[_Written | FailedCase]:
    """Yield each task's output or failure, in order.

    At any time one image is being read, one is with the networks, and one or two are exported.
    """
    behind: deque[tuple[_PredictionTask, Future[Path], SelectedModel]] = deque()
    with ExportThread() as exports:
        prepared = _ahead(lambda task: _joint_task(task, model, workers, progress), tasks)
        for position, (task, ready) in enumerate(prepared):
            progress.begin(_at_work(tasks, position))
            watched = model.watched()
            behind.append((task, _started(ready, watched, exports, progress), watched))
            del ready  # the prepared image goes before the next one comes
            if len(behind) > CASES_BEHIND:
                yield _outcome(*behind.popleft())
        while behind:
            yield _outcome(*behind.popleft())


def _at_work(tasks: Sequence[_PredictionTask], position: int) -> str:
    """Name the case that is predicted, and those read or written at the same time."""
    first, last = max(0, position - CASES_BEHIND), position + CASES_AHEAD
    others = [task.case.name for task in (*tasks[first:position], *tasks[position + 1 : last + 1])]
    also = f" (also at work: {', '.join(others)})" if others else ""
    return f"predicting {tasks[position].case.name}{also}"


def _started(
    ready: Future[JointPredictionTask[Path]],
    model: SelectedModel,
    exports: ExportThread,
    progress: Progress,
) -> Future[Path]:
    """Return the output to come; if reading or preparing failed, that error is already in it."""
    error = ready.exception()
    if error is None:
        return start_joint(ready.result(), model, exports, progress=progress)
    failed: Future[Path] = Future()
    failed.set_exception(error)
    return failed


def _joint_task(
    task: _PredictionTask, model: SelectedModel, workers: int, progress: Progress
) -> JointPredictionTask[Path]:
    """Read and prepare an image, say how it is unlike the training data, and return what to do.

    Raises:
        CaseError: If its files are not what the model needs.
    """
    if task.case.issue:
        raise CaseError(task.case.issue)
    image = read_image(task.case.images).turned(model.plan.orientation)
    grid = _without_voxels(image)

    def write(indices: LabelArray) -> Path:
        write_labels(model.values(indices), grid, task.output)
        return task.output

    prepared = prepared_for_all(image, model)
    for sentence in unlike_training(image, model.members[0]):
        progress.say(f"warning: {task.case.name}: {sentence}.")
    return JointPredictionTask(prepared, write, workers, task.probabilities)


def _without_voxels(image: Image) -> Image:
    """Return the image as zeros that take no memory: writing needs its shape and geometry only."""
    return replace(image, voxels=np.broadcast_to(np.float32(0), image.voxels.shape))


def _ahead(
    function: Callable[[_PredictionTask], R], tasks: Iterable[_PredictionTask]
) -> Iterator[tuple[_PredictionTask, Future[R]]]:
    """Yield each task with what `function` makes of it, a few tasks ahead in a thread.

    A large image waits until the networks are through with those before it.
    """
    waiting: deque[tuple[_PredictionTask, Future[R]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="prepare") as pool:
        for task in tasks:
            if waiting and _is_large(task.case):
                while waiting:
                    yield waiting.popleft()
            waiting.append((task, pool.submit(function, task)))
            if len(waiting) > CASES_AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _is_large(case: InputCase) -> bool:
    """Return whether reading a case takes a large part of the free memory; False if unknown."""
    available = available_bytes()
    if available is None or case.issue:
        return False
    try:
        headers = [read_header(path) for path in case.images]
    except CaseError:  # reading it will say what is wrong
        return False
    channels = sum(header.num_channels for header in headers)
    return reading_bytes(headers[0].shape, channels) > AHEAD_SHARE * available


def _outcome(
    task: _PredictionTask, future: Future[Path], watched: SelectedModel
) -> _Written | FailedCase:
    """Return a task's output, or why it has none."""
    try:
        output = future.result()
        agreement = CaseAgreement(name=task.case.name, targets=watched.agreement())
        if task.probabilities is not None:
            store.save(agreement, task.probabilities / AGREEMENT_NAME)
        return _Written(output, agreement)
    except Exception as error:  # any issue of one case must stay with that case
        if isinstance(error, OSError) and issue_of_disk(error) is not None:
            raise  # the others would fail alike, after all the work
        return FailedCase(task.case.name, issue_of_case(error))


def _check_folder(outputs: Path) -> None:
    """Check that outputs have a folder to go to, before anything is computed.

    Raises:
        DatasetError: If its name is that of a file.
    """
    if outputs.is_file() or (is_image_name(outputs) and not outputs.is_dir()):
        msg = (
            f"{outputs} is the name of a file; expected a folder. Label maps are called like their "
            f"images: name the folder, e.g. {outputs.parent / 'segmentations'}."
        )
        raise DatasetError(msg)


def _check_writable(outputs: Path) -> None:
    """Check that files can be made in a folder, before anything is computed.

    Raises:
        OSError: If not.
    """
    outputs.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=outputs):
        pass


def _protect_inputs(tasks: Sequence[_PredictionTask]) -> None:
    """Check that no output has the path of an input.

    Raises:
        DatasetError: If one has.
    """
    inputs = {path.resolve() for task in tasks for path in task.case.images}
    for task in tasks:
        if task.output.resolve() in inputs:
            msg = f"{task.output} would overwrite an input. Choose another output folder."
            raise DatasetError(msg)
