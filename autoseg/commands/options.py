"""Options that several commands have."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.core import TyperCommand

from autoseg.core.crash_notes import CrashNotes
from autoseg.core.parallel import default_workers
from autoseg.core.work_root import WORK_ROOT

if TYPE_CHECKING:
    from autoseg.documents.splits import FoldName
    from autoseg.documents.workspace import Workspace


Dataset = Annotated[Path, typer.Argument(help="Folder with images and labels.")]
Work = Annotated[
    Path | None,
    typer.Option(
        help="Work folder; everything made goes there.",
        show_default=f"./{WORK_ROOT}/<dataset's folder name>",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Background processes.", show_default="fits the machine"),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps …")]
FoldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fold",
        help="Take this fold, a number or all; repeatable.",
        show_default="all numbered ones that are trained",
    ),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Type that convolutions compute in."),
]
ConfigurationName = Annotated[
    str | None,
    typer.Option(
        "--configuration", "-c", help="One of the plan.", show_default="the plan's choice"
    ),
]
NetworkName = Annotated[
    str | None,
    typer.Option(
        help="Kind of network; a wrong one lists all.",
        show_default="residual_encoder_unet on an accelerator of 20 GiB or more, else unet",
    ),
]
LossName = Annotated[
    str | None,
    typer.Option(help="Kind of loss; a wrong one lists all.", show_default="dice_ce"),
]

Cache = Annotated[
    Path | None,
    typer.Option(
        envvar="XDG_CACHE_HOME",
        help="Folder for caches; measurements of this machine are kept in autoseg/ there.",
        show_default="~/.cache",
    ),
]


def cache_folder(root: Path | None) -> Path | None:
    """Return autoseg's own folder of a cache; none where the user has no home folder either."""
    if root is not None:
        return root / "autoseg"
    try:
        return Path.home() / ".cache" / "autoseg"
    except RuntimeError:
        return None


def workspace_of(dataset: Path, work: Path | None) -> "Workspace":
    """Return the work folder that is meant for a dataset."""
    from autoseg.documents.workspace import Workspace

    return Workspace(work or WORK_ROOT / dataset.resolve().name)


def planned_workspace(dataset: Path, work: Path | None) -> "Workspace":
    """Return the work folder of a dataset that was planned before.

    Raises:
        DatasetError: If it was not, or the folder belongs to another dataset.
    """
    from autoseg.core.errors import DatasetError
    from autoseg.stages.dataset_identity import check_dataset_identity

    workspace = workspace_of(dataset, work)
    check_dataset_identity(dataset, workspace)
    if workspace.plan.is_file():
        return workspace
    option = "" if work is None else f" --work {work}"
    if dataset.is_dir():
        msg = f"{dataset} is not planned yet. Run `autoseg plan {dataset}{option}` first."
    else:
        of_that_name = "" if work else " of that name"
        msg = (
            f"{dataset} is no folder, and nothing{of_that_name} is planned in {work or WORK_ROOT}. "
            "Name the folder with the images and labels, and go to where it was planned, or say "
            "where with --work."
        )
    raise DatasetError(msg)


class Command(TyperCommand):
    """A command whose context is of the type that its parameter is declared with."""

    context_class = typer.Context


def crash_notes(context: typer.Context, folder: Path) -> CrashNotes | None:
    """Return the notes of a command, in which the folder for a crash log is recorded.

    None if no parent process would read it: in tests, and on other systems than Linux.
    """
    notes = context.find_object(CrashNotes)
    if notes is not None:
        notes.log_in(folder)
    return notes


def folds_of(texts: list[str] | None) -> "tuple[FoldName, ...] | None":
    """Return the folds that `--fold` names, None if it is not given."""
    return tuple(map(fold_of, texts)) if texts else None


def fold_of(text: str) -> "FoldName":
    """Return the fold that an option names.

    Raises:
        BadParameter: If it names none.
    """
    from autoseg.documents.splits import fold_named

    fold = fold_named(text)
    if fold is None:
        msg = f"found {text!r}; expected the number of a fold, from 0 on, or all."
        raise typer.BadParameter(msg, param_hint="'--fold'")
    return fold


def workers_or_default(wanted: int | None) -> int:
    """Return how many processes to use."""
    return default_workers() if wanted is None else wanted
