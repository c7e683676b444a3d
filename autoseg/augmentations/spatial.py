"""Random rotation and scaling of image and labels together.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from math import ceil, cos, pi, sin
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int16
from torch import Tensor
from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    Draws,
    Factors,
    PatchContext,
    Patches,
    PatchLayers,
)
from autoseg.core.device import to_device
from autoseg.core.frozen import Fraction

MovedLayers = Int16[Tensor, "patches layers *moved"]
Grid = Float32[Tensor, "patches *moved axes"]

ELONGATED_PATCH_RATIO = 1.5
"""Longest over shortest edge beyond which a 2-D patch is only rotated a little."""

LOADED_SCALE = 0.85
"""A loaded region is this much larger than its patch asks for, so that most scalings find data."""


VALUES_AT_ONCE = 8
"""Labels that are interpolated together; each takes four bytes per voxel of the region."""


@AUGMENTATIONS.register
class Spatial(Augmentation):
    """Rotation about the patch centre and isotropic scaling.

    Attributes:
        rotation_probability: Chance that a patch is rotated.
        scaling_probability: Chance that a patch is scaled, independently.
        scaling: Range of the scale; above 1 makes objects smaller.
        volume_degrees: Largest rotation about each axis of a 3-D patch.
        plane_degrees: Largest rotation within a plane (2-D patches and `in_plane_only`).
        elongated_plane_degrees: The same for patches beyond `ELONGATED_PATCH_RATIO`.
    """

    kind: Literal["spatial"] = "spatial"
    rotation_probability: Fraction = 0.2
    scaling_probability: Fraction = 0.2
    scaling: tuple[float, float] = (0.7, 1.4)
    volume_degrees: float = 30.0
    plane_degrees: float = 180.0
    elongated_plane_degrees: float = 15.0

    @override
    def chance(self) -> float:
        neither = (1 - self.rotation_probability) * (1 - self.scaling_probability)
        return self.probability * (1 - neither)

    @override
    def loaded_shape(self, context: PatchContext) -> tuple[int, ...]:
        """Return the extent of the rotated patch, at the largest angle, over `LOADED_SCALE`."""
        fixed = 1 if context.in_plane_only else 0
        angle = min(self.max_degrees(context), 90.0) / 180 * pi
        turned = context.patch_shape[fixed:]
        extents = []
        for axis, size in enumerate(turned):
            others = [other for index, other in enumerate(turned) if index != axis]
            widest = max([size, *(cos(angle) * size + sin(angle) * other for other in others)])
            extents.append(ceil(widest / LOADED_SCALE))
        return (*context.patch_shape[:fixed], *extents)

    def max_degrees(self, context: PatchContext) -> float:
        """Return the largest rotation that patches of this shape get."""
        shape = context.patch_shape
        if context.in_plane_only:
            return self.plane_degrees
        if len(shape) == 3:
            return self.volume_degrees
        elongated = max(shape) / min(shape) > ELONGATED_PATCH_RATIO
        return self.elongated_plane_degrees if elongated else self.plane_degrees

    @override
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        if context.in_plane_only:
            planes = Patches(
                _as_planes(patches.images), _as_planes(patches.layers), patches.highest
            )
            moved = self._moved(planes, draws, context)
            depth = context.patch_shape[0]
            return Patches(_as_volumes(moved.images, depth), _as_volumes(moved.layers, depth))
        return self._moved(patches, draws, context)

    def _moved(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        images, layers = patches.images, patches.layers
        shape = context.patch_shape[1:] if context.in_plane_only else context.patch_shape
        matrices = self._matrices(draws.numbers, len(images), context)
        grid = sampling_grid(matrices, tuple(images.shape[2:]), shape, images.device)
        moved = F.grid_sample(images, grid, align_corners=False)
        return Patches(moved, moved_layers(layers, grid, patches.highest))

    def _matrices(self, numbers: np.random.Generator, count: int, context: PatchContext) -> Factors:
        """Return what turns and scales offsets from a patch's centre: one matrix per patch.

        `chance` has decided already that a patch is turned or scaled, so one of both happens.
        """
        turns, scales = self.rotation_probability, self.scaling_probability
        either = turns + scales - turns * scales
        drawn = numbers.random(count) * either
        is_turned = drawn < turns
        is_scaled = (drawn >= turns) | (numbers.random(count) < scales)
        limit = self.max_degrees(context) / 180 * pi
        num_axes = 2 if context.in_plane_only else len(context.patch_shape)
        angles = numbers.uniform(-limit, limit, (count, num_axes)) * is_turned[:, None]
        factors = np.where(is_scaled, numbers.uniform(*self.scaling, count), 1.0)
        rotations = np.stack([rotation(angle) for angle in angles])
        return np.asarray(rotations * factors[:, None, None])


def rotation(angles: Factors) -> Factors:
    """Return the matrix of a turn by an angle about each axis in turn, or by the first in 2-D."""
    if len(angles) == 2:
        return _plane_rotation(angles[0])
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        turned = [other for other in range(3) if other != axis]
        turn[np.ix_(turned, turned)] = _plane_rotation(angle)
        matrix = turn @ matrix
    return matrix


def _plane_rotation(angle: float) -> Factors:
    return np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])


def sampling_grid(
    matrices: Factors, loaded: tuple[int, ...], shape: tuple[int, ...], device: torch.device
) -> Grid:
    """Return where each voxel of a patch lies in the region that was loaded for it.

    Args:
        matrices: From offsets to the patch's centre, to offsets in the region, voxels.
        loaded: Size of the region, voxels.
        shape: Size of the patch, voxels.
        device: Where the grid is needed.

    Returns:
        Positions as `torch.nn.functional.grid_sample` takes them: last axis first, −1 and 1 at the
        region's borders.
    """
    relative = matrices * np.array(shape) / np.array(loaded)[:, None]
    reversed_axes = relative[:, ::-1, ::-1].astype(np.float32)
    affine = np.concatenate([reversed_axes, np.zeros_like(reversed_axes[:, :, :1])], axis=2)
    size = [len(matrices), 1, *shape]
    return F.affine_grid(to_device(affine, device), size, align_corners=False)


def moved_layers(layers: PatchLayers, grid: Grid, highest: int | None = None) -> MovedLayers:
    """Return the whole numbers that weigh most at each position, by linear interpolation.

    Outside the region there are zeros. So borders turn as smoothly as those of the image.

    Args:
        layers: The whole numbers, from 0 on.
        grid: The positions.
        highest: Highest of the numbers; None looks for it, and so waits for the device.
    """
    shape = (*layers.shape[:2], *grid.shape[1:-1])
    result = torch.zeros(shape, dtype=layers.dtype, device=layers.device)
    heaviest = torch.zeros(shape, device=layers.device)
    zero = torch.ones(shape, device=layers.device)  # all weights add up to 1
    end = (int(layers.max()) if highest is None else highest) + 1
    for first in range(1, end, VALUES_AT_ONCE):
        weights = _weights(layers, range(first, min(first + VALUES_AT_ONCE, end)), grid)
        zero -= weights.sum(dim=2)
        weight, place = weights.max(dim=2)
        result = torch.where(weight > heaviest, (place + first).to(result.dtype), result)
        heaviest = torch.maximum(weight, heaviest)
    return result.masked_fill_(heaviest <= zero, 0)


def _weights(
    layers: PatchLayers, values: range, grid: Grid
) -> Float32[Tensor, "patches layers values *moved"]:
    """Return how much of each position is of each value, none of them 0."""
    wanted = torch.arange(values.start, values.stop, dtype=layers.dtype, device=layers.device)
    membership = layers[:, :, None] == wanted.view(-1, *[1] * (layers.ndim - 2))
    moved = F.grid_sample(membership.flatten(1, 2).float(), grid, align_corners=False)
    return moved.view(*layers.shape[:2], len(values), *moved.shape[2:])


def _as_planes(values: Tensor) -> Tensor:
    """Return volumes as pictures: each plane becomes channels of its own."""
    return values.flatten(1, 2)


def _as_volumes(values: Tensor, depth: int) -> Tensor:
    """Undo `_as_planes`."""
    return values.view(len(values), -1, depth, *values.shape[2:])
