"""`autoseg predict`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands.options import (
    Cache,
    Device,
    FoldOption,
    Precision,
    Workers,
    cache_folder,
    crash_notes,
    folds_of,
    workers_or_default,
)
from autoseg.core.work_root import WORK_ROOT


def predict(
    context: typer.Context,
    inputs: Annotated[Path, typer.Argument(help="Folder with images, or one image.")],
    outputs: Annotated[Path, typer.Argument(help="Folder for the label maps.")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Model file, work folder, models/<configuration> folder, or a fold's folder.",
            show_default=f"the one in ./{WORK_ROOT}",
        ),
    ] = None,
    fold: FoldOption = None,
    mirroring: Annotated[
        bool, typer.Option(help="Average over mirrored images: slower, a little better.")
    ] = True,
    go_on: Annotated[
        bool, typer.Option("--skip-existing", help="Leave outputs that exist as they are.")
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    cache: Cache = None,
) -> None:
    """Segment images. Each output has its input's geometry and the training's label values."""
    from autoseg.core.text import counted
    from autoseg.stages import predict as stage
    from autoseg.terminal import TerminalProgress, exit_if_any

    progress = TerminalProgress(notes=crash_notes(context, outputs))
    options = stage.PredictOptions(
        model=model,
        device=device,
        precision=precision,
        folds=folds_of(fold),
        use_mirroring=mirroring,
        skip_existing=go_on,
        workers=workers_or_default(workers),
        cache=cache_folder(cache),
    )
    report = stage.predict(inputs, outputs, options, progress)
    written = counted(len(report.written), "label map")
    failed = f"; {counted(len(report.failures), 'case')} failed" if report.failures else ""
    progress.say(f"{written} written to {outputs} with {report.model}{failed}")
    if report.skipped:
        progress.say(f"{len(report.skipped)} were there already")
    exit_if_any([(failure.name, failure.message) for failure in report.failures])
