"""`autoseg plan` and `autoseg preprocess`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.commands import options as shared
from autoseg.commands.reporting import save_report
from autoseg.core.cache import cache_folder

if TYPE_CHECKING:
    from autoseg.stages.plan.plan import PlanRequest


@shared.with_layout
def plan(
    context: typer.Context,
    dataset: shared.Dataset,
    work: shared.Work = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time for one training, such as 20m or 8h; sizes network, patch and batch to fit.",
            show_default="no limit",
        ),
    ] = None,
    memory: shared.Memory = None,
    network: shared.NetworkName = None,
    loss: shared.LossName = None,
    loss_weighting: shared.LossWeightingOption = "planned",
    augmentation: shared.Augmentation = None,
    workers: shared.Workers = None,
    skip_bad_cases: shared.SkipBadCases = False,
    layout: shared.Layout = shared.Layout(),  # noqa: B008  (the options have the defaults)
    splits: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with the folds of the cross-validation.",
            show_default="splits.json or splits_final.json in the dataset",
        ),
    ] = None,
    remeasure: Annotated[
        bool, typer.Option("--remeasure", help="Measure the training speed of this machine again.")
    ] = False,
    cache: shared.Cache = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print the reasons for every configuration.")
    ] = False,
) -> None:
    """Check and measure a dataset, and plan its training. The dataset is not modified."""
    from autoseg.stages.next_command import train_command
    from autoseg.stages.plan.fingerprint import DatasetChoices, fingerprint

    workspace = shared.workspace_of(dataset, work)
    progress = shared.terminal_progress(context, workspace.root)

    def request() -> "PlanRequest":
        from autoseg.stages.plan.plan import PlanRequest, Timing
        from autoseg.stages.train.duration import parse_duration

        seconds = None if budget is None else parse_duration(budget)
        timing = Timing(cache=cache_folder(cache), budget_seconds=seconds, remeasure=remeasure)
        return PlanRequest(network, loss, memory, splits, timing, augmentation, loss_weighting)

    if any(option is not None for option in (network, loss, budget)):
        request()  # rejects invalid options before any case is read
    spec, measured = fingerprint(
        dataset,
        workspace,
        DatasetChoices(layout.options(dataset), skip_bad_cases),
        workers=shared.workers_or_default(workers),
        progress=progress,
        meanwhile=request,  # imports torch, which takes as long as reading many small cases
    )
    from autoseg.planning.table import plan_tables, summary_rows
    from autoseg.stages.plan.plan import plan_from_fingerprint

    new_plan = plan_from_fingerprint(workspace, spec, measured, request(), progress=progress)
    only = None if verbose else frozenset({new_plan.default_configuration})
    for table in plan_tables(new_plan, only=only):
        rows = [(row.field, row.value, row.reason) for row in table.rows]
        progress.table(table.title, ("", "value", "reason"), rows)
    progress.table("Configurations", *summary_rows(new_plan))
    if not verbose:
        progress.say("--verbose prints the reasons for every configuration.")
    progress.say(f"The plan is saved as {workspace.plan}; it may be edited.")
    save_report(progress, workspace, shared.workers_or_default(workers))
    progress.say(f"Next: {train_command(dataset, workspace.root, 0)}")


def preprocess(
    context: typer.Context,
    dataset: shared.Dataset,
    configuration: shared.ConfigurationName = None,
    work: shared.Work = None,
    workers: shared.Workers = None,
) -> None:
    """Prepare the cases of a planned dataset, as `train` does first."""
    from autoseg.core.formatting import format_count, format_duration, format_value
    from autoseg.core.memory import BYTES_PER_GIB, peak_process_gib
    from autoseg.stages import preprocess as stage
    from autoseg.stages.next_command import train_command

    workspace, spec = shared.planned_dataset(dataset, work)
    progress = shared.terminal_progress(context, workspace.root)
    report = stage.preprocess(
        workspace,
        configuration=configuration,
        workers=shared.workers_or_default(workers),
        progress=progress,
        dataset=spec,
    )
    progress.say(
        f"{format_count(len(report.prepared), 'case')} prepared in "
        f"{format_duration(report.seconds)}, {len(report.reused)} already prepared"
    )
    if report.prepared:
        progress.say(
            f"memory: {format_value(peak_process_gib(), '.2f')} GiB at the peak of a process, "
            f"{report.predicted_bytes / BYTES_PER_GIB:.2f} GiB predicted for the largest case alone"
        )
    command = train_command(dataset, workspace.root, 0, configuration=configuration)
    progress.say(f"Next: {command}")
