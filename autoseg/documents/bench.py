"""Benchmark of a machine: throughput of each stage compared with its floor, and forecasts."""

from typing import ClassVar, Literal

from pydantic import AwareDatetime, NonNegativeFloat, PositiveFloat

from autoseg.core.frozen import Frozen, PositiveInt
from autoseg.documents.document import Document
from autoseg.documents.versions import Versions

SECONDS = "s"
"""Unit of measured times; all other units are throughputs."""


class Throughput(Frozen):
    """One measurement, compared with its floor: the minimum of the necessary work.

    Both were measured alternately, so the ratio is more reliable than either value if the machine
    was busy.

    Attributes:
        stage: Measured stage, e.g. `reading`.
        configuration: Measured configuration; None for stages that all configurations share.
        unit: Unit of `value` and `floor`: `SECONDS`, or a quantity per second.
        value: Result of autoseg.
        floor: Result of the floor.
        ratio: Time of autoseg over time of the floor, median over the repeats; 1 is optimal.
        lowest_ratio: Smallest ratio over the repeats.
        highest_ratio: Largest ratio over the repeats.
        repeats: Number of repeats.
        seconds: Median time of one repeat of autoseg.
        floor_seconds: Median time of one repeat of the floor.
        measured_is: Description of the measured work.
        floor_is: Description of the floor.
    """

    stage: str
    configuration: str | None = None
    unit: str
    value: PositiveFloat
    floor: PositiveFloat
    ratio: PositiveFloat
    lowest_ratio: PositiveFloat
    highest_ratio: PositiveFloat
    repeats: PositiveInt
    seconds: PositiveFloat
    floor_seconds: PositiveFloat
    measured_is: str
    floor_is: str


class ConfigurationForecast(Frozen):
    """Forecast of the time that a configuration takes.

    Attributes:
        configuration: Name of the configuration.
        is_measured: Whether its own network was timed; if not, the speed of another network was
            scaled by the size of network and patch.
        preparation_seconds: Time to prepare all cases, with as many processes as the machine fits.
        seconds_per_step: Time of one training step.
        steps: Number of steps of a training of the planned length.
        hours_per_fold: Time of such a training with online validation, without scoring.
        prediction_seconds: Time to predict one image of median size with one network.
    """

    configuration: str
    is_measured: bool
    preparation_seconds: PositiveFloat
    seconds_per_step: PositiveFloat
    steps: PositiveInt
    hours_per_fold: PositiveFloat
    prediction_seconds: PositiveFloat


class BenchMachine(Frozen):
    """The machine that was measured.

    Attributes:
        processor: Name of the processor.
        cores: Number of cores available to this process.
        memory_gib: Main memory, GiB; None if unknown.
        device: Device of the networks: name of the GPU, or `cpu`.
        load: Mean number of running or waiting processes in the minute before; None if unknown.
    """

    processor: str
    cores: PositiveInt
    memory_gib: PositiveFloat | None
    device: str
    load: NonNegativeFloat | None


class Bench(Document):
    """Result of `autoseg bench`.

    Attributes:
        date: Start of the benchmark.
        seconds: Duration of the benchmark.
        machine: The machine that was measured.
        versions: Versions of the software.
        dataset_name: Name of the dataset whose cases were used.
        num_cases: Number of cases in the dataset.
        cases: Names of the cases that were used.
        rows: Measurements, in the order of the stages.
        fingerprint_seconds: Forecast of the time to read and measure all cases.
        forecasts: One forecast per configuration of the plan.
        notes: Remarks on these figures, one sentence each.
    """

    FILE_NAME: ClassVar[str] = "bench.json"
    MADE_BY: ClassVar[str] = "autoseg bench"
    schema_version: Literal[1] = 1
    date: AwareDatetime
    seconds: PositiveFloat
    machine: BenchMachine
    versions: Versions
    dataset_name: str
    num_cases: PositiveInt
    cases: tuple[str, ...]
    rows: tuple[Throughput, ...]
    fingerprint_seconds: PositiveFloat
    forecasts: tuple[ConfigurationForecast, ...]
    notes: tuple[str, ...] = ()
