"""Time the evaluation of a label map."""

from functools import partial
from math import prod

import numpy as np

from autoseg.benchmarking.sample import Sample
from autoseg.benchmarking.timing import RowLabel, TimeLimit, time_row
from autoseg.core.formatting import format_shape
from autoseg.documents.bench import Throughput
from autoseg.evaluation.cases import score_case
from autoseg.readers import read_image, read_labels, stored_bytes


def time_evaluation(sample: Sample, time_limit: TimeLimit) -> Throughput:
    """Time how fast a label map is scored against its reference with the default metrics.

    The largest reference is compared with a copy of itself, moved by one voxel along every axis.
    """
    files = max(sample.project.dataset.cases, key=lambda case: stored_bytes(case.labels))
    image = read_image(files.images)
    reference = read_labels(files.labels, like=image).values
    moved = np.roll(reference, 1, axis=tuple(range(reference.ndim)))
    labels, spacing = sample.project.plan.labels, image.geometry.spacing
    if labels.ignore is not None:  # the ignore value is never predicted
        moved[moved == labels.ignore] = labels.values[0]
    label = RowLabel(
        stage="evaluation",
        unit="Mvoxel",
        measured_is=f"Dice, distances and volumes of {format_shape(reference.shape)} "
        "voxels, moved by one",
        floor_is="comparing the arrays once",
    )

    def score() -> None:
        score_case(files.name, moved, reference, spacing=spacing, labels=labels)

    floor = partial(np.array_equal, moved, reference)
    return time_row(label, prod(reference.shape) / 1e6, score, floor, time_limit)
