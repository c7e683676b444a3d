"""Measure every stage on some cases of a dataset, and forecast what all of it takes."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter

from autoseg.benchmarking import loading, machine, predicting, preparing, reading, scoring, stepping
from autoseg.benchmarking.forecast import MeasuredSpeed, forecasts, pace_of, scale_of
from autoseg.benchmarking.sample import Sample, measured_configurations, take_sample
from autoseg.benchmarking.timing import TimeLimit
from autoseg.core.device import Precision, choose_device
from autoseg.core.errors import Interrupted
from autoseg.core.interrupt import ending_at_once
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.datasets.phantoms import write_volumes
from autoseg.documents import store
from autoseg.documents.bench import Bench, Throughput
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Configuration
from autoseg.documents.splits import ALL, Fold
from autoseg.documents.workspace import Workspace
from autoseg.planning.forecast import Machine
from autoseg.stages.demo import DEMO_SEED
from autoseg.stages.plan import this_machine
from autoseg.stages.training_duration import TrainingDuration
from autoseg.stages.training_task import TrainRequest, training_task
from autoseg.training.loop import TrainingTask

SCRATCH_PREFIX = ".bench-"

DEMO_NAME = "Demo_Volumes"
"""The dataset that is made where none is named."""


@dataclass(frozen=True)
class BenchOptions:
    """How to measure.

    Attributes:
        configurations: Which of the plan; empty takes the default and its 2-D counterpart.
        num_cases: How many cases to measure.
        device: Name of the device; "auto" takes an accelerator if there is one.
        precision: Type that convolutions compute in.
        workers: Processes that prepare training batches; None as `train` takes them.
        time_limit: How long each row may take.
        cache: Folder of measured speeds of machines, by which what is not measured is scaled; None
            goes by the planner's usual constants.
    """

    configurations: tuple[str, ...] = ()
    num_cases: int = 4
    device: str = "auto"
    precision: Precision = "auto"
    workers: int | None = None
    time_limit: TimeLimit = field(default_factory=TimeLimit)
    cache: Path | None = None


@dataclass(frozen=True)
class _Measurement:
    name: str
    measure: Callable[[], Throughput]


def bench(
    dataset: Path | None, planned: Workspace, options: BenchOptions, *, progress: Progress
) -> Bench:
    """Return how fast each stage is on this machine, beside its floor, and what a dataset takes.

    Nothing is written but a temporary folder beside the work folder, which is always removed.

    Args:
        dataset: The user's folder; None makes small volumes.
        planned: The dataset's work folder; only its plan is read, if there is one.
        options: How to measure.
        progress: Where to report to.

    Raises:
        DatasetError: If the folder is no dataset, or the work folder belongs to another one.
        CaseError: If one of the measured cases has issues.
        PlanError: If a configuration is none, or cannot be measured by itself.
        TrainingError: If the device is none, or has too little memory.
        Interrupted: If someone asked to stop; nothing is left behind.
    """
    planned_on = this_machine(options.device, options.cache)
    with _scratch_folder(planned.root.parent) as scratch:
        if dataset is None:
            dataset, _ = write_volumes(scratch / "data", DEMO_SEED)
        sample = take_sample(
            dataset,
            planned,
            scratch,
            num_cases=options.num_cases,
            machine=planned_on,
            progress=progress,
        )
        return _measured(sample, planned_on, options, progress)


@contextmanager
def _scratch_folder(beside: Path) -> Iterator[Path]:
    """Give a folder that is gone afterwards, on the disk of the work folders where these exist.

    Raises:
        Interrupted: If someone asked to stop.
    """
    place = beside if beside.is_dir() else None
    try:
        with (
            ending_at_once(),
            tempfile.TemporaryDirectory(
                prefix=SCRATCH_PREFIX, dir=place, ignore_cleanup_errors=True
            ) as folder,
        ):
            yield Path(folder)
    except KeyboardInterrupt as stop:
        msg = "stopped; nothing is left behind."
        raise Interrupted(msg) from stop


def _measured(
    sample: Sample, planned_on: Machine, options: BenchOptions, progress: Progress
) -> Bench:
    date, begun = datetime.now(UTC), perf_counter()
    where = machine.this_machine(choose_device(options.device))
    configurations = measured_configurations(sample.plan, options.configurations)
    todo = _measurements(sample, configurations, options)
    rows = []
    for measurement in progress.track(todo, description="Measuring", total=len(todo)):
        progress.status(measurement.name)
        rows.append(measurement.measure())
    result = Bench(
        date=date,
        seconds=1.0,
        machine=where,
        versions=machine.these_versions(),
        dataset_name=sample.spec.name,
        num_cases=sample.num_cases,
        cases=sample.names,
        rows=tuple(rows),
        fingerprint_seconds=_seconds_for_all(sample, rows),
        forecasts=(),
        notes=sample.notes,
    )
    scale = _case_scale(sample)
    paces = {entry.name: _pace(result, entry, scale) for entry in configurations}
    fingerprint = store.load(Fingerprint, sample.workspace.fingerprint, made_by="autoseg plan")
    whole = scale_of(sample.plan, fingerprint, sample.num_cases, planned_on)
    expected = forecasts(whole, paces)
    return result.model_copy(update={"forecasts": expected, "seconds": perf_counter() - begun})


def _measurements(
    sample: Sample, configurations: tuple[Configuration, ...], options: BenchOptions
) -> list[_Measurement]:
    """Return all that is measured, in the order of the work; each relies on those before."""
    time_limit = options.time_limit
    found = [
        _Measurement("import", partial(reading.import_time, time_limit)),
        _Measurement("start", partial(reading.help_time, time_limit)),
        _Measurement(
            "reading", partial(reading.reading, sample.spec.cases, sample.plan.labels, time_limit)
        ),
        _Measurement("fingerprint", partial(reading.fingerprinting, sample.spec, time_limit)),
    ]
    for configuration in configurations:
        found += _of_configuration(sample, configuration, options)
    return [*found, _Measurement("evaluation", partial(scoring.evaluation, sample, time_limit))]


def _of_configuration(
    sample: Sample, configuration: Configuration, options: BenchOptions
) -> list[_Measurement]:
    """Return what is measured of one configuration."""
    name, time_limit = configuration.name, options.time_limit

    def task() -> TrainingTask:
        return _task(sample, configuration, options)

    window = partial(
        predicting.prediction,
        sample,
        configuration,
        time_limit,
        device=options.device,
        precision=options.precision,
    )
    steps: dict[str, Callable[[], Throughput]] = {
        "preprocess": partial(preparing.preparing, sample, configuration, time_limit),
        "resampling": partial(preparing.resampling, sample, configuration, time_limit),
        "patches": lambda: loading.patches(task().data, name, time_limit),
        "loader": lambda: loading.augmentation(task().data, name, time_limit),
        "training step": lambda: stepping.training_steps(task(), name, time_limit),
        "prediction": window,
        "export": partial(predicting.export, sample, configuration, time_limit),
    }
    return [_Measurement(f"{stage} {name}", measure) for stage, measure in steps.items()]


def _task(sample: Sample, configuration: Configuration, options: BenchOptions) -> TrainingTask:
    """Return a training on the sample's cases, which must be prepared."""
    request = TrainRequest(
        fold=ALL,
        configuration=configuration.name,
        length=TrainingDuration(iterations=1),
        precision=options.precision,
        device=options.device,
        workers=options.workers,
    )
    num_channels = len(sample.plan.channel_names)
    prepared = preparing.prepared_cases(sample, configuration)
    total_bytes = sum(preparing.stored_bytes(case, num_channels) for case in prepared)
    names = loading.names_like_a_fold(sample.names, total_bytes, sample.num_cases)
    fold = Fold(train=names, validation=sample.names)
    return training_task(sample.workspace, sample.plan, fold, request)


def _pace(result: Bench, configuration: Configuration, case_scale: float) -> MeasuredSpeed:
    rows = {row.stage: row for row in result.rows if row.configuration == configuration.name}
    return pace_of(rows, case_scale=case_scale)


def _case_scale(sample: Sample) -> float:
    """Return the size of a mean case of the dataset over that of a mean case measured."""
    return len(sample.spec.cases) / (sample.share * sample.num_cases)


def _seconds_for_all(sample: Sample, rows: list[Throughput]) -> float:
    """Return how long reading and measuring every case takes, by all processes."""
    row = next(row for row in rows if row.stage == "fingerprint")
    return row.seconds / sample.share / default_workers()
