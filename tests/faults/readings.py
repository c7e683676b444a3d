"""How inputs are read: by public functions, as commands would."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from autoseg.core.errors import AutosegError
from autoseg.core.progress import Silent


def try_each(*actions: Callable[[], object]) -> None:
    """Do all actions, also if some are refused; then raise the first refusal."""
    refusals = []
    for action in actions:
        try:
            action()
        except AutosegError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def read_image_file(folder: Path) -> None:
    """Read an image by every function of the readers; `path.txt` names it in the folder."""
    from autoseg import readers

    path = folder / "case" / (folder / "path.txt").read_text()
    functions = (
        *(readers.images_in, readers.knows_geometry, readers.read_header, readers.read_labels),
        *(readers.read_stored_labels, readers.read_segments),
    )
    whole = partial(readers.read_image, (path,))
    try_each(whole, *(partial(function, path) for function in functions))


def plan_dataset(folder: Path) -> None:
    """Recognise a dataset, and measure its cases."""
    from autoseg.datasets.layouts.choices import read_layout
    from autoseg.datasets.user_splits import find_splits_file, read_folds
    from autoseg.documents.dataset import AUTOMATIC
    from autoseg.documents.workspace import Workspace
    from autoseg.stages.inspect import inspect
    from autoseg.stages.plan.fingerprint import DatasetChoices, fingerprint

    root, layout = folder / "dataset", folder / "layout.json"
    options = read_layout(root, layout) if layout.is_file() else AUTOMATIC
    choices, workspace = DatasetChoices(options, skip_bad_cases=True), Workspace(folder / "work")
    path = find_splits_file(root)
    try_each(
        lambda: inspect(root, options, workers=1),
        lambda: None if path is None else read_folds(path),
        lambda: fingerprint(root, workspace, choices, workers=1, progress=Silent()),
    )


def load_work_folder(folder: Path) -> None:
    """Load all documents of a work folder, as training, selection and prediction do."""
    from autoseg.documents.report import Report
    from autoseg.documents.run import Run
    from autoseg.documents.selection import Selection
    from autoseg.documents.store import load
    from autoseg.documents.workspace import Workspace
    from autoseg.models.loader import LoadOptions
    from autoseg.models.model_selection import find_selection, load_members
    from autoseg.planning.step_memory import step_memory_gib
    from autoseg.stages.project import fold_cases, load_project

    workspace = Workspace(folder / "work")
    kinds = {"run.json": Run, "evaluation.json": Report, "selection.json": Selection}
    documents = [
        (kinds[path.name], path) for path in workspace.root.rglob("*.json") if path.name in kinds
    ]

    def project() -> None:
        loaded = load_project(workspace, Silent())
        for fold in (0, "all"):
            fold_cases(loaded, fold, Silent())
        chosen = loaded.plan.configuration(None)
        if step_memory_gib(chosen.architecture, chosen.batch_size, chosen.recipe) < 1:
            chosen.architecture.build()  # training compares with the memory of the machine

    try_each(
        project,
        lambda: load_members(find_selection(workspace.root, None), LoadOptions(device="cpu")),
        *(partial(load, kind, path) for kind, path in documents),
    )


def load_model_file(folder: Path) -> None:
    """Describe and load a model file."""
    from autoseg.models.archive.reader import ModelArchive
    from autoseg.models.loader import LoadOptions
    from autoseg.models.model_selection import describe_selection, find_selection, load_members

    path = folder / "model.autoseg"
    selection = find_selection(path, None)
    try_each(
        lambda: ModelArchive(path).read_card_page(),
        lambda: ModelArchive(path).read_card(),
        lambda: describe_selection(selection),
        lambda: load_members(selection, LoadOptions(device="cpu")),
    )


def import_model(folder: Path) -> None:
    """Import a model of nnU-Net."""
    from autoseg.stages.import_nnunet import ImportOptions, import_nnunet

    model = next(iter([*folder.glob("*.zip"), folder / "nnunet"]))
    import_nnunet(model, folder / "imported.autoseg", ImportOptions(), Silent())


def resume_training(folder: Path) -> None:
    """Load the checkpoint of a training."""
    from faults.seeds import new_state

    from autoseg.training.checkpoint import load_checkpoint

    load_checkpoint(new_state(), folder / "checkpoint.safetensors", identity="a")


def read_prepared_case(folder: Path) -> None:
    """Read a prepared case."""
    from autoseg.preprocessing.storage import open_case

    case = open_case(folder / "case")
    shape = tuple(min(4, size) for size in case.shape)
    try_each(
        *(case.read_image, case.read_classes, lambda: case.foreground),
        lambda: case.read_patch((0,) * len(shape), shape),
    )


def evaluate_folders(folder: Path) -> None:
    """Score label maps."""
    from autoseg.stages.evaluate.evaluate import evaluate

    evaluate(folder / "out", folder / "references", workers=1, progress=Silent())


READINGS: dict[str, Callable[[Path], None]] = {
    function.__name__: function
    for function in (
        *(read_image_file, plan_dataset, load_work_folder, load_model_file, import_model),
        *(resume_training, read_prepared_case, evaluate_folders),
    )
}
