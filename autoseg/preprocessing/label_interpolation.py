"""Resize label maps: every new voxel gets the class with the largest interpolation weight.

The result equals linear interpolation of each class's one-hot mask followed by argmax. Where all
neighbours agree, as nearly everywhere, their class is copied; only the other voxels are
interpolated. The cost does not grow with the number of classes, and no one-hot mask is allocated.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Resampling" (linear, per label), with
one deviation: there, a class needs a weight of at least 0.5, and a voxel where no class reaches it
becomes background. Here, the largest weight wins, as in nnU-Net with batchgenerators 0.25.5, which
breaks ties differently; see `Ties`.
"""

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.preprocessing.crop import bounding_box, crop
from autoseg.preprocessing.interpolation import AxisSampling, axis_sampling

ResizedLabels = Integer[np.ndarray, "*resized"]
ChosenLabels = Integer[np.ndarray, "voxels"]

TIE = 1e-6
"""Weights that differ by less are a tie."""

Ties: TypeAlias = Literal["highest", "nearest"]
"""Class that wins a tie. "highest": the highest index, so that halving an axis does not erode
structures. "nearest": the class of the nearest old voxel (the later of two), or the lowest index if
that class is not tied, as in nnU-Net. Source: batchgenerators 0.25.5."""

SLAB_VOXELS = 2**20
"""Output voxels processed at a time; bounds the memory for their neighbours."""


def resize_labels(
    classes: LabelArray, shape: tuple[int, ...], ties: Ties = "highest"
) -> ResizedLabels:
    """Resize a label map.

    Args:
        classes: Class index per voxel.
        shape: Output shape, voxels.
        ties: Class that wins a tie.

    Returns:
        The resized label map in the same integer type; `classes` itself if the shape is the same.
    """
    if classes.shape == shape:
        return classes
    neighbours = tuple(
        axis_sampling(old, new, order=1) for old, new in zip(classes.shape, shape, strict=True)
    )
    bounds = bounding_box(classes)
    reached = tuple(
        axis.reached_by(*limits) for axis, limits in zip(neighbours, bounds, strict=True)
    )
    # one more voxel on either side includes all neighbours of the reached voxels
    wider = [
        (max(0, start - 1), min(size, stop + 1))
        for (start, stop), size in zip(bounds, classes.shape, strict=True)
    ]
    axes = tuple(
        axis.select(voxels, offset=start)
        for axis, voxels, (start, _) in zip(neighbours, reached, wider, strict=True)
    )
    result = np.zeros(shape, dtype=classes.dtype)
    _resize_box(np.ascontiguousarray(crop(classes, tuple(wider))), axes, result[reached], ties)
    return result


def _resize_box(
    classes: LabelArray, axes: tuple[AxisSampling, ...], result: ResizedLabels, ties: Ties
) -> None:
    """Fill `result` slab by slab."""
    if not result.size:  # no new voxel lies next to the foreground
        return
    disputed = _cells_with_several_classes(classes, axes)
    planes = max(1, SLAB_VOXELS // int(np.prod(result.shape[1:])))
    for start in range(0, len(result), planes):
        slab = result[start : start + planes]
        neighbours = (axes[0].select(slice(start, start + planes)), *axes[1:])
        slab[...] = _gather(classes, neighbours)
        voxels = np.nonzero(_gather(disputed, neighbours))
        if voxels[0].size:
            slab[voxels] = _heaviest_class(classes, neighbours, voxels, ties)


def _cells_with_several_classes(classes: LabelArray, axes: tuple[AxisSampling, ...]) -> MaskArray:
    """Return the voxels whose next voxels have another class, along the interpolated axes."""
    lowest, highest = classes.copy(), classes.copy()
    for axis, neighbours in enumerate(axes):
        if not neighbours.upper_weight.any():
            continue
        here, following = (
            (slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None))
        )
        np.minimum(lowest[here], lowest[following], out=lowest[here])
        np.maximum(highest[here], highest[following], out=highest[here])
    return np.asarray(lowest != highest)


def _gather(array: NDArray[np.generic], axes: tuple[AxisSampling, ...]) -> NDArray[np.generic]:
    """Sample the array at the lower neighbour of every new voxel."""
    for axis, neighbours in enumerate(axes):
        array = array.take(neighbours.lower, axis=axis)
    return array


def _heaviest_class(
    classes: LabelArray,
    axes: tuple[AxisSampling, ...],
    voxels: tuple[NDArray[np.intp], ...],
    ties: Ties,
) -> ChosenLabels:
    """Return the class with the largest total weight among the neighbours of each listed voxel."""
    corners = _corners(classes, axes, voxels)
    nearest = _nearest_class(classes, axes, voxels) if ties == "nearest" else None
    best, best_weight = corners[0][0], np.full(voxels[0].size, -1, dtype=np.float32)
    for candidate, _ in corners:
        weight = np.zeros_like(best_weight)
        for other, share in corners:
            weight += share * (other == candidate)
        ahead = weight > best_weight + TIE
        tied = ~ahead & (weight > best_weight - TIE)
        wins = ahead | (tied & _is_preferred(candidate, best, nearest))
        best = np.where(wins, candidate, best)
        best_weight = np.where(wins, weight, best_weight)
    return best


def _is_preferred(
    candidate: ChosenLabels, best: ChosenLabels, nearest: ChosenLabels | None
) -> MaskArray:
    """Return True where the candidate wins a tie against the best class so far."""
    if nearest is None:
        return np.asarray(candidate > best)
    is_nearest = candidate == nearest
    return np.asarray(is_nearest | ((best != nearest) & (candidate < best)))


def _nearest_class(
    classes: LabelArray,
    axes: tuple[AxisSampling, ...],
    voxels: tuple[NDArray[np.intp], ...],
) -> ChosenLabels:
    """Return the class of the old voxel nearest to each listed new voxel."""
    places = (
        np.where(axis.upper_weight < 0.5, axis.lower, axis.upper)[position]
        for axis, position in zip(axes, voxels, strict=True)
    )
    return np.asarray(classes[tuple(places)])


def _corners(
    classes: LabelArray,
    axes: tuple[AxisSampling, ...],
    voxels: tuple[NDArray[np.intp], ...],
) -> list[tuple[ChosenLabels, NDArray[np.float32]]]:
    """Return class and weight of each neighbour; two neighbours along every interpolated axis."""
    flat = classes.ravel()
    places: list[NDArray[np.intp]] = [np.zeros(voxels[0].size, dtype=np.intp)]
    weights = [np.ones(voxels[0].size, dtype=np.float32)]
    for size, axis, position in zip(classes.shape, axes, voxels, strict=True):
        lower = axis.lower[position]
        if not axis.upper_weight.any():
            places = [place * size + lower for place in places]
            continue
        upper, fraction = axis.upper[position], axis.upper_weight[position]
        places = [place * size + side for place in places for side in (lower, upper)]
        shares = (1 - fraction, fraction)
        weights = [weight * share for weight in weights for share in shares]
    return [(flat[place], weight) for place, weight in zip(places, weights, strict=True)]
