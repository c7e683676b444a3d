"""`autoseg evaluate`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typing_extensions import override

from autoseg.commands import options as shared

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

    from autoseg.evaluation.cases import Measurement

ALL = "all"


class EvaluateCommand(shared.Command):
    """`autoseg evaluate`; its help lists the metrics, which are imported only to print it."""

    @override
    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        from autoseg.evaluation.metrics import DEFAULT_METRICS, LABEL_MAP_METRICS, TABLE_METRICS
        from autoseg.evaluation.table import title

        super().format_options(ctx, formatter)
        rows = []
        for name in LABEL_MAP_METRICS:
            printed = "computed and printed" if name in TABLE_METRICS else "computed"
            when = f"{printed} by default" if name in DEFAULT_METRICS else "on request"
            rows.append((name, f"{title(name, 'mm')}; {when}"))
        with formatter.section("Metrics"):
            formatter.write_dl(rows)


def evaluate(
    context: typer.Context,
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.")],
    references: Annotated[Path, typer.Argument(help="Folder of reference label maps.")],
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Metrics to compute and print, separated by commas, or all; see the list below.",
            show_default="marked in the list",
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            help="NSD tolerance in the unit of the label maps; CLASS=NUMBER for one class, or a "
            "JSON file with one number per class; repeatable.",
            show_default="one voxel along the coarsest axis of each case",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Dataset, dataset.json or plan.json that defines regions and ignored values.",
            show_default="every value except 0 is a class",
        ),
    ] = None,
    cases: shared.ShowCases = False,
    workers: shared.Workers = None,
) -> None:
    """Score label maps: overlap, surface distances and volumes."""
    from autoseg.core.formatting import format_count
    from autoseg.documents.report import Report
    from autoseg.evaluation.metrics import TABLE_METRICS
    from autoseg.evaluation.table import case_rows, report_tables
    from autoseg.stages.evaluate import evaluate as stage
    from autoseg.stages.evaluate.known_labels import known_labels
    from autoseg.stages.report.evaluation import report_evaluation
    from autoseg.stages.report.facts import write_or_warn
    from autoseg.terminal import exit_on_issues

    progress = shared.terminal_progress(context, predictions)
    measurement = parse_measurement(metrics, tolerance or ())
    processes = shared.workers_or_default(workers)
    report = stage.evaluate(
        predictions,
        references,
        labels=None if labels is None else known_labels(labels, workers=max(1, processes)),
        measurement=measurement,
        workers=processes,
        progress=progress,
    )
    shown = TABLE_METRICS if metrics is None else measurement.metrics
    if cases:
        progress.table("Cases", *case_rows(report, shown))
    for table in report_tables(report, shown):
        progress.table(
            f"{format_count(len(report.cases), 'case')}: means and 95 % intervals", *table
        )
    for name in report.missing_predictions:
        progress.say(f"prediction missing: {name}")
    for name in report.missing_references:
        progress.say(f"reference missing: {name}")
    progress.say(f"Scores saved as {predictions / Report.FILE_NAME}")
    write_or_warn(partial(report_evaluation, predictions), progress)
    exit_on_issues([(issue.name, issue.message) for issue in report.issues])


def parse_measurement(metrics: str | None, tolerances: Sequence[str]) -> "Measurement":
    """Parse the metrics and the NSD tolerances to compute.

    Raises:
        BadParameter: If a metric is unknown or a tolerance is invalid.
    """
    from autoseg.evaluation.cases import Measurement
    from autoseg.evaluation.metrics import DEFAULT_METRICS

    default: float | None = None
    by_class: dict[str, float] = {}
    for text in tolerances:
        name, separator, number = text.rpartition("=")
        if text.endswith(".json"):
            by_class |= _load_tolerances(Path(text))
        elif separator:
            by_class[name] = _parse_distance(number)
        else:
            default = _parse_distance(text)
    names = DEFAULT_METRICS if metrics is None else _parse_metrics(metrics)
    return Measurement(names, tolerance_mm=default, class_tolerances_mm=tuple(by_class.items()))


def _parse_metrics(text: str) -> tuple[str, ...]:
    from autoseg.evaluation.metrics import ALL_METRICS, LABEL_MAP_METRICS

    requested = [name.strip() for name in text.split(",")]
    unknown = [name for name in requested if name not in (*LABEL_MAP_METRICS, ALL)]
    if unknown:
        msg = f"found {unknown[0]!r}; expected any of {', '.join(LABEL_MAP_METRICS)}, or {ALL}."
        if unknown[0] in ALL_METRICS:
            msg += " `autoseg train` computes it from probabilities, which label maps do not have."
        raise typer.BadParameter(msg, param_hint="'--metrics'")
    return tuple(name for name in LABEL_MAP_METRICS if name in requested or ALL in requested)


def _load_tolerances(path: Path) -> dict[str, float]:
    from pydantic import NonNegativeFloat, TypeAdapter, ValidationError

    try:
        return TypeAdapter(dict[str, NonNegativeFloat]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        msg = f'{path}: expected {{"class": distance, …}}; {error}'
        raise typer.BadParameter(msg, param_hint="'--tolerance'") from error


def _parse_distance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        msg = f"found {text!r}; expected a distance of at least 0, or CLASS=NUMBER."
        raise typer.BadParameter(msg, param_hint="'--tolerance'")
    return value
