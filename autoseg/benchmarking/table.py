"""What `autoseg bench` prints."""

from autoseg.benchmarking.loading import augmentation_share
from autoseg.core.text import counted
from autoseg.documents.bench import SECONDS, Bench, ConfigurationForecast, Throughput

Row = tuple[str, ...]
Table = tuple[Row, list[Row]]

UNITS = ((48 * 3600, 86400, "days"), (2 * 3600, 3600, "h"), (120, 60, "min"))
"""From how many seconds on a time is given in a unit, its seconds, and its name."""


def throughput_rows(bench: Bench) -> Table:
    """Return header and rows of what was measured."""
    header = ("stage", "autoseg", "floor", "ratio", "the floor is")
    return header, [_throughput_row(row) for row in bench.rows]


def forecast_rows(bench: Bench) -> Table:
    """Return header and rows of what a dataset takes."""
    header = (
        "configuration",
        "prepare",
        "s per step",
        "steps per h",
        "a fold",
        "predict a case",
    )
    return header, [_forecast_row(entry) for entry in bench.forecasts]


def sentences(bench: Bench) -> list[str]:
    """Return what to know beside the tables."""
    machine = bench.machine
    memory = "" if machine.memory_gib is None else f", {machine.memory_gib:.0f} GiB"
    where = f"{machine.processor}, {machine.cores} cores{memory}, networks on {machine.device}"
    when = f"torch {bench.versions.torch}; {bench.date:%Y-%m-%d %H:%M} UTC"
    all_cases = f"reading and measuring all {counted(bench.num_cases, 'case')}"
    lines = [
        f"{where}; {when}, in {time_of(bench.seconds)}",
        *bench.notes,
        f"{all_cases} takes {time_of(bench.fingerprint_seconds)}",
    ]
    lines += [
        f"augmentation is {augmentation_share(row):.0%} of what the loader does for "
        f"{row.configuration}"
        for row in bench.rows
        if row.stage == "loader"
    ]
    if machine.load is not None and machine.load > machine.cores / 2:
        lines.append(
            f"other work ran beside (load {machine.load:.1f} on {machine.cores} cores): trust the "
            "ratios more than the rest"
        )
    return lines


def time_of(seconds: float) -> str:
    """Return a time in the unit that a person would use, to two or three digits."""
    for least, length, unit in UNITS:
        if seconds >= least:
            return f"{short(seconds / length)} {unit}"
    return f"{short(seconds)} s"


def short(value: float) -> str:
    """Return a positive number to three digits, without an exponent; all of those before a dot."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _throughput_row(row: Throughput) -> Row:
    name = row.stage if row.configuration is None else f"{row.stage} {row.configuration}"
    unit = " s" if row.unit == SECONDS else f" {row.unit}"
    return (
        name,
        short(row.value) + unit,
        short(row.floor) + unit,
        short(row.ratio),
        row.floor_is,
    )


def _forecast_row(entry: ConfigurationForecast) -> Row:
    about = "" if entry.is_measured else "~"
    return (
        entry.configuration,
        about + time_of(entry.preparation_seconds),
        about + short(entry.seconds_per_step),
        about + short(3600 / entry.seconds_per_step),
        about + time_of(entry.hours_per_fold * 3600),
        about + time_of(entry.prediction_seconds),
    )
