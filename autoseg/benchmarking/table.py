"""Format the tables and lines that `autoseg bench` prints."""

from autoseg.benchmarking.loading import augmentation_share
from autoseg.core.formatting import format_count, format_duration, format_number, format_percent
from autoseg.documents.bench import SECONDS, Bench, ConfigurationForecast, Throughput

Row = tuple[str, ...]
Table = tuple[Row, list[Row]]


def throughput_rows(bench: Bench) -> Table:
    """Return header and rows of the measurements."""
    header = ("stage", "autoseg", "floor", "ratio", "the floor is")
    return header, [_throughput_row(row) for row in bench.rows]


def forecast_rows(bench: Bench) -> Table:
    """Return header and rows of the forecast."""
    header = ("configuration", "prepare", "s per step", "steps per h", "a fold", "predict a case")
    return header, [_forecast_row(entry) for entry in bench.forecasts]


def summary_lines(bench: Bench) -> list[str]:
    """Return the lines that are printed in addition to the tables."""
    machine = bench.machine
    memory = "" if machine.memory_gib is None else f", {machine.memory_gib:.0f} GiB"
    hardware = f"{machine.processor}, {machine.cores} cores{memory}, networks on {machine.device}"
    software = f"torch {bench.versions.torch}; {bench.date:%Y-%m-%d %H:%M} UTC"
    all_cases = f"reading and measuring all {format_count(bench.num_cases, 'case')}"
    lines = [
        f"{hardware}; {software}, in {format_duration(bench.seconds)}",
        *bench.notes,
        f"{all_cases} takes {format_duration(bench.fingerprint_seconds)}",
    ]
    lines += [
        f"augmentation takes {format_percent(augmentation_share(row))} of the loader's time for "
        f"{row.configuration}"
        for row in bench.rows
        if row.stage == "loader"
    ]
    if machine.load is not None and machine.load > machine.cores / 2:
        lines.append(
            f"the machine was busy (load {machine.load:.1f} on {machine.cores} cores): only the "
            "ratios are reliable"
        )
    return lines


def _throughput_row(row: Throughput) -> Row:
    name = row.stage if row.configuration is None else f"{row.stage} {row.configuration}"
    unit = " s" if row.unit == SECONDS else f" {row.unit}"
    return (
        name,
        format_number(row.value, 3) + unit,
        format_number(row.floor, 3) + unit,
        format_number(row.ratio, 3),
        row.floor_is,
    )


def _forecast_row(entry: ConfigurationForecast) -> Row:
    about = "" if entry.is_measured else "~"
    return (
        entry.configuration,
        about + format_duration(entry.preparation_seconds),
        about + format_number(entry.seconds_per_step, 3),
        about + format_number(3600 / entry.seconds_per_step, 3),
        about + format_duration(entry.hours_per_fold * 3600),
        about + format_duration(entry.prediction_seconds),
    )
