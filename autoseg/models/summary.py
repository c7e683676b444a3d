"""Summarise a fingerprint for comparison with new images."""

from collections.abc import Sequence

import numpy as np

from autoseg.documents.fingerprint import CaseFingerprint, Fingerprint
from autoseg.documents.model_card import AxisRange, DataSummary


def summarize_fingerprint(fingerprint: Fingerprint) -> DataSummary:
    """Summarise the cases and channels of a fingerprint."""
    cases = fingerprint.cases
    tilts = [case.tilt_degrees for case in cases if case.tilt_degrees is not None]
    return DataSummary(
        num_cases=len(cases),
        spacing_mm=_ranges([case.spacing for case in cases]),
        shape_voxels=_ranges([case.shape for case in cases]),
        extent_mm=_ranges([extent_mm(case.shape, case.spacing) for case in cases]),
        intensities=tuple(
            (channel.percentile_00_5, channel.percentile_99_5) for channel in fingerprint.channels
        ),
        least_foreground=min((share for case in cases if (share := _foreground(case))), default=0),
        axis_directions=tuple(sorted({case.axis_directions for case in cases} - {""})),
        greatest_tilt_degrees=max(tilts, default=None),
    )


def extent_mm(shape: Sequence[int], spacing: Sequence[float]) -> tuple[float, ...]:
    """Return the field of view of an image along each axis, in the unit of the spacing."""
    return tuple(size * step for size, step in zip(shape, spacing, strict=True))


def _foreground(case: CaseFingerprint) -> float:
    """Return the fraction of a case's voxels that are not background."""
    return sum(case.class_voxels[1:]) / sum(case.class_voxels)


def _ranges(rows: Sequence[Sequence[float | int]]) -> tuple[AxisRange, ...]:
    columns = np.array(rows, dtype=np.float64).T
    return tuple(
        AxisRange(
            least=float(column.min()),
            median=float(np.median(column)),
            greatest=float(column.max()),
        )
        for column in columns
    )
