"""`autoseg evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.commands.options import Workers, crash_notes, workers_or_default

if TYPE_CHECKING:
    from autoseg.documents.report import MetricName
    from autoseg.evaluation.cases import Measurement

ALL = "all"


def evaluate(
    context: typer.Context,
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.")],
    references: Annotated[Path, typer.Argument(help="Folder of what they should be.")],
    metrics: Annotated[
        str | None,
        typer.Option(
            help="What to measure and show, separated by commas: dice, iou, hd95_mm, assd_mm, nsd, "
            "sensitivity, precision, relative_volume_error, absolute_volume_error_ml, hd_mm, "
            "lesion_f1, cldice, or all.",
            show_default="all but lesion_f1 and cldice; shows dice, hd95_mm and nsd",
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            help="Surface distance that NSD forgives, mm; CLASS=MM for one class, or a JSON file "
            "with a number per class; repeatable.",
            show_default="one voxel along each case's coarsest axis",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Dataset, dataset.json or plan.json that tells regions and ignored values.",
            show_default="every value but 0 is a class",
        ),
    ] = None,
    cases: Annotated[bool, typer.Option("--cases", help="Also list every case.")] = False,
    workers: Workers = None,
) -> None:
    """Score label maps: overlap, surface distances, volumes."""
    from autoseg.core.text import counted
    from autoseg.evaluation.table import SHOWN, case_rows, report_tables
    from autoseg.stages import evaluate as stage
    from autoseg.stages.known_labels import known_labels
    from autoseg.terminal import TerminalProgress, exit_if_any

    progress = TerminalProgress(notes=crash_notes(context, predictions))
    measurement = measurement_of(metrics, tolerance or ())
    processes = workers_or_default(workers)
    report = stage.evaluate(
        predictions,
        references,
        labels=None if labels is None else known_labels(labels, workers=max(1, processes)),
        measurement=measurement,
        workers=processes,
        progress=progress,
    )
    shown = SHOWN if metrics is None else measurement.metrics
    if cases:
        progress.table("Cases", *case_rows(report, shown))
    for table in report_tables(report, shown):
        progress.table(f"{counted(len(report.cases), 'case')}: means and 95 % intervals", *table)
    for name in report.missing_predictions:
        progress.say(f"no prediction: {name}")
    for name in report.missing_references:
        progress.say(f"no reference: {name}")
    progress.say(f"Saved as {predictions / stage.REPORT_NAME}")
    exit_if_any([(issue.name, issue.message) for issue in report.issues])


def measurement_of(metrics: str | None, tolerances: Sequence[str]) -> "Measurement":
    """Return what to measure.

    Raises:
        BadParameter: If a metric is not known, or a tolerance is not understood.
    """
    from autoseg.documents.report import DEFAULT_METRICS
    from autoseg.evaluation.cases import Measurement

    usual: float | None = None
    own: dict[str, float] = {}
    for text in tolerances:
        name, found, number = text.rpartition("=")
        if text.endswith(".json"):
            own |= _tolerances_in(Path(text))
        elif found:
            own[name] = _millimetres(number)
        else:
            usual = _millimetres(text)
    names = DEFAULT_METRICS if metrics is None else _metrics_of(metrics)
    return Measurement(names, tolerance_mm=usual, class_tolerances_mm=tuple(own.items()))


def _metrics_of(text: str) -> "tuple[MetricName, ...]":
    from autoseg.documents.report import FROM_PROBABILITIES, METRICS

    known = [name for name in METRICS if name not in FROM_PROBABILITIES]
    wanted = [name.strip() for name in text.split(",")]
    unknown = [name for name in wanted if name not in (*known, ALL)]
    if unknown:
        msg = f"found {unknown[0]!r}; expected some of {', '.join(known)}, or {ALL}."
        if unknown[0] in FROM_PROBABILITIES:
            msg += " `autoseg train` measures it, from probabilities; label maps have none."
        raise typer.BadParameter(msg, param_hint="'--metrics'")
    return tuple(name for name in known if name in wanted or ALL in wanted)


def _tolerances_in(path: Path) -> dict[str, float]:
    from pydantic import NonNegativeFloat, TypeAdapter, ValidationError

    try:
        return TypeAdapter(dict[str, NonNegativeFloat]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        msg = f'{path}: expected {{"class": millimetres, …}}; {error}'
        raise typer.BadParameter(msg, param_hint="'--tolerance'") from error


def _millimetres(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        msg = f"found {text!r}; expected millimetres, 0 or more, or CLASS=MM."
        raise typer.BadParameter(msg, param_hint="'--tolerance'")
    return value
