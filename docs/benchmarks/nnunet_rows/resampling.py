"""One CT-like volume to another voxel size, by both tools; no files are read."""

import numpy as np
from costs import stopwatch
from numpy.typing import NDArray
from volumes import ct_case

from nnunet_rows.data import CT_SEED, CT_SHAPE
from nnunet_rows.reported import report

TARGET_SPACING = (2.0, 1.0, 1.0)
SPACINGS = {"image": (1.5, 0.8, 0.8), "separate": (6.0, 0.8, 0.8), "labels": (1.5, 0.8, 0.8)}
"""Where the slices lie far apart, both tools treat their axis apart from the others."""


def nnunet(kind: str) -> None:
    """Let nnU-Net resample an image ("image", "separate") or the labels ("labels")."""
    from nnunetv2.preprocessing.resampling.default_resampling import (
        compute_new_shape,
        resample_data_or_seg_to_shape,
    )

    volume, spacing = _volume(kind), SPACINGS[kind]
    shape = compute_new_shape(volume.shape, spacing, TARGET_SPACING)
    is_labels = kind == "labels"
    with stopwatch() as watch:
        resample_data_or_seg_to_shape(
            volume[None],
            shape,
            spacing,
            TARGET_SPACING,
            is_seg=is_labels,
            order=1 if is_labels else 3,
            order_z=0,
            force_separate_z=None,
        )
    report(watch)


def autoseg(kind: str) -> None:
    """Let autoseg do the same."""
    from autoseg.preprocessing.resample import (
        resample_into,
        resample_labels,
        resampled_shape,
        separate_axis,
    )

    volume, spacing = _volume(kind), SPACINGS[kind]
    shape = resampled_shape(volume.shape, spacing, TARGET_SPACING)
    axis = separate_axis(spacing, TARGET_SPACING, 3.0)
    with stopwatch() as watch:
        if kind == "labels":
            resample_labels(volume, shape, order=1, separate_axis=axis, separate_axis_order=0)
        else:
            result = np.empty(shape, np.float32)
            resample_into(result, volume, order=3, separate_axis=axis, separate_axis_order=0)
    report(watch)


def _volume(kind: str) -> NDArray[np.generic]:
    """Return the voxels as each tool has them when it resamples: float32, or small integers."""
    image, labels = ct_case(np.random.default_rng(CT_SEED), CT_SHAPE)
    return labels if kind == "labels" else image.astype(np.float32)
