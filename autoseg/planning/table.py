"""Show a plan as tables: each value with its reason."""

from typing import NamedTuple

from autoseg.core.formatting import format_shape
from autoseg.core.geometry import LengthUnit
from autoseg.documents.plan import Configuration, Decision, Plan
from autoseg.planning.values import FORECASTS, configuration_values, plan_values

EDITED = "edited by hand"
"""Start of the reason of a value that differs from what its rule chose."""


class Row(NamedTuple):
    """One value of a plan.

    Attributes:
        field: Name of the field, without that of the configuration.
        value: The value as text.
        reason: The reason of the value.
    """

    field: str
    value: str
    reason: str


class Table(NamedTuple):
    """The values of one configuration, or the values shared by all.

    Attributes:
        title: Name of the configuration, or of the dataset.
        rows: The values in the order of the decisions.
    """

    title: str
    rows: tuple[Row, ...]


def plan_tables(plan: Plan, *, only: frozenset[str] | None = None) -> tuple[Table, ...]:
    """Return a table of the shared values, then one table per configuration.

    Values are read from the plan, so that edits by hand are shown; the reason of an edited value
    names the value that the rule chose. A row that equals a row of an earlier table refers to it
    instead of repeating the reason.

    Args:
        plan: The plan.
        only: Names of the configurations to show; None shows all.
    """
    reasons = {decision.field: decision for decision in plan.decisions}
    shared = {field: text for field, text in plan_values(plan).items() if "." not in field}
    tables = [Table(plan.dataset_name, _rows(shared, reasons, prefix=""))]
    first: dict[Row, str] = {}
    shown = [entry for entry in plan.configurations if only is None or entry.name in only]
    for configuration in shown:
        rows = _configuration_rows(configuration, reasons, plan.unit)
        name = configuration.name
        owners = [first.setdefault(row, name) for row in rows]
        shortened = (
            row if owner == name else row._replace(reason=f"as in {owner}")
            for row, owner in zip(rows, owners, strict=True)
        )
        tables.append(Table(name, tuple(shortened)))
    return tuple(tables)


def _configuration_rows(
    configuration: Configuration, reasons: dict[str, Decision], unit: LengthUnit
) -> tuple[Row, ...]:
    prefix = f"{configuration.name}."
    rows = _rows(configuration_values(configuration, unit), reasons, prefix=prefix)
    note = " (before editing)" if any(row.reason.startswith(EDITED) for row in rows) else ""
    forecasts = [
        Row(field, decision.value, f"{decision.reason}{note}")
        for field in FORECASTS
        if (decision := reasons.get(f"{prefix}{field}")) is not None
    ]
    return (*rows, *forecasts)


def summary_rows(plan: Plan) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the header and one row per configuration of the summary table."""
    forecasts = {decision.field: decision.value for decision in plan.decisions}
    rows = []
    for configuration in plan.configurations:
        values = configuration_values(configuration, plan.unit)
        is_default = configuration.name == plan.default_configuration
        planned = forecasts.get(f"{configuration.name}.predicted_steps", "")
        rows.append(
            (
                configuration.name,
                format_shape(configuration.topology.patch_shape),
                values["batch_size"],
                str(len(configuration.topology.strides)),
                f"{configuration.predicted_memory_gib:.2f} GiB",
                forecasts.get(f"{configuration.name}.predicted_time", ""),
                *((planned,) if plan.budget else ()),
                "yes" if is_default else "",
            )
        )
    steps = ("in the budget",) if plan.budget else ()
    header = ("", "patch", "batch", "stages", "memory", "full training", *steps, "default")
    return header, tuple(rows)


def _rows(values: dict[str, str], reasons: dict[str, Decision], *, prefix: str) -> tuple[Row, ...]:
    return tuple(
        Row(field, value, _reason(field, value, reasons.get(prefix + field)))
        for field, value in values.items()
    )


def _reason(field: str, value: str, decision: Decision | None) -> str:
    if decision is None:
        return EDITED
    if decision.value == value:
        return decision.reason
    if field == "predicted_memory":
        return f"computed from values {EDITED}; it was {decision.value}"
    return f"{EDITED}; the rule chose {decision.value}"
