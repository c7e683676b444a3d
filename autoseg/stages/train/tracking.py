"""What experiment trackers receive of a training; no case names, no paths."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from platform import node
from shutil import copy
from tempfile import TemporaryDirectory

from autoseg.core.errors import AutosegError, first_line
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import TrainingOptions
from autoseg.documents.report import Report
from autoseg.documents.run import EpochRecord, Run
from autoseg.models.archive.privacy import Records, anonymize_records
from autoseg.stages.project import Project
from autoseg.stages.train.score_fold import OVERLAY_NAME, VALIDATION_NAME, draw_cases
from autoseg.stages.train.task import TrainRequest
from autoseg.tracking.base import Metrics, RunDescription
from autoseg.tracking.parameters import flat_parameters
from autoseg.tracking.tracked import Tracked, tracked
from autoseg.training.curves import CURVES_NAME
from autoseg.training.task import TrainingTask

REPORT_NAME = "report.json"
"""Name of the scores in trackers."""


class TrackedFold:
    """The training of a fold in the experiment trackers.

    Args:
        run: The run in the trackers.
        project: The project.
        folder: Fold folder.
        class_names: Names of the foreground classes or regions, in the order of their pseudo Dice.
        say: Receives warnings.
    """

    def __init__(
        self,
        run: Tracked,
        project: Project,
        folder: Path,
        class_names: tuple[str, ...],
        say: Callable[[str], None],
    ) -> None:
        self._run = run
        self._project = project
        self._folder = folder
        self._class_names = class_names
        self._say = say
        self._last_step = 0  # of the epochs that were passed on since the start of this process

    def check(self) -> None:
        """Report trackers that failed."""
        self._run.check()

    def log(self, history: Sequence[EpochRecord], peak_gib: float | None = None) -> None:
        """Log the epochs that are not logged yet.

        Args:
            history: All epochs, also those before the training was resumed.
            peak_gib: Peak memory until the last one, GiB; None if unknown.
        """
        if not self._run.is_used:
            return
        pairs = zip((None, *history), history, strict=False)
        new = [(before, record) for before, record in pairs if record.step > self._last_step]
        points = [
            epoch_metrics(
                record, before, self._class_names, peak_gib if record is history[-1] else None
            )
            for before, record in new
        ]
        if points:
            self._run.log(*points)
            self._last_step = points[-1].step

    def finish(self, run: Run, report: Report | None) -> None:
        """Log the scores of the held-out cases, and the files.

        Args:
            run: Record of the training.
            report: Scores of the held-out cases; None without any.
        """
        if not self._run.is_used:
            return
        self.log(run.history)
        with TemporaryDirectory() as temporary:
            files: tuple[Path, ...] = ()
            try:
                files = self._files(report, Path(temporary))
            except (AutosegError, OSError) as error:
                self._say(f"warning: no files are sent to the trackers ({first_line(error)})")
            self._run.finish(Metrics(run.steps, dice_metrics(report)), files)

    def _files(self, report: Report | None, temporary: Path) -> tuple[Path, ...]:
        """Return copies of the files to log, without case names."""
        names = (self._folder / CURVES_NAME, self._folder.parent / Plan.FILE_NAME)
        files = [Path(copy(path, temporary)) for path in names if path.is_file()]
        if report is not None:
            files.append(anonymous_report(report, self._project, temporary))
            overlay = temporary / OVERLAY_NAME
            fold = self._project.splits.fold(int(self._folder.name.removeprefix("fold_")))
            held_out = [c for c in self._project.dataset.cases if c.name in fold.validation]
            labels = self._project.plan.labels
            outputs = self._folder / VALIDATION_NAME
            draw_cases(report, held_out, outputs, labels, overlay, are_named=False)
            files += [overlay] if overlay.is_file() else []
        return tuple(files)


@contextmanager
def track_fold(
    project: Project,
    configuration: Configuration,
    task: TrainingTask,
    request: TrainRequest,
    progress: Progress,
) -> Iterator[TrackedFold]:
    """Track the training of a fold within the block.

    Args:
        project: The project.
        configuration: The configuration.
        task: The training task.
        request: Options, with the trackers.
        progress: Receives warnings.
    """
    folder = task.checkpoint.parent
    names = tuple(target.name for target in task.labels.targets)
    run = RunDescription(
        name=f"{configuration.name}, fold {request.fold}",
        experiment=project.plan.dataset_name,
        folder=folder,
        work=project.workspace.root,
        parameters=training_parameters(configuration, task, request),
        tags=common_tags(project.plan)
        | {"configuration": configuration.name, "fold": str(request.fold)},
        parents=request.tracking.parents,
    )
    with tracked(request.tracking, run, progress.say) as started:
        yield TrackedFold(started, project, folder, names, progress.say)


def common_tags(plan: Plan) -> dict[str, str]:
    """Return the dataset, the version of autoseg, and the name of the machine."""
    return {"dataset": plan.dataset_name, "autoseg": version("autoseg"), "host": node()}


def training_parameters(
    configuration: Configuration, task: TrainingTask, request: TrainRequest
) -> dict[str, str]:
    """Return the planned values and the options of a training, by stable names.

    Args:
        configuration: The configuration.
        task: The training task.
        request: Options for training.
    """
    options = TrainingOptions(
        length=task.length, seed=task.seed, precision=request.compute.precision
    )
    pretrained = task.pretrained
    return {
        **flat_parameters(configuration.model_dump(mode="json"), ""),
        **flat_parameters(task.recipe.model_dump(mode="json"), "recipe"),
        **flat_parameters(options.model_dump(mode="json"), "options"),
        "device": task.device.type,
        "data_type": str(task.dtype).removeprefix("torch."),
        "compiled": str(task.compiled).lower(),
        "pretrained": "none" if pretrained is None else pretrained.model,
        "cases.training": str(len(task.data.training_cases)),
        "cases.held_out": str(len(task.data.held_out_cases)),
    }


def epoch_metrics(
    record: EpochRecord,
    before: EpochRecord | None,
    class_names: Iterable[str],
    peak_gib: float | None,
) -> Metrics:
    """Return the values of an epoch by name, without those that are undefined.

    Args:
        record: The epoch.
        before: The epoch before it; None for the first.
        class_names: Names of the foreground classes or regions.
        peak_gib: Peak memory, GiB; None if unknown.
    """
    steps, seconds = (0, 0.0) if before is None else (before.step, before.seconds)
    values = {
        "epoch": float(record.epoch),
        "loss/training": record.training_loss,
        "loss/validation": record.validation_loss,
        "pseudo_dice_mean": record.mean_pseudo_dice,
        "learning_rate": record.learning_rate,
        "seconds_per_step": (record.seconds - seconds) / (record.step - steps),
        "peak_memory_gib": peak_gib,
    }
    named = zip(class_names, record.pseudo_dice, strict=True)
    values |= {f"pseudo_dice/{name}": value for name, value in named}
    return Metrics(record.step, _defined(values))


def dice_metrics(report: Report | None, prefix: str = "dice") -> dict[str, float]:
    """Return the Dice of each class and their mean by name; empty without a report."""
    if report is None:
        return {}
    values = {f"{prefix}/{scores.name}": scores.means.dice.value for scores in report.classes}
    return _defined({f"{prefix}_mean": report.foreground.dice.value, **values})


def anonymous_report(report: Report, project: Project, folder: Path) -> Path:
    """Write a report with numbers instead of case names, as in model files; return its path.

    Args:
        report: The report.
        project: The project, whose cases are numbered.
        folder: Folder to write to.
    """
    records = Records(project.fingerprint, folds={}, cross_validation=report)
    anonymous = anonymize_records(records).cross_validation
    if anonymous is not None:
        store.save(anonymous, folder / REPORT_NAME)
    return folder / REPORT_NAME


def _defined(values: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
