"""`autoseg plan` and `autoseg preprocess`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.commands.options import (
    Cache,
    ConfigurationName,
    Dataset,
    LossName,
    NetworkName,
    Work,
    Workers,
    cache_folder,
    crash_notes,
    planned_workspace,
    workers_or_default,
    workspace_of,
)

if TYPE_CHECKING:
    from autoseg.stages.plan import PlanRequest


def plan(
    context: typer.Context,
    dataset: Dataset,
    work: Work = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time of one training, such as 20m or 8h, to size network, patch and batch to.",
            show_default="as long as it takes",
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            help="Accelerator memory to plan for, GiB.",
            show_default="the accelerator's, or 8 without one",
        ),
    ] = None,
    network: NetworkName = None,
    loss: LossName = None,
    workers: Workers = None,
    skip_bad_cases: Annotated[
        bool, typer.Option("--skip-bad-cases", help="Go on without cases that have issues.")
    ] = False,
    splits: Annotated[
        Path | None,
        typer.Option(
            help="File with the folds to use.",
            show_default="splits.json or splits_final.json of the dataset",
        ),
    ] = None,
    remeasure: Annotated[
        bool, typer.Option("--remeasure", help="Measure anew how fast this machine trains.")
    ] = False,
    cache: Cache = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the reasons of every configuration.")
    ] = False,
) -> None:
    """Check and measure a dataset, and decide how to segment it. Nothing is written into it."""
    from autoseg.stages.fingerprint import fingerprint
    from autoseg.stages.next_command import train_command
    from autoseg.terminal import TerminalProgress

    workspace = workspace_of(dataset, work)
    progress = TerminalProgress(notes=crash_notes(context, workspace.root))

    def request() -> "PlanRequest":
        from autoseg.stages.plan import PlanRequest, Timing
        from autoseg.stages.training_duration import seconds_of

        seconds = None if budget is None else seconds_of(budget)
        timing = Timing(cache=cache_folder(cache), budget_seconds=seconds, remeasure=remeasure)
        return PlanRequest(network, loss, memory, splits, timing)

    if any(asked is not None for asked in (network, loss, budget)):
        request()  # refuses what cannot be, before any case is read
    _, measured = fingerprint(
        dataset,
        workspace,
        workers=workers_or_default(workers),
        skip_bad_cases=skip_bad_cases,
        progress=progress,
        meanwhile=request,  # imports torch, which takes as long as reading many small cases
    )
    from autoseg.planning.table import plan_tables, summary_rows
    from autoseg.stages.plan import decide

    made = decide(dataset, workspace, measured, request(), progress=progress)
    only = None if verbose else frozenset({made.default_configuration})
    for table in plan_tables(made, only=only):
        rows = [(row.field, row.value, row.reason) for row in table.rows]
        progress.table(table.title, ("", "value", "reason"), rows)
    progress.table("Configurations", *summary_rows(made))
    if not verbose:
        progress.say("--verbose shows the reasons of every configuration.")
    progress.say(f"The plan is {workspace.plan}; edit it if you know better.")
    progress.say(f"Next: {train_command(dataset, workspace.root, 0)}")


def preprocess(
    context: typer.Context,
    dataset: Dataset,
    configuration: ConfigurationName = None,
    work: Work = None,
    workers: Workers = None,
) -> None:
    """Prepare the cases of a planned dataset, as `train` would."""
    from autoseg.core.text import counted
    from autoseg.stages import preprocess as stage
    from autoseg.stages.next_command import train_command
    from autoseg.terminal import TerminalProgress

    workspace = planned_workspace(dataset, work)
    progress = TerminalProgress(notes=crash_notes(context, workspace.root))
    report = stage.preprocess(
        workspace,
        configuration=configuration,
        workers=workers_or_default(workers),
        progress=progress,
    )
    progress.say(
        f"{counted(len(report.prepared), 'case')} prepared in {report.seconds:.1f} s, "
        f"{len(report.reused)} there already"
    )
    command = train_command(dataset, workspace.root, 0, configuration=configuration)
    progress.say(f"Next: {command}")
