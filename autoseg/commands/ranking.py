"""`autoseg rank`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared
from autoseg.commands.predicting import ModelOption
from autoseg.commands.registry import Registry, registry_folder

SHOWN = 10


def rank(
    context: typer.Context,
    inputs: Annotated[Path, typer.Argument(help="Folder of images without labels.")],
    outputs: Annotated[Path, typer.Argument(help="Folder for the ranking and the predictions.")],
    model: ModelOption = None,
    fold: shared.FoldOption = None,
    mirroring: shared.MirroringOption = True,
    series: shared.SeriesPatterns = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    workers: shared.Workers = None,
    registry: Registry = None,
    cache: shared.Cache = None,
) -> None:
    """Order unlabelled images by uncertainty and novelty.

    Every fold predicts every image. Images come first on which folds and mirrored predictions
    disagree, and which differ from the labelled images and from those before them.
    """
    from autoseg.core.formatting import format_value
    from autoseg.documents.ranking import Ranking
    from autoseg.models.registry import ModelRegistry
    from autoseg.stages.predict.predict import PredictOptions
    from autoseg.stages.rank.rank import rank as stage
    from autoseg.terminal import exit_on_issues

    progress = shared.terminal_progress(context, outputs)
    options = PredictOptions(
        model=ModelRegistry(registry_folder(registry)).resolve(model) if model else None,
        folds=shared.parse_folds(fold),
        use_mirroring=mirroring,
        series=tuple(series or ()),
        compute=shared.compute_on(device, precision, workers, cache),
    )
    report = stage(inputs, outputs, options, progress)
    rows = [
        (
            str(image.rank),
            image.name,
            format_value(image.gain),
            format_value(image.uncertainty),
            format_value(image.novelty),
        )
        for image in report.ranking.images[:SHOWN]
    ]
    header = ("rank", "image", "gain", "uncertainty", "novelty")
    progress.table("What to annotate next", header, rows)
    progress.say(f"Ranking saved as {outputs / Ranking.TABLE_NAME}; page: {report.page}")
    exit_on_issues([(failure.name, failure.message) for failure in report.failures])
