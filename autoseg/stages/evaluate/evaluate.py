"""`autoseg evaluate`: compare a folder of predictions with a folder of references."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autoseg.core.case import LabelMap
from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.formatting import format_shape
from autoseg.core.labels import LabelScheme
from autoseg.core.parallel import Failure, run_each
from autoseg.core.progress import Progress
from autoseg.datasets.containers import labels_in
from autoseg.documents.report import Report, UnscoredCase
from autoseg.documents.store import save
from autoseg.evaluation.cases import DEFAULT_MEASUREMENT, Measurement, ScoredCase, score_case
from autoseg.evaluation.summary import build_report
from autoseg.readers import exists, is_image_name, knows_geometry, read_image, read_labels, stem_of
from autoseg.stages.evaluate.label_state import label_content, label_state


@dataclass(frozen=True)
class LabelMapPair:
    """A predicted label map and its reference.

    Attributes:
        name: Name of the case.
        prediction: File of the prediction.
        reference: File of the reference.
        probabilities: Folders of the probabilities that the prediction was computed from, one per
            network; empty if they are not stored.
    """

    name: str
    prediction: Path
    reference: Path
    probabilities: tuple[Path, ...] = ()


def evaluate(
    predictions: Path,
    references: Path,
    *,
    labels: LabelScheme | None = None,
    measurement: Measurement = DEFAULT_MEASUREMENT,
    workers: int,
    progress: Progress,
) -> Report:
    """Score predictions against references and save the report as `evaluation.json`.

    Files are paired by their names without extension. A case that cannot be read, or whose
    prediction is on another grid, is listed as an issue; the other cases are still scored.

    Args:
        predictions: Folder of predicted label maps; the report is saved in it.
        references: Folder of reference label maps.
        labels: The classes; None uses the values in the files, with 0 as background.
        measurement: Metrics and tolerances.
        workers: Number of processes.
        progress: Receives the progress.

    Raises:
        DatasetError: If the folders have no file name in common, or a tolerance is given for an
            unknown class.
    """
    if labels is not None:
        _check_classes(measurement, [target.name for target in labels.targets])
    predicted, expected = files_by_name(predictions), files_by_name(references)
    names = sorted(predicted.keys() & expected.keys())
    if not names:
        msg = (
            f"no file in {predictions} ({len(predicted)} images) has the same name as one in "
            f"{references} ({len(expected)} images). Name the predictions like their references; "
            "only the extensions may differ."
        )
        raise DatasetError(msg)
    pairs = [LabelMapPair(name, predicted[name], expected[name]) for name in names]
    report = evaluate_pairs(
        pairs, labels=labels, measurement=measurement, workers=workers, progress=progress
    ).model_copy(
        update={
            "missing_predictions": tuple(sorted(expected.keys() - predicted.keys())),
            "missing_references": tuple(sorted(predicted.keys() - expected.keys())),
        }
    )
    _check_classes(measurement, [entry.name for entry in report.classes])
    save(report, predictions / Report.FILE_NAME)
    return report


def evaluate_pairs(
    pairs: Sequence[LabelMapPair],
    *,
    labels: LabelScheme | None = None,
    measurement: Measurement = DEFAULT_MEASUREMENT,
    workers: int,
    progress: Progress,
) -> Report:
    """Score given pairs of prediction and reference; the report is not saved.

    Args:
        pairs: Predictions and references.
        labels: The classes; None uses the values in the files, with 0 as background.
        measurement: Metrics and tolerances.
        workers: Number of processes.
        progress: Receives the progress.
    """
    references = {pair.name: pair.reference for pair in pairs}
    state, content = label_state(references), label_content(references)
    score = partial(_score, labels=labels, measurement=measurement)
    outcomes = run_each(score, pairs, workers=workers)
    done = list(progress.track(outcomes, description="Evaluating", total=len(pairs)))
    report = build_report(
        [outcome.value for outcome in done if not isinstance(outcome, Failure)],
        labels=labels,
        issues=[
            UnscoredCase(name=pairs[outcome.index].name, message=outcome.message)
            for outcome in done
            if isinstance(outcome, Failure)
        ],
    )
    return report.model_copy(update={"label_state": state, "label_content": content})


def _check_classes(measurement: Measurement, names: Sequence[str]) -> None:
    """Raise a DatasetError if a tolerance is given for an unknown class."""
    unknown = [name for name, _ in measurement.class_tolerances_mm if name not in names]
    if unknown:
        msg = (
            f"found a tolerance for {unknown[0]!r}; expected one of {sorted(names)}. Correct the "
            "name, or provide the class names with --labels."
        )
        raise DatasetError(msg)


def files_by_name(folder: Path) -> dict[str, Path]:
    """Map the names of the image files in a folder, without extension, to their paths."""
    if not folder.is_dir():
        msg = f"{folder} is not a folder. Pass the folder that holds the label maps."
        raise DatasetError(msg)
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if is_image_name(path) and exists(path):
            by_name[stem_of(path)].append(path)
    # some programs store probabilities in .npz files next to their label maps
    by_name = {
        name: [path for path in paths if path.suffix != ".npz"] or paths
        for name, paths in by_name.items()
    }
    for paths in by_name.values():
        if len(paths) > 1:
            clash = " and ".join(path.name for path in paths)
            msg = f"{folder} holds {clash}, which belong to the same case. Keep one of them."
            raise DatasetError(msg)
    return {name: paths[0] for name, paths in by_name.items()}


def _score(
    pair: LabelMapPair, *, labels: LabelScheme | None, measurement: Measurement
) -> ScoredCase:
    """Score one case; raise a CaseError if that is impossible."""
    pair = replace(pair, reference=labels_in(pair.reference), prediction=labels_in(pair.prediction))
    reference = read_label_map(pair.reference, pair.prediction)
    prediction = read_label_map(pair.prediction, pair.reference)
    _check_grids(pair, prediction, reference)
    geometry = (reference if knows_geometry(pair.reference) else prediction).geometry
    scored = score_case(
        pair.name,
        prediction.values,
        reference.values,
        spacing=geometry.spacing,
        labels=labels,
        measurement=measurement,
    )
    is_known = any(map(knows_geometry, (pair.reference, pair.prediction)))
    scored = replace(scored, distance_unit=geometry.unit if is_known else "px")
    if labels is None or not pair.probabilities:
        return scored
    from autoseg.stages.evaluate.calibration import with_calibration  # slow import

    return with_calibration(scored, reference.values, pair.probabilities, labels)


def read_label_map(path: Path, partner: Path) -> LabelMap:
    """Read a label map; a file without geometry takes that of its partner, if available."""
    if knows_geometry(path) or not knows_geometry(partner):
        return read_labels(path)
    return read_labels(path, like=read_image((partner,)))


def _check_grids(pair: LabelMapPair, prediction: LabelMap, reference: LabelMap) -> None:
    """Raise a CaseError if the shapes or geometries of two label maps differ."""
    shapes = prediction.values.shape, reference.values.shape
    difference = None
    if shapes[0] != shapes[1]:
        difference = f"shape {format_shape(shapes[0])} against {format_shape(shapes[1])}"
    elif knows_geometry(pair.prediction) and knows_geometry(pair.reference):
        difference = prediction.geometry.difference(reference.geometry, shapes[1])
    if difference:
        msg = (
            f"the prediction is not on the grid of its reference: {difference}. Predict the image "
            "that the reference was drawn on, or resample one of them."
        )
        raise CaseError(msg)
