"""Random rotation and scaling of images and labels.

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
    Factors,
    PatchContext,
    Patches,
    PatchLayers,
    RandomGenerators,
)
from autoseg.core.device import to_device
from autoseg.core.frozen import Fraction
from autoseg.core.limits import Degrees, Range

ResampledLayers = Int16[Tensor, "patches layers *moved"]
Grid = Float32[Tensor, "patches *moved axes"]

ELONGATED_PATCH_RATIO = 1.5
"""Ratio of longest to shortest edge above which a 2-D patch is rotated by small angles only."""

LOADED_SCALE = 0.85
"""The loaded region is the rotated patch divided by this factor, so that most scalings stay within
the region."""

VALUES_AT_ONCE = 8
"""Number of label values interpolated together; each takes four bytes per voxel of the region."""


@AUGMENTATIONS.register
class Spatial(Augmentation):
    """Rotates about the patch centre and scales isotropically.

    Attributes:
        rotation_probability: Probability that a patch is rotated.
        scaling_probability: Probability that a patch is scaled, independent of the rotation.
        scaling: Range of the scale; values above 1 make objects smaller.
        volume_degrees: Largest rotation about each axis of a 3-D patch, degrees.
        plane_degrees: Largest rotation within a plane (2-D patches and `in_plane_only`), degrees.
        elongated_plane_degrees: Largest rotation of 2-D patches whose edge ratio exceeds
            `ELONGATED_PATCH_RATIO`, degrees.
    """

    kind: Literal["spatial"] = "spatial"
    rotation_probability: Fraction = 0.2
    scaling_probability: Fraction = 0.2
    scaling: Range = (0.7, 1.4)
    volume_degrees: Degrees = 30.0
    plane_degrees: Degrees = 180.0
    elongated_plane_degrees: Degrees = 15.0

    @override
    def chance(self) -> float:
        neither = (1 - self.rotation_probability) * (1 - self.scaling_probability)
        return self.probability * (1 - neither)

    @override
    def loaded_shape(self, context: PatchContext) -> tuple[int, ...]:
        """Return the size of the patch rotated by the largest angle, divided by `LOADED_SCALE`."""
        fixed = 1 if context.in_plane_only else 0
        angle = min(self.max_degrees(context), 90.0) / 180 * pi
        rotated = context.patch_shape[fixed:]
        extents = []
        for axis, size in enumerate(rotated):
            others = [other for index, other in enumerate(rotated) if index != axis]
            widest = max([size, *(cos(angle) * size + sin(angle) * other for other in others)])
            extents.append(ceil(widest / LOADED_SCALE))
        return (*context.patch_shape[:fixed], *extents)

    def max_degrees(self, context: PatchContext) -> float:
        """Return the largest rotation of patches of this shape, degrees."""
        shape = context.patch_shape
        if context.in_plane_only:
            return self.plane_degrees
        if len(shape) == 3:
            return self.volume_degrees
        elongated = max(shape) / min(shape) > ELONGATED_PATCH_RATIO
        return self.elongated_plane_degrees if elongated else self.plane_degrees

    @override
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        if not context.in_plane_only:
            return self._resample(patches, generators, context)
        images, layers = patches.images.flatten(1, 2), patches.layers.flatten(1, 2)
        planes = self._resample(Patches(images, layers, patches.highest), generators, context)
        shape = (len(images), -1, *context.patch_shape)  # planes were channels
        return Patches(planes.images.view(shape), planes.layers.view(shape))

    def _resample(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        images, layers = patches.images, patches.layers
        shape = context.patch_shape[1:] if context.in_plane_only else context.patch_shape
        matrices = self.matrices(generators.per_patch, len(images), context)
        grid = sampling_grid(matrices, tuple(images.shape[2:]), shape, images.device)
        resampled = F.grid_sample(images, grid, align_corners=False)
        return Patches(resampled, resample_layers(layers, grid, patches.highest))

    def matrices(
        self, generator: np.random.Generator, count: int, context: PatchContext
    ) -> Factors:
        """Draw one matrix per patch that rotates and scales offsets from the patch centre.

        Patches were selected with probability `chance`, so each is rotated, scaled or both.

        Args:
            generator: Random generator.
            count: Number of patches.
            context: Shape of the patches.

        Returns:
            Matrices, `patches axes axes`.
        """
        rotating, scaling = self.rotation_probability, self.scaling_probability
        either = rotating + scaling - rotating * scaling
        drawn = generator.random(count) * either
        is_rotated = drawn < rotating
        is_scaled = (drawn >= rotating) | (generator.random(count) < scaling)
        limit = self.max_degrees(context) / 180 * pi
        num_axes = 2 if context.in_plane_only else len(context.patch_shape)
        angles = generator.uniform(-limit, limit, (count, num_axes)) * is_rotated[:, None]
        factors = np.where(is_scaled, generator.uniform(*self.scaling, count), 1.0)
        rotations = np.stack([rotation_matrix(angle) for angle in angles])
        return np.asarray(rotations * factors[:, None, None])


def rotation_matrix(angles: Factors) -> Factors:
    """Return the matrix that rotates about each axis in turn; in 2-D by the first angle only."""
    if len(angles) == 2:
        return _plane_rotation(angles[0])
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        step = np.eye(3)
        plane = [other for other in range(3) if other != axis]
        step[np.ix_(plane, plane)] = _plane_rotation(angle)
        matrix = step @ matrix
    return matrix


def _plane_rotation(angle: float) -> Factors:
    return np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])


def sampling_grid(
    matrices: Factors, loaded: tuple[int, ...], shape: tuple[int, ...], device: torch.device
) -> Grid:
    """Compute the position of each patch voxel in the loaded region.

    Args:
        matrices: One matrix per patch, from offsets from the patch centre to offsets from the
            region centre, voxels.
        loaded: Size of the region, voxels.
        shape: Size of the patch, voxels.
        device: Device of the grid.

    Returns:
        Positions for `torch.nn.functional.grid_sample`: last axis first, −1 and 1 at the borders
        of the region.
    """
    relative = matrices * np.array(shape) / np.array(loaded)[:, None]
    reversed_axes = relative[:, ::-1, ::-1].astype(np.float32)
    affine = np.concatenate([reversed_axes, np.zeros_like(reversed_axes[:, :, :1])], axis=2)
    size = [len(matrices), 1, *shape]
    return F.affine_grid(to_device(affine, device), size, align_corners=False)


def resample_layers(layers: PatchLayers, grid: Grid, highest: int | None = None) -> ResampledLayers:
    """Resample integer maps: the value with the largest linear interpolation weight wins.

    Interpolating the weight of each value keeps object borders as smooth as in the image.
    Positions outside the region have the value 0.

    Args:
        layers: Integer maps, values 0 and above.
        grid: Positions to sample, from `sampling_grid`.
        highest: Largest value in `layers`; None computes it, which synchronises with the device.
    """
    shape = (*layers.shape[:2], *grid.shape[1:-1])
    result = torch.zeros(shape, dtype=layers.dtype, device=layers.device)
    heaviest = torch.zeros(shape, device=layers.device)
    zero = torch.ones(shape, device=layers.device)  # all weights add up to 1
    end = (int(layers.max()) if highest is None else highest) + 1
    for first in range(1, end, VALUES_AT_ONCE):
        weights = _weights(layers, range(first, min(first + VALUES_AT_ONCE, end)), grid)
        zero -= weights.sum(dim=2)
        weight, index = weights.max(dim=2)
        result = torch.where(weight > heaviest, (index + first).to(result.dtype), result)
        heaviest = torch.maximum(weight, heaviest)
    return result.masked_fill_(heaviest <= zero, 0)


def _weights(
    layers: PatchLayers, values: range, grid: Grid
) -> Float32[Tensor, "patches layers values *moved"]:
    """Interpolate the membership of each value (none of them 0) at each position."""
    candidates = torch.arange(values.start, values.stop, dtype=layers.dtype, device=layers.device)
    membership = layers[:, :, None] == candidates.view(-1, *[1] * (layers.ndim - 2))
    weights = F.grid_sample(membership.flatten(1, 2).float(), grid, align_corners=False)
    return weights.view(*layers.shape[:2], len(values), *weights.shape[2:])
