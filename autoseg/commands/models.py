"""`autoseg export` and `autoseg describe`: write and inspect model files."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared


def export(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] OUTPUT",
            help="Model, as for predict --model (optional), and the .autoseg file to write.",
        ),
    ],
    fold: shared.FoldOption = None,
    half: shared.HalfOption = False,
    model_license: shared.LicenseOption = None,
) -> None:
    """Write a trained model to a single file."""
    from autoseg.core.formatting import format_megabytes
    from autoseg.stages import export as stage
    from autoseg.stages.next_command import predict_command

    if len(paths) > 2:
        msg = f"found {len(paths)} paths; expected an optional model and the output file."
        raise typer.BadParameter(msg)
    model = paths[0] if len(paths) == 2 else None
    options = stage.ExportOptions(folds=shared.parse_folds(fold), half=half)
    if model_license:
        options = replace(options, license=model_license)
    progress = shared.terminal_progress(context, paths[-1].parent)
    manifest = stage.export(model, paths[-1], options, progress)
    size = format_megabytes(paths[-1].stat().st_size)
    progress.say(
        f"{paths[-1]}: {' + '.join(manifest.members)}, {len(manifest.parts)} parts, {size}"
    )
    progress.say(f"Next: {predict_command(paths[-1])}")


def describe(
    file: Annotated[Path, typer.Argument(help="Model file (.autoseg).")],
) -> None:
    """Print the model card of a model file."""
    from autoseg.core.errors import ModelError
    from autoseg.core.formatting import printable
    from autoseg.models.archive.reader import ModelArchive

    if not file.is_file():
        msg = f"{file} is not a file. Pass a model file (*.autoseg) written by `autoseg export`."
        raise ModelError(msg)
    # the text may come from an untrusted source
    typer.echo(printable(ModelArchive(file).read_card_page()), nl=False)
