"""Fingerprints of datasets that never existed, for tests of the planner."""

import numpy as np

from autoseg.core.labels import LabelScheme
from autoseg.documents.fingerprint import (
    QUANTILE_LEVELS,
    CaseFingerprint,
    CaseIntensities,
    Fingerprint,
    combine,
)


def make_fingerprint(
    shapes,
    spacings,
    *,
    channel_names=("MRI",),
    class_shares=(0.9, 0.1),
    intensities=(0.0, 100.0),
    is_integer=True,
    fits_8_bits=None,
    left_by_crop=1.0,
    centres=None,
    extents=None,
    coarse_dice=None,
) -> Fingerprint:
    """Return the fingerprint of cases with these shapes after the crop.

    Args:
        shapes: One per case, voxels after the nonzero crop.
        spacings: One per case, mm.
        channel_names: Of the dataset.
        class_shares: Share of each class among a case's voxels.
        intensities: Least and greatest foreground intensity, evenly spread between.
        is_integer: Whether intensities are whole numbers.
        fits_8_bits: Whether the whole image is from 0 to 255; by default, if the foreground is.
        left_by_crop: Share of a case that the crop leaves.
        centres: Gives the centres of the classes of a case, by its index.
        extents: Of each class, the same in every case.
        coarse_dice: At coarser voxels, the same in every case.
    """
    low, high = intensities
    channel = CaseIntensities(
        mean=(low + high) / 2,
        std=(high - low) / np.sqrt(12),
        quantiles=tuple(low + level * (high - low) for level in QUANTILE_LEVELS),
    )
    cases = tuple(
        CaseFingerprint(
            name=f"case_{index:04d}",
            source=(),
            shape=(max(1, round(shape[0] / left_by_crop)), *shape[1:]),
            spacing=tuple(map(float, spacing)),
            shape_after_crop=tuple(shape),
            class_voxels=tuple(round(share * 1e6) for share in class_shares),
            class_centres=(None,) * len(class_shares) if centres is None else centres(index),
            class_extents=(None,) * len(class_shares) if extents is None else extents,
            intensities=(channel,) * len(channel_names),
            is_integer=is_integer,
            fits_8_bits=is_integer and low >= 0 and high <= 255
            if fits_8_bits is None
            else fits_8_bits,
            coarse_dice=coarse_dice,
        )
        for index, (shape, spacing) in enumerate(zip(shapes, spacings, strict=True))
    )
    count = len(class_shares)
    return combine(
        dataset_name="synthetic",
        channel_names=tuple(channel_names),
        labels=LabelScheme(
            names=("background", *(f"class_{index}" for index in range(1, count))),
            values=tuple(range(count)),
        ),
        cases=cases,
    )


def small_volumes(num_cases=20, **settings) -> Fingerprint:
    """Return the fingerprint of small isotropic volumes."""
    return make_fingerprint(
        [(36 + index % 3, 50, 35) for index in range(num_cases)],
        [(1.0, 1.0, 1.0)] * num_cases,
        **settings,
    )
