"""A case at each stage of processing, with one type per stage."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from autoseg.core.arrays import ImageArray, IntensityArray, LabelArray, VoxelSource
from autoseg.core.geometry import Geometry, Orientation, Reorientation, reorientation

WholeMask = Bool[np.ndarray, "*whole"]


@dataclass(frozen=True)
class Image:
    """An image in canonical orientation.

    Attributes:
        voxels: Intensities: integers of at most 16 bits as stored, all others as float32.
        geometry: Geometry of the canonical array.
        stored_geometry: Geometry in the file; outputs are written with it.
        reorientation: Turns the stored array into the canonical one.
        slice_axis: Axis of one voxel in the stored 3-D array, if the image is 2-D.
        forms: Position fields of a NIfTI header (`readers.nifti_forms`), which outputs keep.
    """

    voxels: IntensityArray
    geometry: Geometry
    stored_geometry: Geometry
    reorientation: Reorientation
    slice_axis: int = 0
    forms: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Size in voxels, without channels, canonical array order."""
        return tuple(self.voxels.shape[1:])

    def reoriented(self, orientation: Orientation) -> "Image":
        """Return the image in another orientation; 2-D images are returned unchanged.

        In the result, "canonical" in the attributes' descriptions means this orientation.
        """
        if self.geometry.num_axes == 2:
            return self
        turn = reorientation(self.stored_geometry, orientation)
        if turn == self.reorientation:
            return self
        stored = self.reorientation.invert(self.voxels)
        return replace(
            self,
            voxels=np.ascontiguousarray(turn.apply(stored)),
            geometry=turn.apply_to_geometry(self.stored_geometry, stored.shape[1:]),
            reorientation=turn,
        )


@dataclass(frozen=True)
class LabelMap:
    """Label values as the file stores them, in canonical orientation.

    Attributes:
        values: Integer label values, not yet mapped to class indices.
        geometry: Geometry of the canonical array.
        stored_geometry: Geometry in the file.
    """

    values: LabelArray
    geometry: Geometry
    stored_geometry: Geometry


@dataclass(frozen=True)
class LabelledCase:
    """An image with its reference.

    Attributes:
        name: Name of the case.
        image: The image.
        classes: Class index of every voxel (0 = background), same shape as the image.
    """

    name: str
    image: Image
    classes: LabelArray


@dataclass(frozen=True)
class InverseTransform:
    """Maps a prediction on the prepared grid back to the original image.

    All attributes but `full_shape` are in planned axis order (`Plan.axis_order`).

    Attributes:
        axis_order: Canonical axis of each planned axis.
        full_shape: Size of the whole canonical image, canonical axis order, voxels.
        crop: First voxel and one past the last of the nonzero bounding box, per axis.
        spacing: Voxel size of the image, mm.
        prepared_shape: Size after resampling, voxels.
        prepared_spacing: Voxel size after resampling, mm.
    """

    axis_order: tuple[int, ...]
    full_shape: tuple[int, ...]
    crop: tuple[tuple[int, int], ...]
    spacing: tuple[float, ...]
    prepared_shape: tuple[int, ...]
    prepared_spacing: tuple[float, ...]

    @classmethod
    def uncropped(
        cls,
        shape: tuple[int, ...],
        spacing: tuple[float, ...],
        prepared_shape: tuple[int, ...] | None = None,
        prepared_spacing: tuple[float, ...] | None = None,
    ) -> "InverseTransform":
        """Return the inverse transform of an uncropped image whose axes were not reordered.

        Args:
            shape: Size of the image, voxels.
            spacing: Voxel size of the image, mm.
            prepared_shape: Size after resampling, voxels; `shape` by default.
            prepared_spacing: Voxel size after resampling, mm; `spacing` by default.
        """
        return cls(
            axis_order=tuple(range(len(shape))),
            full_shape=shape,
            crop=tuple((0, size) for size in shape),
            spacing=spacing,
            prepared_shape=prepared_shape or shape,
            prepared_spacing=prepared_spacing or spacing,
        )

    @property
    def cropped_shape(self) -> tuple[int, ...]:
        """Size of the nonzero bounding box, voxels."""
        return tuple(stop - start for start, stop in self.crop)

    @property
    def is_consistent(self) -> bool:
        """Whether all entries have the same number of axes, and the crop is inside of the image."""
        axes = len(self.axis_order)
        lists = (self.full_shape, self.crop, self.spacing, self.prepared_shape)
        return (
            sorted(self.axis_order) == list(range(axes))
            and all(len(each) == axes for each in (*lists, self.prepared_spacing))
            and all(
                0 <= start < stop <= self.full_shape[axis]
                for axis, (start, stop) in zip(self.axis_order, self.crop, strict=True)
            )
            and min(self.prepared_shape, default=0) > 0
            and min((*self.spacing, *self.prepared_spacing), default=0) > 0
        )

    def onto(self, other: "InverseTransform") -> "InverseTransform":
        """Return the transform from this prepared grid to another one of the same image.

        Raises:
            ValueError: If the two differ in crop or axis order.
        """
        if (self.axis_order, self.crop) != (other.axis_order, other.crop):
            msg = f"the grids have the crops {self.crop} and {other.crop}; expected equal ones."
            raise ValueError(msg)
        return InverseTransform.uncropped(
            other.prepared_shape, other.prepared_spacing, self.prepared_shape, self.prepared_spacing
        )


@dataclass(frozen=True)
class CascadeInput:
    """Prediction of the previous stage of a cascade, on the grid of the image.

    Attributes:
        classes: Class index of every voxel.
        num_channels: Number of foreground classes; each becomes one input channel of the network.
    """

    classes: LabelArray
    num_channels: int

    def one_hot(self) -> ImageArray:
        """Return one channel per foreground class: 1 where the class was predicted, else 0."""
        indices = np.arange(1, self.num_channels + 1, dtype=self.classes.dtype)
        axes = (1,) * self.classes.ndim
        channels: ImageArray = (self.classes == indices.reshape(-1, *axes)).astype(np.float32)
        return channels


@dataclass(frozen=True)
class PreparedImage:
    """A preprocessed image: planned axis order, cropped, normalised, resampled.

    Attributes:
        voxels: Normalised intensities, float32.
        restoration: Maps predictions back to the original image.
        previous: The same image prepared for the previous stage of a cascade; None without one.
        cascade_input: Prediction of the previous stage; None without one, or before it predicted.
        outside: Voxels of the whole canonical image that are 0 in all channels and not enclosed by
            nonzero voxels. Only set for later stages of imported models; None if there are no such
            voxels.
    """

    voxels: VoxelSource
    restoration: InverseTransform
    previous: "PreparedImage | None" = None
    cascade_input: CascadeInput | None = None
    outside: WholeMask | None = None
