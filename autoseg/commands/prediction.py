"""`autoseg predict`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands.options import (
    Cache,
    Device,
    FoldOption,
    MirroringOption,
    Precision,
    Workers,
    crash_notes,
    parse_folds,
)
from autoseg.core.cache import cache_folder
from autoseg.core.work_root import WORK_ROOT


def predict(
    context: typer.Context,
    inputs: Annotated[Path, typer.Argument(help="Folder with images, or a single image.")],
    outputs: Annotated[Path, typer.Argument(help="Output folder for the label maps.")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Model file, work folder, models/<configuration> folder, or fold folder.",
            show_default=f"the only one in ./{WORK_ROOT}",
        ),
    ] = None,
    fold: FoldOption = None,
    mirroring: MirroringOption = True,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip images that already have an output.")
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    cache: Cache = None,
) -> None:
    """Segment images.

    Label maps have the geometry of their image and the label values of the training data.
    """
    from autoseg.core.compute import Compute
    from autoseg.core.formatting import format_count
    from autoseg.stages.predict import predict as stage
    from autoseg.terminal import TerminalProgress, exit_on_issues

    progress = TerminalProgress(notes=crash_notes(context, outputs))
    options = stage.PredictOptions(
        model=model,
        folds=parse_folds(fold),
        use_mirroring=mirroring,
        skip_existing=skip_existing,
        compute=Compute(device, precision, workers, cache_folder(cache)),
    )
    report = stage.predict(inputs, outputs, options, progress)
    written = format_count(len(report.written), "label map")
    failed = f"; {format_count(len(report.failures), 'case')} failed" if report.failures else ""
    progress.say(f"{written} written to {outputs} with {report.model}{failed}")
    if report.skipped:
        progress.say(f"{format_count(len(report.skipped), 'existing label map')} skipped")
    exit_on_issues([(failure.name, failure.message) for failure in report.failures])
