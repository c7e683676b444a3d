"""`autoseg test`: predict and score the test cases of a dataset."""

from dataclasses import replace

from autoseg.core.atomic_write import remove_folder
from autoseg.core.errors import DatasetError
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.report import Report
from autoseg.documents.workspace import Workspace
from autoseg.inference.selected_model import load_selection
from autoseg.models.model_selection import describe_selection, find_selection
from autoseg.stages.dataset_identity import check_same_classes
from autoseg.stages.evaluate.score_cases import score_cases
from autoseg.stages.predict.predict import PredictOptions


def test(
    workspace: Workspace, dataset: DatasetSpec, options: PredictOptions, progress: Progress
) -> Report:
    """Predict and score the test cases, which training never uses.

    Label maps and `evaluation.json` are saved in the subfolder `test` of the work folder and
    replace earlier ones. A case that cannot be predicted or scored is listed in the issues of the
    report, and the others continue.

    Args:
        workspace: Work folder of a planned dataset.
        dataset: Description of the dataset.
        options: Options for prediction. Without a model, the selected one in the work folder is
            used, else the trained one.
        progress: Receives progress and messages.

    Returns:
        The scores.

    Raises:
        DatasetError: If the dataset has no test cases with labels, or other classes than the model.
        ModelError: If there is no such model, or more than one.
    """
    if not dataset.test_cases:
        msg = (
            f"{dataset.root} had no test cases with labels when it was planned. Put them into "
            "imagesTs and labelsTs, or into test/images and test/labels, and run "
            f"`autoseg plan {dataset.root}` again; or predict images of another folder and score "
            "them with `autoseg evaluate`."
        )
        raise DatasetError(msg)
    selected = find_selection(options.model or workspace.root, options.folds)
    model = load_selection(selected, options.loading(progress))
    check_same_classes(model.plan.labels, dataset, str(model.path))
    progress.say(describe_selection(selected) or f"Predicting with {model.path}.")
    for sentence in selected.warnings:
        progress.say(f"warning: {sentence}.")
    remove_folder(workspace.test, workspace.root)
    options = replace(options, skip_existing=False)
    report = score_cases(dataset.test_cases, workspace.test, model, options, progress)
    store.save(report, workspace.test / Report.FILE_NAME)
    return report
