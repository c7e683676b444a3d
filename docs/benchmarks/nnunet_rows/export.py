"""From the logits of 61 classes on a coarse grid to a label file on the image's grid."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from costs import stopwatch
from numpy.typing import NDArray
from volumes import ball_distances, write_volume

from nnunet_rows.reported import report

if TYPE_CHECKING:
    from autoseg.core.case import InverseTransform
    from autoseg.inference.blending import LogitsSlab

SHAPE, SPACING = (160, 384, 384), (1.5, 0.8, 0.8)
COARSE_SHAPE, COARSE_SPACING = (80, 192, 192), (3.0, 1.6, 1.6)
NUM_CLASSES = 61
PLANES = 8
"""Of a slab, as the sliding window hands them on."""

IMAGE, THEIRS = "image.nii.gz", "nnunet"
LABELS = {"background": 0, **{f"organ {index}": index for index in range(1, NUM_CLASSES)}}
NOISE = 0.3


def make_logits(kind: str, folder: str) -> None:
    """Write logits as nnU-Net's window gives them, in half precision, and an empty image.

    "organs" are sixty ellipsoids whose scores fall with the distance, with some noise; "noise" is
    nothing else, so that every class is near the best everywhere.
    """
    write_volume(np.zeros(SHAPE, dtype=np.int16), SPACING, Path(folder) / IMAGE)
    np.save(Path(folder) / f"{kind}.npy", logits_of(kind, np.float16))


def logits_of(kind: str, dtype: type[np.floating]) -> NDArray[np.floating]:
    """Return logits of the coarse volume, see `make_logits`."""
    random = np.random.default_rng(61)
    logits = np.empty((NUM_CLASSES, *COARSE_SHAPE), dtype=dtype)
    for index, scores in enumerate(logits):
        if kind == "organs":
            scores[...] = NOISE * random.normal(size=COARSE_SHAPE) + _organ(random, index)
        else:
            scores[...] = random.normal(size=COARSE_SHAPE)
    return logits


def _organ(random: np.random.Generator, index: int) -> NDArray[np.float32] | float:
    """Return scores that are high in an ellipsoid; those of the background are 3 everywhere."""
    if index == 0:
        return 3.0
    centre, radii = random.uniform(0.15, 0.85, size=3), random.uniform(0.05, 0.15, size=3)
    return np.maximum(8 - 6 * ball_distances(COARSE_SHAPE, centre, radii), -8)


def nnunet(kind: str, folder: str, cores: str) -> None:
    """Let nnU-Net resample, decide and write."""
    from nnunetv2.inference.export_prediction import export_prediction_from_logits
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    place = Path(folder)
    plans = PlansManager(_plans())
    properties = {
        "spacing": list(SPACING),
        "shape_before_cropping": SHAPE,
        "shape_after_cropping_and_before_resampling": SHAPE,
        "bbox_used_for_cropping": [[0, size] for size in SHAPE],
        "sitk_stuff": {
            "spacing": SPACING[::-1],
            "origin": (0.0, 0.0, 0.0),
            "direction": tuple(np.eye(3).ravel()),
        },
    }
    dataset = {"labels": LABELS, "file_ending": ".nii.gz", "channel_names": {"0": "CT"}}
    logits = np.load(place / f"{kind}.npy")
    with stopwatch() as watch:
        export_prediction_from_logits(
            logits,
            properties,
            plans.get_configuration("3d_fullres"),
            plans,
            dataset,
            str(place / f"{THEIRS}_{kind}"),
            num_threads_torch=int(cores),
        )
    report(watch)


def _plans() -> dict:
    """Return what nnU-Net's export reads of its plans."""
    return {
        "dataset_name": "Dataset961_Organs",
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "configurations": {
            "3d_fullres": {
                "spacing": list(COARSE_SPACING),
                "patch_size": [64, 128, 128],
                "architecture": {},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": {
                    "is_seg": False,
                    "order": 1,
                    "order_z": 0,
                    "force_separate_z": None,
                },
            }
        },
    }


def autoseg(kind: str, folder: str, cores: str) -> None:
    """Let autoseg do it slab by slab, and compare the files."""
    from dataclasses import replace

    from autoseg.core.labels import LabelScheme
    from autoseg.documents.preparation import Resampling
    from autoseg.inference.export import class_map
    from autoseg.inference.prediction import export_orders
    from autoseg.readers import read_image, write_labels

    place = Path(folder)
    image = read_image((place / IMAGE,))
    image = replace(image, voxels=np.broadcast_to(np.float32(0), image.voxels.shape))
    labels = LabelScheme(names=tuple(LABELS), values=tuple(LABELS.values()))
    restoration = restoration_of()
    orders = export_orders(restoration, Resampling())
    logits = np.load(place / f"{kind}.npy")
    theirs, ours = (place / f"{tool}_{kind}.nii.gz" for tool in (THEIRS, "autoseg"))
    with stopwatch() as watch:
        indices = class_map(_slabs(logits), restoration, orders=orders, workers=int(cores))
        write_labels(labels.decode(indices), image, ours)
    report(watch, _equal(theirs, ours))


def restoration_of() -> "InverseTransform":
    """Return the transform from the coarse grid to the image's."""
    from autoseg.core.case import InverseTransform

    return InverseTransform.uncropped(SHAPE, SPACING, COARSE_SHAPE, COARSE_SPACING)


def _slabs(logits: NDArray[np.float16]) -> "Iterator[LogitsSlab]":
    from autoseg.inference.blending import LogitsSlab

    for start in range(0, logits.shape[1], PLANES):
        yield LogitsSlab(start, logits[:, start : start + PLANES].astype(np.float32))


def _equal(theirs: Path, ours: Path) -> str:
    """Return how much of the volume has the same label, if nnU-Net has written its file."""
    import SimpleITK

    if not theirs.is_file():
        return ""
    first, second = (
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) for path in (theirs, ours)
    )
    return f"{np.mean(first == second):.4%} of the voxels have nnU-Net's label"
