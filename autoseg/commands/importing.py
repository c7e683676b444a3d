"""`autoseg import`: convert models of other programs into model files."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared

importing = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Convert a model of another program into a model file.",
)


@importing.callback()
def about() -> None:
    """Convert a model of another program into a model file."""


@importing.command(cls=shared.Command)
def nnunet(
    context: typer.Context,
    model: Annotated[
        Path,
        typer.Argument(help="Folder of a trained nnU-Net v2 model, or a zip exported by nnU-Net."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file (.autoseg) to write.")],
    configuration: Annotated[
        str | None,
        typer.Option(
            help="Configuration to import, if there are several.", show_default="the only one"
        ),
    ] = None,
    half: shared.HalfOption = False,
    model_license: shared.LicenseOption = None,
) -> None:
    """Convert an nnU-Net v2 model into a model file, without running its code."""
    from autoseg.core.formatting import format_megabytes
    from autoseg.stages import import_nnunet as stage
    from autoseg.stages.next_command import predict_command

    progress = shared.terminal_progress(context, output.parent)
    options = stage.ImportOptions(configuration=configuration, half=half)
    if model_license:
        options = stage.ImportOptions(configuration=configuration, half=half, license=model_license)
    manifest = stage.import_nnunet(model, output, options, progress)
    size = format_megabytes(output.stat().st_size)
    progress.say(f"{output}: {len(manifest.parts)} parts, {size}")
    progress.say(f"Next: {predict_command(output)}")
