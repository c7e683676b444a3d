"""`autoseg test`: predict and score the cases of a dataset's test set."""

import shutil
from dataclasses import replace

from autoseg.core.errors import DatasetError
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.report import Report
from autoseg.documents.workspace import Workspace
from autoseg.inference.model_selection import description, find_selection, loaded
from autoseg.stages.evaluate import REPORT_NAME
from autoseg.stages.predict import PredictOptions
from autoseg.stages.score_cases import score_cases


def test(workspace: Workspace, options: PredictOptions, progress: Progress) -> Report:
    """Return how good a model is on the test cases, which training never saw.

    Label maps and `evaluation.json` go into the work folder's `test`, in place of earlier ones. A
    case that cannot be predicted or scored is an issue of the report, and the others go on.

    Args:
        workspace: Of a planned dataset.
        options: The model (None takes what was selected, or else trained, in the work folder), and
            how to predict.
        progress: Where to report to.

    Raises:
        DatasetError: If the dataset has no test cases with labels.
        ModelError: If there is no such model, or more than one is meant.
    """
    spec = store.load(DatasetSpec, workspace.dataset, made_by="autoseg plan")
    if not spec.test_cases:
        msg = (
            f"{spec.root} had no test cases with labels when it was planned. Put them into "
            "imagesTs and labelsTs, or into test/images and test/labels, and run "
            f"`autoseg plan {spec.root}` again; or predict them elsewhere and compare by "
            "`autoseg evaluate`."
        )
        raise DatasetError(msg)
    choice = find_selection(options.model or workspace.root, options.folds)
    model = loaded(choice, options.loading(progress))
    progress.say(description(choice) or f"Predicting with {model.path}.")
    for sentence in choice.warnings:
        progress.say(f"warning: {sentence}.")
    shutil.rmtree(workspace.test, ignore_errors=True)
    options = replace(options, skip_existing=False)
    report = score_cases(spec.test_cases, workspace.test, model, options, progress)
    store.save(report, workspace.test / REPORT_NAME)
    return report
