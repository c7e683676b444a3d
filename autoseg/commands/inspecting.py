"""`autoseg inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared


@shared.with_layout
def inspect(
    context: typer.Context,
    dataset: shared.Dataset,
    layout: shared.Layout = shared.Layout(),  # noqa: B008  (the options have the defaults)
    write: Annotated[
        Path | None,
        typer.Option(
            help="dataset.json to write, which lists the cases; reads all label files.",
            show_default="none",
        ),
    ] = None,
    workers: shared.Workers = None,
) -> None:
    """Show what is recognised in a dataset folder, from a few files."""
    from autoseg.core.errors import DatasetError
    from autoseg.datasets.issues import unusable_cases
    from autoseg.stages import inspect as stage

    progress = shared.terminal_progress(context, dataset)
    found = stage.inspect(
        dataset,
        layout.options(dataset),
        write=write,
        workers=shared.workers_or_default(workers),
    )
    rows = [(fact.subject, fact.text) for fact in found.facts]
    progress.table(str(found.spec.root), ("", "recognised"), rows)
    for note in found.notes:
        progress.say(f"note: {note}")
    if write is not None:
        progress.say(f"The cases are listed in {write}.")
    if found.issues:
        raise DatasetError(unusable_cases(found.issues, len(found.spec.cases)))
