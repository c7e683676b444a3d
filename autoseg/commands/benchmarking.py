"""`autoseg bench`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands.options import (
    Cache,
    Device,
    Precision,
    Work,
    Workers,
    cache_folder,
    crash_notes,
    workspace_of,
)


def bench(
    context: typer.Context,
    dataset: Annotated[
        Path | None,
        typer.Argument(help="Folder with images and labels.", show_default="small made-up volumes"),
    ] = None,
    configuration: Annotated[
        list[str] | None,
        typer.Option(
            "--configuration",
            "-c",
            help="Measure this one; repeatable.",
            show_default="the plan's default, and its 2-D counterpart",
        ),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="Cases to measure.")] = 4,
    repeats: Annotated[int, typer.Option(min=1, help="Most repeats of each measurement.")] = 5,
    device: Device = "auto",
    precision: Precision = "auto",
    work: Work = None,
    workers: Workers = None,
    cache: Cache = None,
    json: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="bench.json in --work")
    ] = None,
) -> None:
    """Time each stage beside its floor, and forecast a dataset.

    Nothing but the JSON file is left behind.
    """
    from autoseg.benchmarking import bench as benchmark
    from autoseg.benchmarking.table import forecast_rows, sentences, throughput_rows
    from autoseg.benchmarking.timing import TimeLimit
    from autoseg.documents import store
    from autoseg.terminal import TerminalProgress

    workspace = workspace_of(dataset or Path(benchmark.DEMO_NAME), work)
    progress = TerminalProgress(notes=crash_notes(context, workspace.root))
    options = benchmark.BenchOptions(
        configurations=tuple(configuration or ()),
        num_cases=cases,
        device=device,
        precision=precision,
        workers=workers,
        time_limit=TimeLimit(repeats=repeats),
        cache=cache_folder(cache),
    )
    try:
        found = benchmark.bench(dataset, workspace, options, progress=progress)
    finally:
        progress.close()
    progress.table("Beside the floor", *throughput_rows(found))
    progress.table(f"Forecast for {found.dataset_name}", *forecast_rows(found))
    for sentence in sentences(found):
        progress.say(sentence)
    path = json or workspace.bench
    store.save(found, path)
    progress.say(f"All figures, with what each of them is: {path}")
