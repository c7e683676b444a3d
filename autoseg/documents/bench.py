"""How fast a machine does each stage, beside what is possible, and how long a dataset takes."""

from typing import Literal

from pydantic import AwareDatetime, NonNegativeFloat, PositiveFloat, PositiveInt

from autoseg.core.frozen import Frozen
from autoseg.documents.versions import Versions

SECONDS = "s"
"""Unit of what is measured as a time; every other unit is a throughput."""


class Throughput(Frozen):
    """One measured thing beside its floor.

    Both were measured in turns; on a machine with other work the ratio is then truer than either.

    Attributes:
        stage: What was measured, e.g. `reading`.
        configuration: Of which configuration; None for what all of them share.
        unit: Of `value` and `floor`: `SECONDS`, or something per second.
        value: What autoseg reaches.
        floor: What the machine reaches at the bare minimum of the work.
        ratio: Median over the repeats of autoseg's time over the floor's; 1 is at the floor.
        lowest_ratio: The smallest of the repeats.
        highest_ratio: The largest.
        repeats: How often both were measured.
        seconds: Median time of one repeat.
        floor_seconds: That of the floor.
        measured_is: What autoseg did, in words.
        floor_is: What the floor is, in words.
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
    """What a configuration will take.

    Attributes:
        configuration: Its name.
        is_measured: Whether its own network was timed; if not, the pace of another one was scaled
            by the size of the network and patch.
        preparation_seconds: Preparing all cases, by all processes that fit the machine.
        seconds_per_step: One training step.
        steps: Steps of a training of the planned length.
        hours_per_fold: Such a training, with its online validation, without scoring.
        prediction_seconds: One image of median size, by one network.
    """

    configuration: str
    is_measured: bool
    preparation_seconds: PositiveFloat
    seconds_per_step: PositiveFloat
    steps: PositiveInt
    hours_per_fold: PositiveFloat
    prediction_seconds: PositiveFloat


class BenchMachine(Frozen):
    """Where it was measured.

    Attributes:
        processor: Name of the processor.
        cores: Cores that this process may use.
        memory_gib: Main memory; None if the system does not say.
        device: Where networks ran: name of the GPU, or `cpu`.
        load: Mean number of processes that were running or waiting in the minute before; None if
            the system does not say.
    """

    processor: str
    cores: PositiveInt
    memory_gib: PositiveFloat | None
    device: str
    load: NonNegativeFloat | None


class Bench(Frozen):
    """What `autoseg bench` found.

    Attributes:
        date: When it began.
        seconds: How long it took.
        machine: Where.
        versions: Software.
        dataset_name: Whose cases were measured.
        num_cases: How many cases the dataset has.
        cases: Those measured.
        rows: What was measured, in the order of the work.
        fingerprint_seconds: Forecast of reading and measuring all cases.
        forecasts: One per configuration of the plan.
        notes: What is particular about these figures, a sentence each.
    """

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

    def row(self, stage: str, configuration: str | None = None) -> Throughput:
        """Return a row by its stage and configuration.

        Raises:
            KeyError: If it was not measured.
        """
        for row in self.rows:
            if (row.stage, row.configuration) == (stage, configuration):
                return row
        raise KeyError((stage, configuration))
