"""Where an image sits in the world, and how to turn it into one canonical orientation and back."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

GEOMETRY_TOLERANCE = 1e-3
"""Spacings may differ by this fraction, directions by this much per entry, and origins by this
fraction of a voxel times the number of voxels across, before two files count as misaligned."""


Orientation: TypeAlias = Literal["SPL", "SAR", "stored"]
"""How the axes of an image in memory run, in array order: to superior, posterior and left, which is
canonical here; to superior, anterior and right; or as they do in the file."""

LengthUnit: TypeAlias = Literal["mm", "px"]
"""What distances are in: millimetres, or pixels where no file says how large its pixels are."""


@dataclass(frozen=True)
class Geometry:
    """Spacing, origin and direction of an image with 2 or 3 axes, all in array order.

    Array order means (z, y, x) for the voxel axes and for the world axes alike: a file that stores
    x, y, z has all three reversed on reading and on writing.

    Attributes:
        spacing: Distance between voxel centres along each axis, mm (1.0 where a format has none).
        origin: World position of the first voxel's centre, mm.
        direction: Unit vectors: row = world axis, column = voxel axis.
    """

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[tuple[float, ...], ...]

    @classmethod
    def plain(cls, spacing: tuple[float, ...]) -> "Geometry":
        """Return the geometry of an image that starts at zero and is aligned with the world."""
        axes = len(spacing)
        identity = tuple(tuple(float(i == j) for j in range(axes)) for i in range(axes))
        return cls(spacing=spacing, origin=(0.0,) * axes, direction=identity)

    @property
    def num_axes(self) -> int:
        """Number of image axes: 2 or 3."""
        return len(self.spacing)

    def difference(self, other: "Geometry", shape: tuple[int, ...]) -> str | None:
        """Return what differs between two geometries beyond `GEOMETRY_TOLERANCE`, or None.

        Args:
            other: The geometry to compare with.
            shape: Size of the image in voxels; a longer image forgives a larger origin shift.
        """
        if self.num_axes != other.num_axes:
            return f"{self.num_axes} axes against {other.num_axes}"
        mine, theirs = np.asarray(self.spacing), np.asarray(other.spacing)
        if np.any(np.abs(mine - theirs) > GEOMETRY_TOLERANCE * mine):
            return f"spacing {_rounded(self.spacing)} against {_rounded(other.spacing)} mm"
        if np.abs(np.subtract(self.direction, other.direction)).max() > GEOMETRY_TOLERANCE:
            return "another direction (orientation) matrix"
        shift = np.abs(np.subtract(self.origin, other.origin)).max()
        if shift > GEOMETRY_TOLERANCE * float(np.max(mine * np.asarray(shape))):
            return f"origin {_rounded(self.origin)} against {_rounded(other.origin)} mm"
        return None


@dataclass(frozen=True)
class Reorientation:
    """An exact permutation and flip of the voxel axes; `invert` undoes `apply`.

    Attributes:
        axes: For each canonical axis, the stored axis that becomes it.
        flips: For each canonical axis, whether its voxels are reversed.
    """

    axes: tuple[int, ...]
    flips: tuple[bool, ...]

    def apply(self, voxels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the array with its trailing axes in canonical orientation (a view)."""
        lead = voxels.ndim - len(self.axes)
        moved = voxels.transpose(*range(lead), *(lead + axis for axis in self.axes))
        canonical: NDArray[np.generic] = moved[self._flip_index()]
        return canonical

    def invert(self, voxels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return a canonical array with its trailing axes as they were stored (a view)."""
        lead = voxels.ndim - len(self.axes)
        flipped: NDArray[np.generic] = voxels[self._flip_index()]
        inverse = np.argsort(self.axes)
        return flipped.transpose(*range(lead), *(lead + int(axis) for axis in inverse))

    def _flip_index(self) -> tuple[Any, ...]:
        return (..., *(slice(None, None, -1 if flip else 1) for flip in self.flips))

    def apply_to_geometry(self, geometry: Geometry, shape: tuple[int, ...]) -> Geometry:
        """Return the geometry that the reoriented array has; `shape` is the stored array's."""
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
        )


def coarsened(spacing: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """Return a voxel size whose finest axis is coarser by a factor; no axis becomes finer.

    Axes that are as coarse already keep their size, so that anisotropic voxels become isotropic
    before all of their axes grow.

    Args:
        spacing: Voxel size, mm.
        factor: At least 1.
    """
    coarsest = factor * min(spacing)
    return tuple(max(edge, coarsest) for edge in spacing)


def length_unit(num_axes: int, spacings: Iterable[float]) -> LengthUnit:
    """Return what the lengths of a dataset are in: px for pictures whose pixels are all 1 long.

    Readers give this spacing to formats that know none; volumes have one.

    Args:
        num_axes: Axes of the images: 2 or 3.
        spacings: Voxel sizes, of any cases along any axes.
    """
    return "px" if num_axes == 2 and all(spacing == 1 for spacing in spacings) else "mm"


def canonical_orientation(geometry: Geometry) -> Reorientation:
    """Return how to turn an image so that each voxel axis runs along its world axis.

    Of all axis permutations the one whose axes align best with the world is taken, then each axis
    that runs backwards is flipped, so that medical images end up as (superior, posterior, left).
    Truly 2-D images stay as they are stored.
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
    """Return how to turn a stored image into an orientation; 2-D images stay as they are stored."""
    axes = geometry.num_axes
    if orientation == "stored" or axes == 2:
        return Reorientation(axes=tuple(range(axes)), flips=(False,) * axes)
    canonical = canonical_orientation(geometry)
    if orientation == "SPL":
        return canonical
    superior, posterior, left = canonical.flips
    return Reorientation(axes=canonical.axes, flips=(superior, not posterior, not left))


def axis_directions(geometry: Geometry) -> str:
    """Return which way each voxel axis runs, a letter per axis in array order, e.g. "SPL".

    S and I are superior and inferior, P and A posterior and anterior, L and R left and right, each
    the world direction that fits best; "SPL" is canonical. Empty for 2-D images.
    """
    if geometry.num_axes == 2:
        return ""
    turn = canonical_orientation(geometry)
    letters = [""] * geometry.num_axes
    for world, (axis, is_flipped) in enumerate(zip(turn.axes, turn.flips, strict=True)):
        letters[axis] = ("SPL", "IAR")[is_flipped][world]
    return "".join(letters)


def tilt_degrees(geometry: Geometry) -> float:
    """Return the largest angle between a voxel axis and the world axis that fits it best.

    Between 0 and 90; 0 for 2-D images, whose orientation nobody uses.
    """
    if geometry.num_axes == 2:
        return 0.0
    order = canonical_orientation(geometry).axes
    aligned = [abs(geometry.direction[world][axis]) for world, axis in enumerate(order)]
    return float(np.degrees(np.arccos(min(1.0, *aligned))))


def _rounded(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
