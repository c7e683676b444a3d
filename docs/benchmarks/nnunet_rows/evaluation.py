"""Scores of one case with eight classes: by autoseg Dice, HD95 and NSD, by nnU-Net Dice alone."""

from pathlib import Path

import numpy as np
from costs import stopwatch
from volumes import ball_distances, write_volume

from nnunet_rows.reported import report

SHAPE, SPACING = (200, 512, 512), (1.5, 0.8, 0.8)
NUM_CLASSES = 8
METRICS = ("dice", "hd95_mm", "nsd")
SHIFT = (1, 3, 2)
"""Voxels that the prediction is off."""

ROUGHNESS = 0.03
"""Share of a squared radius by which its surface varies from voxel to voxel."""


def make_label_maps(folder: str) -> None:
    """Write a reference of eight ellipsoids, and a prediction that is shifted and rough."""
    random, place = np.random.default_rng(8), Path(folder)
    reference, prediction = np.zeros(SHAPE, dtype=np.uint8), np.zeros(SHAPE, dtype=np.uint8)
    for value in range(1, NUM_CLASSES + 1):
        centre = (0.5, 0.25 + 0.16 * ((value - 1) % 4), 0.3 + 0.4 * (value > 4))
        radii = random.uniform(0.06, 0.14, size=3)
        distances = ball_distances(SHAPE, centre, radii)
        reference[distances < 1] = value
        rough = distances + ROUGHNESS * random.normal(size=SHAPE).astype(np.float32)
        prediction[np.roll(rough, SHIFT, axis=(0, 1, 2)) < 1] = value
    write_volume(reference, SPACING, place / "reference.nii.gz")
    write_volume(prediction, SPACING, place / "prediction.nii.gz")


def nnunet(folder: str) -> None:
    """Let nnU-Net read both files and count."""
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    reference, prediction = _files(folder)
    with stopwatch() as watch:
        compute_metrics(reference, prediction, SimpleITKIO(), list(range(1, NUM_CLASSES + 1)))
    report(watch, "Dice alone")


def autoseg(folder: str) -> None:
    """Let autoseg read both files and measure Dice, HD95 and NSD."""
    from autoseg.evaluation.cases import Measurement, score_case
    from autoseg.readers import read_labels

    with stopwatch() as watch:
        with stopwatch() as reading:
            reference, prediction = (read_labels(Path(path)) for path in _files(folder))
        scored = score_case(
            "case",
            prediction.values,
            reference.values,
            spacing=reference.geometry.spacing,
            measurement=Measurement(metrics=METRICS),
        )
    means = {name: np.mean([entry.metric(name) for entry in scored.scores]) for name in METRICS}
    listed = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    report(watch, f"reading {reading.seconds:.2f} s of it; mean {listed}")


def _files(folder: str) -> tuple[str, str]:
    return tuple(str(Path(folder) / f"{name}.nii.gz") for name in ("reference", "prediction"))
