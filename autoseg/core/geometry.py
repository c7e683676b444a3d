"""Image geometry: spacing, origin, direction, and reorientation to a canonical orientation."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoseg.core.formatting import format_number

GEOMETRY_TOLERANCE = 1e-3
"""Tolerance for two files to count as aligned: of spacings as a fraction, of direction matrices per
entry, and of origins as a fraction of the longest edge of the image in mm."""


Orientation: TypeAlias = Literal["SPL", "SAR", "stored"]
"""Directions of an image's axes in memory, in array order: superior, posterior, left (canonical);
superior, anterior, right; or as stored in the file."""

LengthUnit: TypeAlias = Literal["mm", "µm", "nm", "px"]
"""Unit of distances: that of the files, or pixels if no file stores a pixel size."""

NANOMETRES: dict[LengthUnit, int] = {"mm": 10**6, "µm": 10**3, "nm": 1, "px": 10**6}
"""Length of each unit, nm; pixels of unknown size are read as 1 mm."""


@dataclass(frozen=True)
class Geometry:
    """Spacing, origin and direction of an image with 2 or 3 axes, all in array order.

    Array order means (z, y, x), both for voxel axes and for world axes. For a file that stores
    (x, y, z), all three are reversed when reading and writing.

    Attributes:
        spacing: Distance between voxel centres along each axis; 1.0 if the file stores none.
        origin: World position of the first voxel's centre.
        direction: Unit vectors: row = world axis, column = voxel axis.
        unit: Unit of spacing and origin: mm unless a file states a smaller one, as in microscopy.
    """

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[tuple[float, ...], ...]
    unit: LengthUnit = "mm"

    @classmethod
    def plain(cls, spacing: tuple[float, ...], unit: LengthUnit = "mm") -> "Geometry":
        """Return a geometry with the given spacing, zero origin and identity direction."""
        axes = len(spacing)
        identity = tuple(tuple(float(i == j) for j in range(axes)) for i in range(axes))
        return cls(spacing=spacing, origin=(0.0,) * axes, direction=identity, unit=unit)

    @property
    def num_axes(self) -> int:
        """Number of image axes: 2 or 3."""
        return len(self.spacing)

    def unit_issue(self, unit: LengthUnit) -> str | None:
        """Describe why an image cannot be compared with training images; None if it can.

        Readers set 1 mm for files without a voxel size, so that 1 mm is unclear for µm and nm.

        Args:
            unit: Unit of the training images.
        """
        if self.unit == "mm" and set(self.spacing) == {1.0} and unit in ("µm", "nm"):
            return (
                f"it has no voxel size, or one of 1 mm; those of the training images are in {unit}"
            )
        if unit == "px" and self.unit in ("µm", "nm"):
            return f"its voxel size is in {self.unit}; the training images have none"
        return None

    def in_unit(self, unit: LengthUnit) -> "Geometry":
        """Convert to another unit of length; pixels count as mm."""
        factor = NANOMETRES[self.unit] / NANOMETRES[unit]
        if factor == 1:
            return self
        return replace(
            self,
            spacing=tuple(value * factor for value in self.spacing),
            origin=tuple(value * factor for value in self.origin),
            unit=unit,
        )

    def difference(self, other: "Geometry", shape: tuple[int, ...]) -> str | None:
        """Describe the first difference from another geometry; None if they are aligned.

        Lengths in different units are converted.

        Args:
            other: The geometry to compare with.
            shape: Size of the image in voxels; the tolerance of the origin grows with it.
        """
        if self.num_axes != other.num_axes:
            return f"{self.num_axes} axes against {other.num_axes}"
        own_unit = "" if self.unit == other.unit else f" {self.unit}"
        converted = other.in_unit(self.unit)
        mine, theirs = np.asarray(self.spacing), np.asarray(converted.spacing)
        if np.any(np.abs(mine - theirs) > GEOMETRY_TOLERANCE * mine):
            own, found = _rounded(self.spacing), _rounded(other.spacing)
            return f"spacing {own}{own_unit} against {found} {other.unit}"
        if np.abs(np.subtract(self.direction, other.direction)).max() > GEOMETRY_TOLERANCE:
            return "another direction (orientation) matrix"
        shift = np.abs(np.subtract(self.origin, converted.origin)).max()
        if shift > GEOMETRY_TOLERANCE * float(np.max(mine * np.asarray(shape))):
            own, found = _rounded(self.origin), _rounded(other.origin)
            return f"origin {own}{own_unit} against {found} {other.unit}"
        return None


@dataclass(frozen=True)
class Reorientation:
    """An exact permutation and flip of the voxel axes; `invert` undoes `apply`.

    Attributes:
        axes: Stored axis of each canonical axis.
        flips: Whether each canonical axis is reversed.
    """

    axes: tuple[int, ...]
    flips: tuple[bool, ...]

    def apply(self, voxels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return a view of a stored array with its trailing axes in canonical orientation."""
        lead = voxels.ndim - len(self.axes)
        moved = voxels.transpose(*range(lead), *(lead + axis for axis in self.axes))
        canonical: NDArray[np.generic] = moved[self._flip_index()]
        return canonical

    def invert(self, voxels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return a view of a canonical array with its trailing axes in stored orientation."""
        lead = voxels.ndim - len(self.axes)
        flipped: NDArray[np.generic] = voxels[self._flip_index()]
        inverse = np.argsort(self.axes)
        return flipped.transpose(*range(lead), *(lead + int(axis) for axis in inverse))

    def _flip_index(self) -> tuple[Any, ...]:
        return (..., *(slice(None, None, -1 if flip else 1) for flip in self.flips))

    def apply_to_geometry(self, geometry: Geometry, shape: tuple[int, ...]) -> Geometry:
        """Return the geometry of the reoriented array; `shape` is the shape of the stored one."""
        direction = np.asarray(geometry.direction)[:, list(self.axes)]
        spacing = np.asarray(geometry.spacing)[list(self.axes)]
        extent = (np.asarray(shape)[list(self.axes)] - 1) * spacing
        origin = np.asarray(geometry.origin, dtype=float)
        for axis, flip in enumerate(self.flips):
            if flip:
                origin = origin + direction[:, axis] * extent[axis]
        signs = np.where(self.flips, -1.0, 1.0)
        return Geometry(
            spacing=tuple(float(value) for value in spacing),
            origin=tuple(float(value) for value in origin),
            direction=tuple(tuple(float(value) for value in row) for row in direction * signs),
            unit=geometry.unit,
        )


def coarsen_spacing(spacing: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """Raise each spacing to at least `factor` times the finest one.

    Axes that are already coarser keep their spacing, so that anisotropic voxels become isotropic
    before all of their axes become coarser.

    Args:
        spacing: Voxel size, mm.
        factor: At least 1.
    """
    coarsest = factor * min(spacing)
    return tuple(max(edge, coarsest) for edge in spacing)


def length_unit(num_axes: int, spacings: Iterable[float], unit: LengthUnit = "mm") -> LengthUnit:
    """Return the unit of lengths in a dataset: px for 2-D images of unknown pixel size.

    Readers set spacing and unit to 1 mm for files that store none.

    Args:
        num_axes: Number of image axes: 2 or 3.
        spacings: Spacings of any cases along any axes.
        unit: Unit of the images' geometry.
    """
    is_unknown = unit == "mm" and num_axes == 2 and all(spacing == 1 for spacing in spacings)
    return "px" if is_unknown else unit


def canonical_orientation(geometry: Geometry) -> Reorientation:
    """Return the reorientation that aligns each voxel axis with its world axis.

    It uses the axis permutation that aligns best with the world axes, and flips each axis that runs
    backwards, so that medical images become (superior, posterior, left). Images with 2 axes are not
    reoriented.
    """
    axes = geometry.num_axes
    if axes == 2:
        return Reorientation(axes=(0, 1), flips=(False, False))
    direction = np.asarray(geometry.direction)
    best = max(
        permutations(range(axes)),
        key=lambda order: sum(abs(direction[world, axis]) for world, axis in enumerate(order)),
    )
    flips = tuple(bool(direction[world, axis] < 0) for world, axis in enumerate(best))
    return Reorientation(axes=best, flips=flips)


def reorientation(geometry: Geometry, orientation: Orientation) -> Reorientation:
    """Return the reorientation from stored axes to `orientation`; the identity for 2-D images."""
    axes = geometry.num_axes
    if orientation == "stored" or axes == 2:
        return Reorientation(axes=tuple(range(axes)), flips=(False,) * axes)
    canonical = canonical_orientation(geometry)
    if orientation == "SPL":
        return canonical
    superior, posterior, left = canonical.flips
    return Reorientation(axes=canonical.axes, flips=(superior, not posterior, not left))


def axis_directions(geometry: Geometry) -> str:
    """Return the direction of each voxel axis, one letter per axis in array order, e.g. "SPL".

    The letters mean superior, inferior, posterior, anterior, left and right; each is the closest
    world direction. "SPL" is canonical. Empty for 2-D images.
    """
    if geometry.num_axes == 2:
        return ""
    turn = canonical_orientation(geometry)
    letters = [""] * geometry.num_axes
    for world, (axis, is_flipped) in enumerate(zip(turn.axes, turn.flips, strict=True)):
        letters[axis] = ("SPL", "IAR")[is_flipped][world]
    return "".join(letters)


def tilt_degrees(geometry: Geometry) -> float:
    """Return the largest angle between a voxel axis and its closest world axis.

    Between 0 and 90; 0 for 2-D images, whose orientation is not used.
    """
    if geometry.num_axes == 2:
        return 0.0
    order = canonical_orientation(geometry).axes
    aligned = [abs(geometry.direction[world][axis]) for world, axis in enumerate(order)]
    return float(np.degrees(np.arccos(min(1.0, *aligned))))


def _rounded(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(map(format_number, values)) + ")"
