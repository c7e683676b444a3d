"""The section of a report on the plan, and on its forecasts against the measurements."""

from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.core.formatting import format_duration, format_number, format_shape
from autoseg.documents.plan import Plan
from autoseg.documents.run import Run
from autoseg.documents.run_schedule import RunSchedule
from autoseg.documents.splits import ALL
from autoseg.reporting.blocks import Block, Cell, Column, Section, Table, Text


@dataclass(frozen=True)
class PlanFindings:
    """The plan of a dataset and its trainings.

    Attributes:
        plan: The plan.
        schedule: Schedule of `autoseg run`; None if the trainings were started one by one.
        runs: Finished trainings.
    """

    plan: Plan
    schedule: RunSchedule | None = None
    runs: tuple[Run, ...] = ()


def plan_section(findings: PlanFindings) -> Section:
    """Build the section on the plan."""
    plan = findings.plan
    blocks: list[Block] = [_configurations(plan), _decisions(plan)]
    if findings.schedule is not None:
        blocks.append(_schedule(findings.schedule))
    if findings.runs:
        blocks.append(_forecasts(findings.runs, findings.schedule))
    return Section("plan", "Plan", tuple(blocks))


def _configurations(plan: Plan) -> Block:
    unit = plan.unit
    columns = (
        Column("configuration"),
        Column("network"),
        Column("patch", "size of the network's input, voxels"),
        Column("batch", "patches per step"),
        Column(f"spacing, {unit}"),
        Column("memory, GiB", "predicted for a training step in half precision"),
        Column("previous stage"),
    )
    rows = tuple(
        (
            f"{entry.name}{' (default)' if entry.name == plan.default_configuration else ''}",
            entry.architecture.kind,
            format_shape(entry.topology.patch_shape),
            entry.batch_size,
            " × ".join(format_number(value, 3) for value in entry.spacing),
            entry.predicted_memory_gib,
            entry.previous_stage,
        )
        for entry in plan.configurations
    )
    return Table("Configurations", columns, rows)


def _decisions(plan: Plan) -> Block:
    columns = tuple(map(Column, ("field", "value", "reason", "source")))
    rows = tuple((entry.field, entry.value, entry.reason, entry.source) for entry in plan.decisions)
    note = ""
    if plan.budget is not None:
        names = ", ".join(plan.budget.configurations)
        duration = format_duration(plan.budget.seconds)
        note = f"The budget of {duration} per training decided the size of {names}."
    return Table("Decisions", columns, rows, note)


def _schedule(schedule: RunSchedule) -> Block:
    budget = schedule.budget_seconds
    limit = "no limit" if budget is None else format_duration(budget)
    lines = (
        f"Budget: {limit}; spent: {format_duration(schedule.seconds_spent)}.",
        f"Trained configurations: {', '.join(schedule.candidates)}. Reason: {schedule.reason}.",
    )
    return Text(lines, "Schedule of autoseg run")


def _forecasts(runs: Sequence[Run], schedule: RunSchedule | None) -> Block:
    columns = (
        Column("training"),
        Column("memory predicted, GiB", "for a training step in half precision"),
        Column("memory measured, GiB", "largest value of the training"),
        Column("time planned, s"),
        Column("time of training, s"),
        Column("preparing and scoring, s"),
        Column("steps"),
        Column("device"),
        Column("precision"),
    )
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        entry = None
        if schedule is not None and run.fold != ALL:
            entry = schedule.training(run.configuration, run.fold)
        row = (
            run_name(run),
            run.predicted_memory_gib,
            run.peak_memory_gib,
            entry.seconds if entry is not None else None,
            run.seconds,
            entry.overhead_seconds if entry is not None else None,
            run.steps,
            run.device,
            run.precision,
        )
        rows.append(row)
    return Table("Forecast and measurement", columns, tuple(rows))


def run_name(run: Run) -> str:
    """Return the name of a training, such as `3d_fullres, fold 0`."""
    return f"{run.configuration}, fold {run.fold}"
