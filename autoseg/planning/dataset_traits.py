"""Choices shared by all configurations of a plan, made once from the fingerprint."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from autoseg.documents.fingerprint import Fingerprint
from autoseg.normalizers import Normalizer
from autoseg.planning import rules
from autoseg.planning.expected_dice import locality
from autoseg.planning.memory import Grid
from autoseg.planning.mirroring import mirror_axes
from autoseg.planning.normalization import normalizers
from autoseg.planning.planned_value import PlannedValue


@dataclass(frozen=True)
class DatasetTraits:
    """Choices that do not depend on the network.

    Attributes:
        fingerprint: Fingerprint of the dataset.
        spacing: Target voxel size, mm, canonical axis order.
        axis_order: Canonical axis of each planned axis.
        median_shape: Median case size at that spacing, voxels, planned axis order.
        normalizers: One per channel.
        class_frequencies: Class frequencies for losses that need them; None for regions, which
            overlap.
        mirror_axes: Canonical axes along which images may be mirrored.
        locality: Share of the image outside the extent of a class, on average, from 0 to 1.
    """

    fingerprint: Fingerprint
    spacing: PlannedValue[tuple[float, ...]]
    axis_order: PlannedValue[tuple[int, ...]]
    median_shape: PlannedValue[tuple[float, ...]]
    normalizers: tuple[PlannedValue[Normalizer], ...]
    class_frequencies: PlannedValue[tuple[float, ...] | None]
    mirror_axes: PlannedValue[tuple[int, ...]]
    locality: float

    @cached_property
    def grid(self) -> Grid:
        """Voxel grid of all axes, in planned order."""
        spacing = tuple(self.spacing.value[axis] for axis in self.axis_order.value)
        return Grid(spacing=spacing, median_shape=self.median_shape.value)

    def mirrored_patch_axes(self, num_axes: int) -> PlannedValue[tuple[int, ...]]:
        """Return the patch axes that may be mirrored; a patch has the last `num_axes` axes."""
        canonical = self.axis_order.value[-num_axes:]
        allowed = self.mirror_axes.value
        return self.mirror_axes.with_value(
            tuple(patch for patch, axis in enumerate(canonical) if axis in allowed)
        )

    @property
    def slice_isotropy(self) -> float:
        """Pixel spacing divided by slice spacing, at most 1."""
        return min(1.0, min(self.grid.spacing[-2:]) / self.grid.spacing[0])

    @property
    def has_volumes(self) -> bool:
        """Whether the median case has more than one slice."""
        return len(self.grid.spacing) == 3 and self.grid.median_shape[0] != 1

    @property
    def voxels(self) -> float:
        """Approximate number of voxels of all cases together at the target spacing."""
        return float(prod(self.grid.median_shape) * len(self.fingerprint.cases))


def dataset_traits(fingerprint: Fingerprint) -> DatasetTraits:
    """Make the choices that depend on the fingerprint alone."""
    spacings = np.array([case.spacing for case in fingerprint.cases])
    shapes = np.array([case.shape_after_crop for case in fingerprint.cases])
    spacing = rules.target_spacing(spacings, shapes, fingerprint.unit)
    has_regions = bool(fingerprint.labels.regions)
    order = rules.axis_order(spacing.value, fingerprint.unit)
    return DatasetTraits(
        fingerprint=fingerprint,
        spacing=spacing,
        axis_order=order,
        median_shape=rules.median_shape(spacings, shapes, spacing.value, order.value),
        normalizers=normalizers(fingerprint),
        class_frequencies=PlannedValue(
            None if has_regions else fingerprint.class_frequencies,
            "dataset_traits",
            "the classes' shares of all annotated voxels; none for regions, which overlap",
            "Wong et al., MICCAI 2018, equation 3",
        ),
        mirror_axes=mirror_axes(fingerprint),
        locality=locality(fingerprint),
    )
