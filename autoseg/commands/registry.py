"""`autoseg models`: use model files by name."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared

models = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Use model files by name.")

Registry = Annotated[
    Path | None,
    typer.Option(
        envvar="AUTOSEG_REGISTRY",
        help="Folder of the registered models.",
        show_default="~/.local/share/autoseg/models",
    ),
]
Name = Annotated[str, typer.Argument(help="Name of a registered model.")]


def registry_folder(folder: Path | None) -> Path:
    """Return the given folder of models, or the default one in the user's data folder."""
    if folder is not None:
        return folder
    with suppress(RuntimeError):  # the user may have no home folder
        return Path.home() / ".local" / "share" / "autoseg" / "models"
    return Path("autoseg_models")


@models.callback()
def about() -> None:
    """Use model files by name."""


@models.command(cls=shared.Command)
def add(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Model file (.autoseg) to copy.")],
    name: Annotated[str, typer.Option("--as", help="Name to use it by, as in predict --model.")],
    registry: Registry = None,
) -> None:
    """Copy a model file into the registry."""
    from autoseg.models.registry import ModelRegistry

    known = ModelRegistry(registry_folder(registry))
    progress = shared.terminal_progress(context, known.folder)
    known.add(file, name)
    progress.say(f"{file} is registered as {name}: {known.file(name)}")
    progress.say(f"Next: autoseg predict IN OUT --model {name}")


@models.command("list", cls=shared.Command)
def show(registry: Registry = None) -> None:
    """Print the registered models."""
    from autoseg.core.formatting import format_megabytes
    from autoseg.models.registry import ModelRegistry
    from autoseg.terminal import TerminalProgress

    known = ModelRegistry(registry_folder(registry))
    records = [known.read(name) for name in known.names()]
    rows = [
        (each.name, each.dataset, " + ".join(each.members), format_megabytes(each.num_bytes))
        for each in records
    ]
    if rows:
        header = ("name", "dataset", "configurations", "size")
        TerminalProgress().table(str(known.folder), header, rows)
    else:
        typer.echo(f"{known.folder} has no models. Add one: autoseg models add FILE --as NAME")


@models.command(cls=shared.Command)
def remove(name: Name, registry: Registry = None) -> None:
    """Delete a model from the registry."""
    from autoseg.models.registry import ModelRegistry

    folder = registry_folder(registry)
    ModelRegistry(folder).remove(name)
    typer.echo(f"{name} is deleted from {folder}")
