"""Load a case for the viewer: its image, and its label maps on the grid of the image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from autoseg.core.case import Image
from autoseg.core.colours import class_colour
from autoseg.core.errors import AutosegError, CaseError, case_error_message
from autoseg.core.formatting import format_shape
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelScheme, default_label_name
from autoseg.readers import knows_geometry, read_image, read_labels
from autoseg.viewing.cases import LabelFile, ViewerCase, Viewing

IGNORED_COLOUR = "#888888"
"""Colour of unannotated voxels."""

SAMPLED_VOXELS = 2**18
"""Number of voxels of which the percentiles of the intensities are computed."""

LONGEST_AXIS = {2: 16384, 3: 2048}
"""Greatest length of an axis that browsers draw: of pictures, and of volumes as WebGL textures."""

PERCENTILES = (1, 99)
"""Percentiles of the intensities that are drawn black and white."""

MOST_CLASSES = 2**16 - 1
"""Greatest number of classes, whose indices must fit into two bytes."""

Voxels = Shaped[np.ndarray, "channels *space"]


@dataclass(frozen=True)
class Layer:
    """A label map on the grid of the image.

    Attributes:
        name: Name of the prediction, or `reference`.
        is_reference: Whether it is the reference.
        indices: Class index of every voxel, stored axis order; None if it cannot be shown.
        issue: Reason why it cannot be shown.
    """

    name: str
    is_reference: bool
    indices: NDArray[np.unsignedinteger] | None
    issue: str = ""


@dataclass(frozen=True)
class ShownClass:
    """A class that can be switched on and off.

    Attributes:
        name: Its name.
        colour: Its colour, `#rrggbb`.
        ignored: Whether it marks unannotated voxels.
    """

    name: str
    colour: str
    ignored: bool = False


@dataclass(frozen=True)
class LoadedCase:
    """A case in memory, in the axis order of its file.

    Attributes:
        voxels: Intensities; every n-th voxel of a large image.
        geometry: Geometry of these voxels.
        layers: The label maps, the reference first.
        classes: Classes of the indices from 1 on.
        full_shape: Shape of the image in its file.
        has_colours: Whether the first three channels are red, green and blue.
    """

    voxels: Voxels
    geometry: Geometry
    layers: tuple[Layer, ...]
    classes: tuple[ShownClass, ...]
    full_shape: tuple[int, ...]
    has_colours: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along each axis."""
        return tuple(self.voxels.shape[1:])

    def window(self, channel: int) -> tuple[float, float]:
        """Return the intensities of a channel to draw black and white; colours keep theirs."""
        voxels = self.voxels[channel].ravel()
        if self.has_colours and voxels.dtype == np.uint8:
            return 0.0, 255.0
        sample = voxels[:: max(1, voxels.size // SAMPLED_VOXELS)]
        finite = sample[np.isfinite(sample)]
        if not finite.size:
            return 0.0, 1.0
        least, most = float(finite.min()), float(finite.max())
        inner = finite[finite > least]  # padding and empty ground have the lowest value
        low, high = map(float, np.percentile(inner if inner.size else finite, PERCENTILES))
        if low == high:
            low, high = least, most
        return low, high if high > low else low + 1


def load_case(case: ViewerCase, viewing: Viewing, max_voxels: int) -> LoadedCase:
    """Load a case; a label map that cannot be shown becomes a layer with an issue.

    Args:
        case: The case.
        viewing: Its classes.
        max_voxels: Greatest number of voxels of a channel; of a larger image, and of one with a
            long axis, every n-th voxel is kept along some axes.

    Raises:
        CaseError: If the image cannot be read.
    """
    if not case.images:
        raise CaseError(case.issue)
    image = read_image(case.images)
    stored, geometry = _as_stored(image)
    full_shape = tuple(stored.shape[1:])
    steps = thinning(full_shape, geometry.spacing, max_voxels)
    kept = tuple(slice(None, None, step) for step in steps)
    voxels = np.ascontiguousarray(stored[:, *kept])
    grid = replace(image, voxels=np.broadcast_to(np.uint8(0), image.voxels.shape))
    has_colours = len(full_shape) == 2 and len(case.images) == 1 and len(voxels) in (3, 4)
    del image, stored  # frees the image before its label maps are read
    files = [] if case.reference is None else [LabelFile("reference", case.reference)]
    maps = [_values(file, grid, case, kept) for file in (*files, *case.predictions)]
    layers, classes = _classified(maps, viewing.labels)
    return LoadedCase(
        voxels=voxels,
        geometry=thinned(geometry, steps),
        layers=tuple(
            Layer(file.name, number < len(files), *outcome)
            for number, (file, outcome) in enumerate(
                zip((*files, *case.predictions), layers, strict=True)
            )
        ),
        classes=classes,
        full_shape=full_shape,
        has_colours=has_colours,
    )


def thinning(shape: Sequence[int], spacing: Sequence[float], max_voxels: int) -> tuple[int, ...]:
    """Return the step along each axis with which an image is small enough to be drawn.

    The steps of too long axes are doubled first, then that of the axis with the finest spacing, so
    that voxels become isotropic.

    Args:
        shape: Shape of the image.
        spacing: Its spacing.
        max_voxels: Greatest number of voxels.
    """
    steps = [1] * len(shape)

    def size(axis: int) -> int:
        return -(-shape[axis] // steps[axis])

    for axis in range(len(shape)):
        while size(axis) > LONGEST_AXIS[len(shape)]:
            steps[axis] *= 2
    while prod(map(size, range(len(shape)))) > max(1, max_voxels):
        axes = [axis for axis in range(len(shape)) if size(axis) > 1]
        steps[min(axes, key=lambda axis: spacing[axis] * steps[axis])] *= 2
    return tuple(steps)


def thinned(geometry: Geometry, steps: Sequence[int]) -> Geometry:
    """Return the geometry of every n-th voxel, of which the first one is kept."""
    spacing = tuple(size * step for size, step in zip(geometry.spacing, steps, strict=True))
    return replace(geometry, spacing=spacing)


def _as_stored(image: Image) -> tuple[Voxels, Geometry]:
    """Return the voxels in the axis order of the file, without an axis of one slice."""
    if image.geometry.num_axes != image.stored_geometry.num_axes:
        return image.voxels, image.geometry
    return image.reorientation.invert(image.voxels), image.stored_geometry


def _values(
    file: LabelFile, grid: Image, case: ViewerCase, kept: tuple[slice, ...]
) -> NDArray[np.integer] | str:
    """Return the label values on the grid of the image, or why they cannot be shown."""
    try:
        labels = read_labels(file.path, like=grid)
        difference = None
        if labels.values.shape != grid.shape:
            found, expected = map(format_shape, (labels.values.shape, grid.shape))
            difference = f"shape {found} against {expected}"
        elif knows_geometry(file.path) and knows_geometry(case.images[0]):
            difference = labels.geometry.difference(grid.geometry, grid.shape)
        if difference:
            return f"{file.path.name} is not on the grid of the image: {difference}."
    except (AutosegError, OSError, MemoryError) as error:
        return case_error_message(error)
    values = labels.values
    if grid.geometry.num_axes == grid.stored_geometry.num_axes:
        values = np.asarray(grid.reorientation.invert(values))
    return np.ascontiguousarray(values[kept])


def _classified(
    maps: Sequence[NDArray[np.integer] | str], labels: LabelScheme | None
) -> tuple[list[tuple[NDArray[np.unsignedinteger] | None, str]], tuple[ShownClass, ...]]:
    """Return the class indices or the issue of each label map, and the classes."""
    if labels is None:
        arrays = [values for values in maps if not isinstance(values, str)]
        found = sorted({int(value) for values in arrays for value in np.unique(values)} - {0})
        if not found:
            return [_background(values) for values in maps], ()
        names = ("background", *map(default_label_name, found))
        labels = LabelScheme(names=names, values=(0, *found))
    outcomes = [_encoded(values, labels) for values in maps]
    classes = [ShownClass(name, class_colour(at)) for at, name in enumerate(labels.names[1:])]
    if labels.ignore is not None:
        classes.append(ShownClass("not annotated", IGNORED_COLOUR, ignored=True))
    return outcomes, tuple(classes)


def _background(
    values: NDArray[np.integer] | str,
) -> tuple[NDArray[np.unsignedinteger] | None, str]:
    """Return the indices of a label map without a class."""
    return (None, values) if isinstance(values, str) else (np.zeros(values.shape, np.uint8), "")


def _encoded(
    values: NDArray[np.integer] | str, labels: LabelScheme
) -> tuple[NDArray[np.unsignedinteger] | None, str]:
    if isinstance(values, str):
        return None, values
    if len(labels.values) > MOST_CLASSES:
        return None, f"it has {len(labels.values)} values; the viewer shows up to {MOST_CLASSES}."
    try:
        return labels.encode(values), ""
    except AutosegError as error:
        return None, str(error)
