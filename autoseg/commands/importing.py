"""`autoseg import`: models of other programs as model files."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands.options import Command, crash_notes

importing = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make a model file of another program's model.",
)


@importing.callback()
def about() -> None:
    """Make a model file of another program's model."""


@importing.command(cls=Command)
def nnunet(
    context: typer.Context,
    model: Annotated[
        Path,
        typer.Argument(help="Folder of a trained nnU-Net v2 model, or the zip that it exports."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .autoseg file to write.")],
    configuration: Annotated[
        str | None,
        typer.Option(
            help="Which configuration, if there are several.", show_default="the only one"
        ),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store weights in half precision: half the size.")
    ] = False,
    model_license: Annotated[
        str | None,
        typer.Option("--license", help="Of the model, for its card.", show_default="not stated"),
    ] = None,
) -> None:
    """Write a model that nnU-Net v2 trained as a model file; nothing in it is run."""
    from autoseg.stages import import_nnunet as stage
    from autoseg.stages.next_command import predict_command
    from autoseg.terminal import TerminalProgress

    progress = TerminalProgress(notes=crash_notes(context, output.parent))
    options = stage.ImportOptions(configuration=configuration, half=half)
    if model_license:
        options = stage.ImportOptions(configuration=configuration, half=half, license=model_license)
    manifest = stage.import_nnunet(model, output, options, progress)
    size = output.stat().st_size / 1e6
    progress.say(f"{output}: {len(manifest.parts)} parts, {size:.1f} MB")
    progress.say(f"Next: {predict_command(output)}")
