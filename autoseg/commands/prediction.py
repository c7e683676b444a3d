"""`autoseg predict`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared
from autoseg.commands.registry import Registry, registry_folder
from autoseg.core.work_root import WORK_ROOT


def predict(
    context: typer.Context,
    inputs: Annotated[Path, typer.Argument(help="Folder with images, or a single image.")],
    outputs: Annotated[Path, typer.Argument(help="Output folder for the label maps.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Model file, work folder, models/<configuration> folder, fold folder, or name of "
            "a registered model.",
            show_default=f"the only one in ./{WORK_ROOT}",
        ),
    ] = None,
    fold: shared.FoldOption = None,
    mirroring: shared.MirroringOption = True,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip images that already have an output.")
    ] = False,
    series: shared.SeriesPatterns = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    workers: shared.Workers = None,
    registry: Registry = None,
    cache: shared.Cache = None,
) -> None:
    """Segment images.

    Label maps have the geometry of their image and the label values of the training data.
    """
    from autoseg.core.formatting import format_count, format_value
    from autoseg.core.memory import peak_process_gib
    from autoseg.models.registry import ModelRegistry
    from autoseg.stages.predict import predict as stage
    from autoseg.terminal import exit_on_issues

    progress = shared.terminal_progress(context, outputs)
    known = ModelRegistry(registry_folder(registry))
    options = stage.PredictOptions(
        model=known.resolve(model) if model else None,
        folds=shared.parse_folds(fold),
        use_mirroring=mirroring,
        skip_existing=skip_existing,
        series=tuple(series or ()),
        compute=shared.compute_on(device, precision, workers, cache),
    )
    report = stage.predict(inputs, outputs, options, progress)
    written = format_count(len(report.written), "label map")
    failed = f"; {format_count(len(report.failures), 'case')} failed" if report.failures else ""
    progress.say(f"{written} written to {outputs} with {report.model}{failed}")
    progress.say(f"memory: {format_value(peak_process_gib(), '.2f')} GiB at the peak of a process")
    if report.skipped:
        progress.say(f"{format_count(len(report.skipped), 'existing label map')} skipped")
    exit_on_issues([(failure.name, failure.message) for failure in report.failures])
