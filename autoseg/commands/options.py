"""Options that several commands share."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from autoseg.core.cache import cache_folder
from autoseg.core.crash_notes import CrashNotes
from autoseg.core.mask_form import MaskForm
from autoseg.core.parallel import default_workers
from autoseg.core.work_root import WORK_ROOT

if TYPE_CHECKING:
    from autoseg.core.compute import Compute
    from autoseg.documents.dataset import DatasetSpec, LayoutOptions
    from autoseg.documents.splits import FoldName
    from autoseg.documents.workspace import Workspace
    from autoseg.terminal import TerminalProgress

Dataset = Annotated[Path, typer.Argument(help="Dataset folder with images and labels.")]
Work = Annotated[
    Path | None,
    typer.Option(
        help="Work folder for all output files.",
        show_default=f"./{WORK_ROOT}/<dataset's folder name>",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0, help="Number of background processes.", show_default="depends on the machine"
    ),
]
Device = Annotated[str, typer.Option(help="Device to compute on: auto, cpu, cuda, cuda:1, mps …")]
Memory = Annotated[
    float | None,
    typer.Option(
        min=1.0,
        help="GPU memory to plan for, in GiB.",
        show_default="the GPU's memory, or 8 without a GPU",
    ),
]
Seed = Annotated[
    int,
    typer.Option(min=0, help="Random seed for weight initialisation, sampling and augmentation."),
]
ShowCases = Annotated[bool, typer.Option("--cases", help="Also print the scores of every case.")]
SkipBadCases = Annotated[
    bool,
    typer.Option("--skip-bad-cases", help="Leave out cases that have issues instead of stopping."),
]
ImagePatterns = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        help="Pattern of image files, such as scans/{case}_{channel}.nii.gz; repeatable.",
        show_default="recognised",
    ),
]
LabelPatterns = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        help="Pattern of label files, such as labels/{case}_seg.nii.gz; repeatable.",
        show_default="recognised",
    ),
]
MaskOption = Annotated[
    MaskForm | None,
    typer.Option(
        help="How label files store the classes: a value, colour or channel per class, a mask to "
        "threshold, a number per object, or a file per class or per object.",
        show_default="recognised",
    ),
]
LabelMapOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Class of each value, colour or name in label files, such as 0=background,255=road, "
        "128:64:128=road or GTV-1=tumour; repeatable.",
        show_default="recognised",
    ),
]
TableOption = Annotated[
    str | None,
    typer.Option(
        help="Table of cases (.csv, .tsv, .xlsx) and the names of its columns of images, labels, "
        "groups and splits: FILE:image,label,group,split.",
        show_default="recognised",
    ),
]
TestPatterns = Annotated[
    list[str] | None,
    typer.Option(
        "--test",
        help="Pattern of files or folders of test cases, such as 'testing/*'; repeatable.",
        show_default="recognised",
    ),
]
MaxImageGib = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Greatest size of an image file in memory, in GiB of float32; larger ones are "
        "refused.",
        show_default="8",
    ),
]
SeriesPatterns = Annotated[
    list[str] | None,
    typer.Option(
        "--series",
        help="Pattern of the descriptions of DICOM series to use, such as 'T1*'; repeatable.",
        show_default="all",
    ),
]
LayoutFile = Annotated[
    Path | None,
    typer.Option(
        "--layout",
        help="JSON file with the choices image, label, mask, label_map, table, test and series; "
        "options of the command replace them.",
        show_default="none",
    ),
]


@dataclass(frozen=True)
class Layout:
    """Options for reading the layout of a dataset, in the order of the help.

    Attributes:
        image: Patterns of image files.
        label: Patterns of label files.
        mask: How label files store the classes.
        label_map: Class of each value or colour in label files.
        table: Table of cases and the names of its columns.
        test: Patterns of files or folders of test cases.
        series: Patterns of the descriptions of DICOM series.
        layout: JSON file with the same choices.
    """

    image: ImagePatterns = None
    label: LabelPatterns = None
    mask: MaskOption = None
    label_map: LabelMapOption = None
    table: TableOption = None
    test: TestPatterns = None
    series: SeriesPatterns = None
    layout: LayoutFile = None

    def options(self, dataset: Path) -> "LayoutOptions":
        """Return the checked choices for a dataset."""
        from autoseg.datasets.layouts.choices import layout_options

        chosen = vars(self).copy()
        return layout_options(dataset, chosen, chosen.pop("layout"))


def with_layout(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `layout` of a command by the options in `Layout`."""
    names = tuple(field.name for field in fields(Layout))

    def function(**arguments: Any) -> None:  # noqa: ANN401  (typer passes values of any type)
        layout = Layout(**{name: arguments.pop(name) for name in names})
        command(**arguments, layout=layout)

    own = signature(command)
    options = signature(Layout).parameters.values()
    parameters = [
        parameter
        for each in own.parameters.values()
        for parameter in (options if each.name == "layout" else (each,))
    ]
    function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    annotations = {parameter.name: parameter.annotation for parameter in parameters}
    function.__annotations__ = annotations | {"return": None}
    function.__name__, function.__doc__ = command.__name__, command.__doc__
    return function


def with_image_limit(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option `--max-image-gib` to a command."""

    @wraps(command)
    def function(**arguments: Any) -> None:  # noqa: ANN401  (typer passes values of any type)
        limit = arguments.pop("max_image_gib")
        if limit is not None:
            from autoseg.readers.limits import set_max_image_gib

            set_max_image_gib(limit)
        command(**arguments)

    own = signature(command)
    option = Parameter(
        "max_image_gib", Parameter.KEYWORD_ONLY, default=None, annotation=MaxImageGib
    )
    parameters = [*own.parameters.values(), option]
    function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {**command.__annotations__, "max_image_gib": MaxImageGib}
    return function


FoldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fold",
        help="Fold to use, a number or all; repeatable.",
        show_default="all trained folds with a number",
    ),
]
MirroringOption = Annotated[
    bool, typer.Option(help="Average over mirrored images (TTA): slower, slightly better.")
]
HalfOption = Annotated[
    bool, typer.Option("--half", help="Store weights in half precision, at half the size.")
]
LicenseOption = Annotated[
    str | None,
    typer.Option(
        "--license", help="License to state in the model card.", show_default="not stated"
    ),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Data type of the convolutions."),
]
ConfigurationName = Annotated[
    str | None,
    typer.Option(
        "--configuration",
        "-c",
        help="Configuration of the plan to use.",
        show_default="the plan's default",
    ),
]
NetworkName = Annotated[
    str | None,
    typer.Option(
        help="Network architecture; an unknown name lists them.",
        show_default="residual_encoder_unet on a GPU with at least 20 GiB, else unet",
    ),
]
LossName = Annotated[
    str | None,
    typer.Option(help="Loss function; an unknown name lists them.", show_default="dice_ce"),
]
Augmentation = Annotated[
    Literal["standard", "strong", "none"] | None,
    typer.Option(
        help="Random changes of training images: standard is nnU-Net's, strong adds slower ones.",
        show_default="standard",
    ),
]
LossWeightingOption = Annotated[
    Literal["planned", "equal", "frequency"],
    typer.Option(
        "--loss-weighting",
        help="Class weights in the loss: equal, frequency (rare classes weigh more), or planned "
        "(by frequency where the classes are very unequal).",
    ),
]

Cache = Annotated[
    Path | None,
    typer.Option(
        envvar="XDG_CACHE_HOME",
        help="Cache folder; its subfolder autoseg/ stores measurements of this machine.",
        show_default="~/.cache",
    ),
]


def workspace_of(dataset: Path, work: Path | None) -> "Workspace":
    """Return the given work folder, or the default one of a dataset."""
    from autoseg.documents.workspace import Workspace

    return Workspace(work or WORK_ROOT / dataset.resolve().name)


def planned_dataset(dataset: Path, work: Path | None) -> "tuple[Workspace, DatasetSpec]":
    """Return the work folder of a planned dataset, and the description of the dataset.

    Raises:
        DatasetError: If the dataset has not been planned, or the work folder belongs to another
            dataset.
        DocumentError: If the description of the dataset is damaged.
    """
    from autoseg.core.errors import DatasetError
    from autoseg.stages.dataset_identity import load_dataset

    workspace = workspace_of(dataset, work)
    if workspace.dataset.is_file():
        spec = load_dataset(dataset, workspace)
        if workspace.plan.is_file():
            return workspace, spec
    option = "" if work is None else f" --work {work}"
    if dataset.is_dir():
        msg = f"{dataset} has not been planned. Run `autoseg plan {dataset}{option}` first."
    else:
        of_that_name = "" if work else " of that name"
        msg = (
            f"{dataset} is not a folder, and no dataset{of_that_name} is planned in "
            f"{work or WORK_ROOT}. Give the folder with the images and labels; and change to the "
            "directory where it was planned, or give its work folder with --work."
        )
    raise DatasetError(msg)


def planned_workspace(source: Path, work: Path | None) -> "Workspace":
    """Return the work folder of a planned dataset, which may also be given itself.

    Raises:
        DatasetError: If the dataset has not been planned.
    """
    from autoseg.documents.workspace import Workspace

    itself = Workspace(source)
    if work is None and itself.plan.is_file() and itself.fingerprint.is_file():
        return itself
    return planned_dataset(source, work)[0]


class Command(TyperCommand):
    """A command whose context has the type that the command functions declare."""

    context_class = typer.Context


def terminal_progress(context: typer.Context, folder: Path) -> "TerminalProgress":
    """Create the progress display of a command, and record the folder for its crash log."""
    from autoseg.terminal import TerminalProgress

    notes = context.find_object(CrashNotes)
    if notes is not None:  # None in tests and on systems other than Linux: no process reads them
        notes.set_folder(folder)
    return TerminalProgress(notes=notes)


def compute_on(
    device: str,
    precision: Precision = "auto",
    workers: int | None = None,
    cache: Path | None = None,
) -> "Compute":
    """Combine the options of the hardware to compute on.

    Args:
        device: See `Compute`.
        precision: See `Compute`.
        workers: See `Compute`.
        cache: Value of `--cache`; None for the default folder.
    """
    from autoseg.core.compute import Compute

    return Compute(device, precision, workers, cache_folder(cache))


def parse_folds(texts: list[str] | None) -> "tuple[FoldName, ...] | None":
    """Parse the values of `--fold`; None if the option is not given."""
    return tuple(map(parse_fold, texts)) if texts else None


def parse_fold(text: str) -> "FoldName":
    """Parse a fold: its number, or "all".

    Raises:
        BadParameter: If the text is neither.
    """
    from autoseg.documents.splits import fold_from_name

    fold = fold_from_name(text)
    if fold is None:
        msg = f"found {text!r}; expected a fold number (0 or higher) or all."
        raise typer.BadParameter(msg, param_hint="'--fold'")
    return fold


def workers_or_default(wanted: int | None) -> int:
    """Return the requested number of processes, or the default of this machine."""
    return default_workers() if wanted is None else wanted
