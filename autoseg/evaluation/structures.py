"""Measure the structures of a label map: size, intensities, components and position."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.core.case import Image
from autoseg.core.geometry import Geometry, length_unit
from autoseg.core.labels import LabelScheme
from autoseg.documents.statistics import (
    CaseStatistics,
    ChannelStatistics,
    Interval,
    StructureStatistics,
)

MM3_PER_ML = 1000.0

Box = tuple[slice, ...]


def measure_structures(
    name: str,
    image: Image,
    values: LabelArray,
    labels: LabelScheme,
    channel_names: Sequence[str],
) -> CaseStatistics:
    """Measure every class, or every region, of a label map.

    Args:
        name: Name of the case.
        image: The image.
        values: Label values in the orientation of the image.
        labels: Classes and regions.
        channel_names: Names of the image's channels.
    """
    voxels, stored = (_stored(array, image) for array in (image.voxels, values))
    classes = labels.encode(stored.astype(values.dtype, copy=False))
    boxes = ndimage.find_objects(classes, labels.num_classes - 1)
    geometry = image.stored_geometry
    unit = length_unit(geometry.num_axes, geometry.spacing, geometry.unit)
    structures = []
    for target, indices in zip(labels.targets, labels.target_classes, strict=True):
        box = _union([found for index in indices if (found := boxes[index - 1]) is not None])
        if box is None:
            structures.append(_sized(target.name, 0, geometry, unit))
            continue
        mask = np.isin(classes[box], indices)
        found = _sized(target.name, int(np.count_nonzero(mask)), geometry, unit)
        update = {
            **_components(mask),
            **_position(mask, box, geometry.in_unit("mm")),
            "channels": tuple(
                _intensities(channel_name, channel[box][mask])
                for channel_name, channel in zip(channel_names, voxels, strict=True)
            ),
        }
        structures.append(found.model_copy(update=update))
    shown = "px" if unit == "px" else "mm"
    return CaseStatistics(name=name, unit=shown, structures=tuple(structures))


def _stored(array: NDArray[np.generic], image: Image) -> NDArray[np.generic]:
    """Return an array as its file has it, with 3 axes for a single slice of a volume."""
    turned = image.reorientation.invert(array)
    if len(image.reorientation.axes) < image.stored_geometry.num_axes:
        lead = turned.ndim - len(image.reorientation.axes)
        turned = np.expand_dims(turned, lead + image.slice_axis)
    return turned


def _union(boxes: Sequence[Box]) -> Box | None:
    """Return the smallest box around some boxes; None without any."""
    if not boxes:
        return None
    return tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*boxes, strict=True)
    )


def _sized(name: str, voxels: int, geometry: Geometry, unit: str) -> StructureStatistics:
    size = float(np.prod(geometry.in_unit("mm").spacing)) * voxels
    if geometry.num_axes == 3:
        return StructureStatistics(name=name, voxels=voxels, volume_ml=size / MM3_PER_ML)
    return StructureStatistics(name=name, voxels=voxels, area_mm2=None if unit == "px" else size)


def _components(mask: MaskArray) -> dict[str, int]:
    components, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim, bool))
    sizes = np.bincount(components.ravel())[1:]
    return {"components": int(count), "largest_component_voxels": int(sizes.max())}


def _position(mask: MaskArray, box: Box, geometry: Geometry) -> dict[str, object]:
    """Return centre and extent in world coordinates (x, y, z)."""
    start = np.array([part.start for part in box], float)
    stop = np.array([part.stop for part in box], float)
    places = ((start - 0.5), (stop - 0.5))
    corners = np.array(
        [
            [places[end][axis] for axis, end in enumerate(ends)]
            for ends in product((0, 1), repeat=mask.ndim)
        ]
    )
    centre = _world(start + ndimage.center_of_mass(mask), geometry)
    points = _world(corners, geometry)
    return {
        "centroid": tuple(map(float, centre)),
        "extent": tuple(
            Interval(low=float(low), high=float(high))
            for low, high in zip(points.min(axis=0), points.max(axis=0), strict=True)
        ),
    }


def _world(indices: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    """Convert voxel indices in array order to world coordinates (x, y, z)."""
    matrix = np.asarray(geometry.direction) * np.asarray(geometry.spacing)
    return np.asarray((indices @ matrix.T + np.asarray(geometry.origin))[..., ::-1])


def _intensities(name: str, values: NDArray[np.generic]) -> ChannelStatistics:
    numbers = values.astype(np.float64)
    return ChannelStatistics(name=name, mean=float(numbers.mean()), std=float(numbers.std()))
