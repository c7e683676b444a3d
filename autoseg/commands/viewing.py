"""`autoseg view`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.commands import options as shared

if TYPE_CHECKING:
    from autoseg.core.labels import LabelScheme
    from autoseg.documents.dataset import DatasetSpec
    from autoseg.documents.workspace import Workspace

MAX_VOXELS = 2**26
"""Greatest number of voxels of a channel: 512 × 512 × 256. A browser needs about 16 bytes for each,
1 GiB, most of it in the memory of the GPU."""


def view(
    context: typer.Context,
    images: Annotated[
        Path | None,
        typer.Argument(help="Image, folder of images, or planned dataset.", show_default="none"),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            "--references",
            help="Reference label map of the image, or folder of those of the images.",
            show_default="none",
        ),
    ] = None,
    prediction: Annotated[
        list[Path] | None,
        typer.Option(
            "--prediction",
            "--predictions",
            help="Predicted label map of the image, or folder of those of the images; repeatable.",
            show_default="none",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Dataset, dataset.json or plan.json with the names of the classes.",
            show_default="every value except 0 is a class",
        ),
    ] = None,
    series: shared.SeriesPatterns = None,
    case: Annotated[
        str | None,
        typer.Option(help="Name of the case to show first.", show_default="the worst one"),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Work folder whose cases and held-out predictions to show.",
            show_default="that of the planned dataset",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the page.", show_default="a free one"),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    max_voxels: Annotated[
        int, typer.Option(min=1, help="Greatest number of voxels of a channel to send to the page.")
    ] = MAX_VOXELS,
) -> None:
    """Show images, references and predictions in the browser.

    The page is served to this machine only, until Ctrl-C. Nothing is written.
    """
    from autoseg.stages import view as stage

    if images is None and work is None:
        msg = "found neither IMAGES nor --work; expected an image, a folder, or a work folder."
        raise typer.BadParameter(msg)
    is_plain = bool(reference or prediction or labels or series)
    if work and is_plain:
        msg = "--reference, --prediction, --labels and --series are not for a work folder (--work)."
        raise typer.BadParameter(msg)
    progress = shared.terminal_progress(context, work or Path.cwd())
    planned = None if is_plain else _planned(images, work)
    if planned is not None:
        viewing = stage.work_cases(*planned)
    else:
        viewing = stage.image_cases(
            images or Path(),
            reference,
            tuple(prediction or ()),
            labels=_known_labels(labels),
            series=tuple(series or ()),
        )
    server = stage.ServerOptions(port, browser, max_voxels)
    stage.view(stage.started_at(viewing, case), server, progress)


def _planned(images: Path | None, work: Path | None) -> "tuple[Workspace, DatasetSpec] | None":
    """Return the work folder to show and the description of its dataset; None for plain images."""
    from autoseg.documents import store
    from autoseg.documents.dataset import DatasetSpec
    from autoseg.documents.workspace import Workspace

    if images is None or work is not None:
        if images is not None:
            return shared.planned_dataset(images, work)
        workspace = Workspace(work or Path())
        return workspace, store.load(DatasetSpec, workspace.dataset)
    workspace = shared.workspace_of(images, None)
    spec = store.load_if_valid(DatasetSpec, workspace.dataset)
    if spec is None or not (images.is_dir() and spec.root.is_dir()):
        return None
    return (workspace, spec) if spec.root.samefile(images) else None


def _known_labels(path: Path | None) -> "LabelScheme | None":
    """Return the classes that `--labels` names."""
    from autoseg.stages.evaluate.known_labels import known_labels

    return None if path is None else known_labels(path)
