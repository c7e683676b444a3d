"""Time the scoring of a label map."""

from math import prod

import numpy as np

from autoseg.benchmarking.sample import Sample
from autoseg.benchmarking.timing import RowLabel, TimeLimit, in_turns, throughput
from autoseg.documents.bench import Throughput
from autoseg.evaluation.cases import score_case
from autoseg.readers import read_image, read_labels


def evaluation(sample: Sample, time_limit: TimeLimit) -> Throughput:
    """Return how fast a label map is compared with its reference, by the usual metrics.

    The largest reference is compared with itself, moved by one voxel along every axis.
    """
    files = max(sample.spec.cases, key=lambda case: case.labels.stat().st_size)
    image = read_image(files.images)
    reference = read_labels(files.labels, like=image).values
    moved = np.roll(reference, 1, axis=tuple(range(reference.ndim)))
    labels, spacing = sample.plan.labels, image.geometry.spacing
    if labels.ignore is not None:  # which nothing predicts
        moved[moved == labels.ignore] = labels.values[0]
    label = RowLabel(
        stage="evaluation",
        unit="Mvoxel",
        measured_is=f"Dice, distances and volumes of {' × '.join(map(str, reference.shape))} "
        "voxels, moved by one",
        floor_is="comparing the arrays once",
    )

    def score() -> None:
        score_case(files.name, moved, reference, spacing=spacing, labels=labels)

    pairs = in_turns(score, lambda: np.array_equal(moved, reference), time_limit)
    return throughput(pairs, prod(reference.shape) / 1e6, label)
