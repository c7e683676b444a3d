"""Time every stage on some cases of a dataset and forecast the time for the whole dataset."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter

from autoseg.benchmarking import loading, machine, predicting, preparing, reading, scoring, stepping
from autoseg.benchmarking.forecast import ForecastInputs, forecasts, speed_from_rows
from autoseg.benchmarking.sample import Sample, measured_configurations, take_sample
from autoseg.benchmarking.target import Target
from autoseg.benchmarking.timing import TimeLimit
from autoseg.core.compute import Compute
from autoseg.core.device import choose_device
from autoseg.core.errors import Interrupted
from autoseg.core.interrupt import interrupt_on_sigterm
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.datasets.phantoms import write_volumes
from autoseg.documents.bench import Bench, Throughput
from autoseg.documents.plan import Configuration
from autoseg.documents.workspace import Workspace
from autoseg.planning.forecast import Machine
from autoseg.stages.demo import DEMO_SEED
from autoseg.stages.plan.plan import this_machine
from autoseg.stages.step_check import StepChecks

SCRATCH_PREFIX = ".bench-"

STAGES: dict[str, Callable[[Target], Throughput]] = {
    "preprocess": preparing.time_preparing,
    "resampling": preparing.time_resampling,
    "patches": loading.time_patches,
    "loader": loading.time_loader,
    "training step": stepping.time_training_steps,
    "prediction": predicting.time_prediction,
    "export": predicting.time_export,
}
"""Stages that are measured for each configuration, in order."""

DEMO_NAME = "Demo_Volumes"
"""Name of the synthetic dataset that is used if no dataset is given."""


@dataclass(frozen=True)
class BenchOptions:
    """Options of a benchmark.

    Attributes:
        configurations: Names of configurations to measure; empty selects the plan's default and
            its 2-D counterpart.
        num_cases: Number of cases to measure.
        time_limit: Time limit of each row.
        compute: Device, precision, number of processes that prepare training batches, and the
            cache folder with the measured speeds of machines, used to forecast configurations that
            are not measured.
    """

    configurations: tuple[str, ...] = ()
    num_cases: int = 4
    time_limit: TimeLimit = field(default_factory=TimeLimit)
    compute: Compute = field(default_factory=Compute)


def bench(
    dataset: Path | None, planned: Workspace, options: BenchOptions, *, progress: Progress
) -> Bench:
    """Time each stage on this machine against its floor, and forecast the time for a dataset.

    The only output is a temporary folder next to the work folder, which is always removed.

    Args:
        dataset: The user's dataset folder; None creates a small synthetic dataset.
        planned: Work folder of the dataset; its plan is used if it exists.
        options: Options of the benchmark.
        progress: Progress reporting.

    Returns:
        All rows and forecasts.

    Raises:
        DatasetError: If the folder is not a dataset, or the work folder belongs to another one.
        CaseError: If one of the measured cases has issues.
        PlanError: If a configuration does not exist or is a cascade, which cannot be measured.
        TrainingError: If the device does not exist or has too little memory.
        Interrupted: If the user interrupts; the temporary folder is removed.
    """
    training_machine = this_machine(options.compute.device, options.compute.cache)
    with _scratch_folder(planned.root.parent) as scratch:
        if dataset is None:
            dataset, _ = write_volumes(scratch / "data", DEMO_SEED)
        sample = take_sample(
            dataset,
            planned,
            scratch,
            num_cases=options.num_cases,
            machine=training_machine,
            progress=progress,
        )
        return _run_measurements(sample, training_machine, options, progress)


@contextmanager
def _scratch_folder(parent: Path) -> Iterator[Path]:
    """Provide a temporary folder, on the disk of the work folders if they exist."""
    place = parent if parent.is_dir() else None
    try:
        with (
            interrupt_on_sigterm(),
            tempfile.TemporaryDirectory(
                prefix=SCRATCH_PREFIX, dir=place, ignore_cleanup_errors=True
            ) as folder,
        ):
            yield Path(folder)
    except KeyboardInterrupt as stop:
        raise Interrupted("interrupted; the temporary folder was removed.") from stop


def _run_measurements(
    sample: Sample, training_machine: Machine, options: BenchOptions, progress: Progress
) -> Bench:
    date, start = datetime.now(UTC), perf_counter()
    bench_machine = machine.this_machine(choose_device(options.compute.device))
    configurations = measured_configurations(sample.project.plan, options.configurations)
    computes = safe_computes(configurations, options.compute, progress)
    targets = [
        Target(sample, entry, options.time_limit, compute)
        for entry, compute in zip(configurations, computes, strict=True)
    ]
    todo = _measurements(sample, targets, options.time_limit)
    rows = []
    for name, measure in progress.track(todo.items(), description="Measuring", total=len(todo)):
        progress.status(name)
        rows.append(measure())
    speeds = {
        entry.name: speed_from_rows(
            {row.stage: row for row in rows if row.configuration == entry.name},
            case_scale=_case_scale(sample),
        )
        for entry in configurations
    }
    project = sample.project
    inputs = ForecastInputs(project.plan, project.fingerprint, sample.num_cases, training_machine)
    return Bench(
        date=date,
        machine=bench_machine,
        versions=machine.software_versions(),
        dataset_name=project.dataset.name,
        num_cases=sample.num_cases,
        cases=sample.names,
        rows=tuple(rows),
        fingerprint_seconds=_seconds_for_all(sample, rows),
        forecasts=forecasts(inputs, speeds),
        notes=sample.notes,
        seconds=perf_counter() - start,
    )


def safe_computes(
    configurations: tuple[Configuration, ...], compute: Compute, progress: Progress
) -> list[Compute]:
    """Choose a precision for each configuration that is safe on this machine, as `train` does.

    Args:
        configurations: Configurations to measure.
        compute: Requested device and precision.
        progress: Receives warnings.
    """
    device = choose_device(compute.device)
    checks = StepChecks(compute.cache, progress)
    checks.limit_for_all(list(configurations), device, compute.precision)
    return [
        replace(compute, precision=checks.safe_precision(entry, device, compute.precision))
        for entry in configurations
    ]


def _measurements(
    sample: Sample, targets: list[Target], limit: TimeLimit
) -> dict[str, Callable[[], Throughput]]:
    """Return all measurements in order; later ones use the files that earlier ones write."""
    dataset, labels = sample.project.dataset, sample.project.plan.labels
    return {
        "import": partial(reading.time_import, limit),
        "start": partial(reading.time_help, limit),
        "reading": partial(reading.time_reading, dataset.cases, labels, limit),
        "fingerprint": partial(reading.time_fingerprinting, dataset, limit),
        **{
            f"{stage} {target.configuration.name}": partial(measure, target)
            for target in targets
            for stage, measure in STAGES.items()
        },
        "evaluation": partial(scoring.time_evaluation, sample, limit),
    }


def _case_scale(sample: Sample) -> float:
    """Return the ratio of the mean case size in the dataset to that in the sample."""
    return len(sample.project.dataset.cases) / (sample.share * sample.num_cases)


def _seconds_for_all(sample: Sample, rows: list[Throughput]) -> float:
    """Return the predicted time to read and measure all cases with all processes."""
    row = next(row for row in rows if row.stage == "fingerprint")
    return row.seconds / sample.share / default_workers()
