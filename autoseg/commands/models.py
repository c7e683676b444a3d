"""`autoseg export` and `autoseg describe`: models as files."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands.options import FoldOption, crash_notes, folds_of


def export(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] OUTPUT",
            help="Model as for predict --model (may be left out), and the .autoseg file to write.",
        ),
    ],
    fold: FoldOption = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store weights in half precision: half the size.")
    ] = False,
    model_license: Annotated[
        str | None,
        typer.Option("--license", help="Of the model, for its card.", show_default="not stated"),
    ] = None,
) -> None:
    """Write a trained model as one file."""
    from autoseg.stages import export as stage
    from autoseg.stages.next_command import predict_command
    from autoseg.terminal import TerminalProgress

    if len(paths) > 2:
        msg = f"found {len(paths)} paths; expected the model's (or none) and the output's."
        raise typer.BadParameter(msg)
    model = paths[0] if len(paths) == 2 else None
    options = stage.ExportOptions(folds=folds_of(fold), half=half)
    if model_license:
        options = replace(options, license=model_license)
    progress = TerminalProgress(notes=crash_notes(context, paths[-1].parent))
    manifest = stage.export(model, paths[-1], options, progress)
    size = paths[-1].stat().st_size / 1e6
    progress.say(
        f"{paths[-1]}: {' + '.join(manifest.members)}, {len(manifest.parts)} parts, {size:.1f} MB"
    )
    progress.say(f"Next: {predict_command(paths[-1])}")


def describe(
    file: Annotated[Path, typer.Argument(help="Model file.")],
) -> None:
    """Print the card of a model file."""
    from autoseg.stages import describe as stage

    typer.echo(stage.describe(file), nl=False)
