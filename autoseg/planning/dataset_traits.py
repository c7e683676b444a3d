"""What all configurations of a plan share: decided once, from the fingerprint."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autoseg.documents.fingerprint import Fingerprint
from autoseg.normalizers import Normalizer
from autoseg.planning import rules
from autoseg.planning.expected_dice import locality
from autoseg.planning.memory import Grid
from autoseg.planning.mirroring import mirror_axes
from autoseg.planning.normalization import normalizers
from autoseg.planning.planned_value import PlannedValue
from autoseg.planning.weights import Weights, class_weights


@dataclass(frozen=True)
class DatasetTraits:
    """The choices that do not depend on a network.

    Attributes:
        fingerprint: What was measured.
        spacing: Target voxel size, mm, canonical axis order.
        axis_order: For each planned axis, the canonical axis it is.
        median_shape: Median case size at that spacing, voxels, planned axis order.
        normalizers: One per channel.
        class_weights: Of the loss.
        class_frequencies: Of the loss, where it wants them; none for regions, which overlap.
        mirror_axes: Canonical axes along which images may be mirrored.
        locality: How much of the image the classes leave free, from 0 to 1.
    """

    fingerprint: Fingerprint
    spacing: PlannedValue[tuple[float, ...]]
    axis_order: PlannedValue[tuple[int, ...]]
    median_shape: PlannedValue[tuple[float, ...]]
    normalizers: tuple[PlannedValue[Normalizer], ...]
    class_weights: PlannedValue[Weights]
    class_frequencies: PlannedValue[tuple[float, ...] | None]
    mirror_axes: PlannedValue[tuple[int, ...]]
    locality: float

    @cached_property
    def grid(self) -> Grid:
        """The voxels of all axes, in planned order."""
        spacing = tuple(self.spacing.value[axis] for axis in self.axis_order.value)
        return Grid(spacing=spacing, median_shape=self.median_shape.value)

    def mirrored_patch_axes(self, num_axes: int) -> tuple[int, ...]:
        """Return the axes of a patch with the last `num_axes` planned axes that may be mirrored."""
        canonical = self.axis_order.value[-num_axes:]
        allowed = self.mirror_axes.value
        return tuple(patch for patch, axis in enumerate(canonical) if axis in allowed)

    @property
    def plane(self) -> Grid:
        """The voxels of the two finest axes."""
        return Grid(spacing=self.grid.spacing[-2:], median_shape=self.grid.median_shape[-2:])

    @property
    def slice_isotropy(self) -> float:
        """The spacing of pixels as a share of that of slices, from 0 to 1."""
        return min(1.0, min(self.grid.spacing[-2:]) / self.grid.spacing[0])

    @property
    def has_volumes(self) -> bool:
        """Whether the cases have more than one slice, in the median."""
        return len(self.grid.spacing) == 3 and self.grid.median_shape[0] != 1

    @property
    def voxels(self) -> float:
        """Voxels of all cases together at the target spacing, roughly."""
        return rules.voxels_of_dataset(self.grid.median_shape, len(self.fingerprint.cases))


def dataset_traits(fingerprint: Fingerprint) -> DatasetTraits:
    """Return the choices that follow from the fingerprint alone."""
    spacings = np.array([case.spacing for case in fingerprint.cases])
    shapes = np.array([case.shape_after_crop for case in fingerprint.cases])
    spacing = rules.target_spacing(spacings, shapes)
    has_regions = bool(fingerprint.labels.regions)
    order = rules.axis_order(spacing.value)
    return DatasetTraits(
        fingerprint=fingerprint,
        spacing=spacing,
        axis_order=order,
        median_shape=rules.median_shape(spacings, shapes, spacing.value, order.value),
        normalizers=normalizers(fingerprint),
        class_weights=class_weights(fingerprint.class_frequencies, has_regions=has_regions),
        class_frequencies=PlannedValue(
            None if has_regions else fingerprint.class_frequencies,
            "traits",
            "the classes' shares of all annotated voxels; none for regions, which overlap",
            "Wong et al., MICCAI 2018, equation 3",
        ),
        mirror_axes=mirror_axes(fingerprint),
        locality=locality(fingerprint),
    )
