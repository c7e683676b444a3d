"""`autoseg bench`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared


def bench(
    context: typer.Context,
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="Dataset folder with images and labels.", show_default="small synthetic volumes"
        ),
    ] = None,
    configuration: Annotated[
        list[str] | None,
        typer.Option(
            "--configuration",
            "-c",
            help="Configuration to measure; repeatable.",
            show_default="the plan's default and its 2-D counterpart",
        ),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="Number of cases to measure.")] = 4,
    repeats: Annotated[
        int, typer.Option(min=1, help="Maximum number of repeats per measurement.")
    ] = 5,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    work: shared.Work = None,
    workers: shared.Workers = None,
    cache: shared.Cache = None,
    json: Annotated[
        Path | None, typer.Option(help="JSON file to write.", show_default="bench.json in --work")
    ] = None,
) -> None:
    """Time each stage, and forecast training and prediction.

    Each time is compared to a lower bound, the floor. Only the JSON file is left behind.
    """
    from autoseg.benchmarking import bench as benchmark
    from autoseg.benchmarking.table import forecast_rows, summary_lines, throughput_rows
    from autoseg.benchmarking.timing import TimeLimit
    from autoseg.documents import store

    workspace = shared.workspace_of(dataset or Path(benchmark.DEMO_NAME), work)
    progress = shared.terminal_progress(context, workspace.root)
    options = benchmark.BenchOptions(
        configurations=tuple(configuration or ()),
        num_cases=cases,
        compute=shared.compute_on(device, precision, workers, cache),
        time_limit=TimeLimit(repeats=repeats),
    )
    try:
        result = benchmark.bench(dataset, workspace, options, progress=progress)
    finally:
        progress.close()
    progress.table("Throughput and floor", *throughput_rows(result))
    progress.table(f"Forecast for {result.dataset_name}", *forecast_rows(result))
    for sentence in summary_lines(result):
        progress.say(sentence)
    path = json or workspace.bench
    store.save(result, path)
    progress.say(f"All measurements with their descriptions: {path}")
