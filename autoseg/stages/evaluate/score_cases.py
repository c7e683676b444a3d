"""Predict labelled cases at full size, and score them against the original label files."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from autoseg.core.progress import Progress
from autoseg.datasets.inputs import InputCase
from autoseg.documents.dataset import CaseFiles
from autoseg.documents.report import Report
from autoseg.inference.selected_model import SelectedModel
from autoseg.readers import ending_of
from autoseg.readers.names import label_ending
from autoseg.stages.evaluate.evaluate import LabelMapPair, evaluate_pairs
from autoseg.stages.predict.predict import PredictOptions, predict_cases


def score_cases(
    cases: Sequence[CaseFiles],
    outputs: Path,
    model: SelectedModel,
    options: PredictOptions,
    progress: Progress,
) -> Report:
    """Predict labelled cases with a model and score the label maps.

    Args:
        cases: Images and label files of the cases.
        outputs: Folder for the predicted label maps.
        model: The model.
        options: Options for prediction.
        progress: Receives progress and messages.

    Returns:
        The scores. A case that could not be predicted or scored is listed in the issues.
    """
    inputs = [
        InputCase(name=case.name, images=case.images, ending=ending_of(case.images[0]))
        for case in cases
    ]
    start = perf_counter()
    predicted = predict_cases(inputs, outputs, model, options, progress)
    seconds = perf_counter() - start
    written, failed = len(predicted.written), {entry.name for entry in predicted.failures}
    probabilities = options.probabilities
    pairs = [
        LabelMapPair(
            name=case.name,
            prediction=label_map(outputs, case),
            reference=case.labels,
            probabilities=() if probabilities is None else (probabilities / case.name,),
        )
        for case in cases
        if case.name not in failed
    ]
    report = evaluate_pairs(
        pairs, labels=model.plan.labels, workers=options.compute.num_workers, progress=progress
    )
    return report.model_copy(
        update={
            "issues": (*predicted.failures, *report.issues),
            "seconds_per_case": None if failed or not written else seconds / written,
            "agreements": tuple(sorted(predicted.agreements, key=lambda entry: entry.name)),
        }
    )


def label_map(outputs: Path, case: CaseFiles) -> Path:
    """Return the path of the predicted label map of a case."""
    return outputs / f"{case.name}{label_ending(ending_of(case.images[0]))}"
