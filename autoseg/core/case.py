"""A case in each state it passes through; a later state is another type."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from autoseg.core.arrays import ImageArray, LabelArray
from autoseg.core.geometry import Geometry, Orientation, Reorientation, reorientation

WholeMask = Bool[np.ndarray, "*whole"]


@dataclass(frozen=True)
class Image:
    """An image in canonical orientation.

    Attributes:
        voxels: Intensities, float32.
        geometry: Of the canonical array.
        stored_geometry: As the file has it; an output is written with this one.
        reorientation: How the stored array became the canonical one.
    """

    voxels: ImageArray
    geometry: Geometry
    stored_geometry: Geometry
    reorientation: Reorientation

    @property
    def shape(self) -> tuple[int, ...]:
        """Size in voxels, without channels, canonical array order."""
        return tuple(self.voxels.shape[1:])

    def turned(self, orientation: Orientation) -> "Image":
        """Return the image in another orientation than the canonical one; itself if in 2-D.

        What is said of canonical arrays here then holds for that orientation.
        """
        if self.geometry.num_axes == 2:
            return self
        turn = reorientation(self.stored_geometry, orientation)
        if turn == self.reorientation:
            return self
        stored = self.reorientation.invert(self.voxels)
        return Image(
            voxels=np.ascontiguousarray(turn.apply(stored)),
            geometry=turn.apply_to_geometry(self.stored_geometry, stored.shape[1:]),
            stored_geometry=self.stored_geometry,
            reorientation=turn,
        )


@dataclass(frozen=True)
class LabelMap:
    """Label values as the file stores them, in canonical orientation.

    Attributes:
        values: Integer label values, not yet mapped to class indices.
        geometry: Of the canonical array.
        stored_geometry: As the file has it.
    """

    values: LabelArray
    geometry: Geometry
    stored_geometry: Geometry


@dataclass(frozen=True)
class LabelledCase:
    """An image with its reference segmentation.

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
    """How a prepared image came about, and so how a prediction on its grid gets back.

    Everything but `full_shape` is in planned axis order (`Plan.axis_order`).

    Attributes:
        axis_order: For each planned axis, the canonical axis it is.
        full_shape: Size of the whole canonical image, canonical axis order, voxels.
        crop: Per axis, first voxel and one past the last of the nonzero bounding box.
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
        """Return the way back of a whole image with its axes in order.

        Args:
            shape: Size of the image, voxels.
            spacing: Voxel size of the image, mm.
            prepared_shape: Size after resampling; by default that of the image.
            prepared_spacing: Voxel size after resampling; by default that of the image.
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
        """Size of the bounding box, voxels."""
        return tuple(stop - start for start, stop in self.crop)

    def onto(self, other: "InverseTransform") -> "InverseTransform":
        """Return the way from this prepared grid to another one of the same image.

        Raises:
            ValueError: If the two were not cropped alike.
        """
        if (self.axis_order, self.crop) != (other.axis_order, other.crop):
            msg = f"the grids have the crops {self.crop} and {other.crop}; expected the same."
            raise ValueError(msg)
        return InverseTransform.uncropped(
            other.prepared_shape,
            other.prepared_spacing,
            self.prepared_shape,
            self.prepared_spacing,
        )


@dataclass(frozen=True)
class CascadeInput:
    """What the previous stage of a cascade predicted, on the grid of the image it belongs to.

    Attributes:
        classes: Class index of every voxel.
        num_channels: Number of foreground classes; each is one channel of a network's input.
    """

    classes: LabelArray
    num_channels: int

    def one_hot(self) -> ImageArray:
        """Return a channel per foreground class: 1 where the class was predicted, else 0."""
        indices = np.arange(1, self.num_channels + 1, dtype=self.classes.dtype)
        axes = (1,) * self.classes.ndim
        channels: ImageArray = (self.classes == indices.reshape(-1, *axes)).astype(np.float32)
        return channels


@dataclass(frozen=True)
class PreparedImage:
    """An image as a network sees it: planned axis order, cropped, normalised, resampled.

    Attributes:
        voxels: Normalised intensities.
        restoration: The way back.
        previous: The same image as the previous stage of a cascade sees it; None without one.
        cascade_input: What that stage predicted; None without one, or before it has.
        outside: The voxels of the whole canonical image that are 0 in all channels and not
            enclosed by others; known only to later stages of imported models, and None if no voxel
            is.
    """

    voxels: ImageArray
    restoration: InverseTransform
    previous: "PreparedImage | None" = None
    cascade_input: CascadeInput | None = None
    outside: WholeMask | None = None
