"""A plan as tables for people: each value with its reason."""

from typing import NamedTuple

from autoseg.core.formatting import numbers
from autoseg.core.geometry import LengthUnit
from autoseg.documents.plan import Configuration, Decision, Plan
from autoseg.planning.values import configuration_values, plan_values, unit_of

PREDICTIONS = ("predicted_memory",)
"""Fields that follow from the others."""

FORECASTS = ("predicted_time", "predicted_steps", "predicted_coverage", "predicted_resolution")
"""Decisions about the machine and the dataset, which the configuration itself does not hold."""

EDITED = "edited by hand"
"""Begins the reason of a value that is not what its rule had chosen."""


class Row(NamedTuple):
    """One value of a plan.

    Attributes:
        field: What was decided, without the configuration's name.
        value: As text.
        reason: Why.
    """

    field: str
    value: str
    reason: str


class Table(NamedTuple):
    """The values of one configuration, or those that all share.

    Attributes:
        title: Name of the configuration, or of the dataset.
        rows: In the order of the decisions.
    """

    title: str
    rows: tuple[Row, ...]


def plan_tables(plan: Plan, *, only: frozenset[str] | None = None) -> tuple[Table, ...]:
    """Return what all configurations share, then one table per configuration.

    Values are the plan's own, so that a plan edited by hand shows what it now says; where that is
    not what the rule had chosen, the reason says so. What an earlier table has for the same reason
    refers to it.

    Args:
        plan: The plan.
        only: Names of the configurations to show; none means all.
    """
    reasons = {decision.field: decision for decision in plan.decisions}
    shared = {field: text for field, text in plan_values(plan).items() if "." not in field}
    tables = [Table(plan.dataset_name, _rows(shared, reasons, prefix=""))]
    first: dict[Row, str] = {}
    shown = [entry for entry in plan.configurations if only is None or entry.name in only]
    for configuration in shown:
        rows = _configuration_rows(configuration, reasons, unit_of(plan))
        name = configuration.name
        owners = [first.setdefault(row, name) for row in rows]
        told = (
            row if owner == name else row._replace(reason=f"as in {owner}")
            for row, owner in zip(rows, owners, strict=True)
        )
        tables.append(Table(name, tuple(told)))
    return tuple(tables)


def _configuration_rows(
    configuration: Configuration, reasons: dict[str, Decision], unit: LengthUnit
) -> tuple[Row, ...]:
    prefix = f"{configuration.name}."
    rows = _rows(configuration_values(configuration, unit), reasons, prefix=prefix)
    note = " (before editing)" if any(row.reason.startswith(EDITED) for row in rows) else ""
    found = [(field, reasons.get(f"{prefix}{field}")) for field in FORECASTS]
    forecasts = [
        Row(field, decision.value, f"{decision.reason}{note}")
        for field, decision in found
        if decision is not None
    ]
    return (*rows, *forecasts)


def summary_rows(plan: Plan) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return a header and one row per configuration, for comparing them at a glance."""
    forecasts = {decision.field: decision.value for decision in plan.decisions}
    rows = []
    for configuration in plan.configurations:
        values = configuration_values(configuration, unit_of(plan))
        is_default = configuration.name == plan.default_configuration
        planned = forecasts.get(f"{configuration.name}.predicted_steps", "")
        rows.append(
            (
                configuration.name,
                numbers(configuration.topology.patch_shape),
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
    if field in PREDICTIONS:
        return f"follows from what was {EDITED}; it was {decision.value}"
    return f"{EDITED}; the rule had chosen {decision.value}"
