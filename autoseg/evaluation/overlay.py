"""Draw images with their references and predictions side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from autoseg.core.arrays import IntensityArray, LabelArray
from autoseg.core.atomic_write import atomic_write
from autoseg.core.colours import class_colour
from autoseg.core.formatting import printable

OPACITY = 0.3
"""Opacity of the class colours; the outlines are opaque."""

MAX_PIXELS = 2048
"""Maximum edge of a drawn picture; of a larger one, evenly spaced rows and columns are drawn."""

Picture = Float[np.ndarray, "rows columns colours"]


@dataclass(frozen=True)
class Panel:
    """One case as drawn.

    Attributes:
        title: Title above the column.
        picture: One plane of the image, colours in [0, 1].
        reference: Reference class indices of that plane.
        prediction: Predicted class indices of that plane.
    """

    title: str
    picture: Picture
    reference: Integer[np.ndarray, "rows columns"]
    prediction: Integer[np.ndarray, "rows columns"]


def make_panel(
    title: str, image: IntensityArray, reference: LabelArray, prediction: LabelArray
) -> Panel:
    """Build a panel from the plane of a case with the most foreground, or else the middle one.

    Args:
        title: Title above the column; for volumes the slice number is added.
        image: Intensities, channels first. Three channels are drawn as red, green and blue,
            otherwise the first channel is drawn in grey.
        reference: Reference class indices.
        prediction: Predicted class indices.
    """
    if reference.ndim == 3:
        counts = sum(np.count_nonzero(classes, axis=(1, 2)) for classes in (reference, prediction))
        plane = int(np.argmax(counts)) if np.any(counts) else len(reference) // 2
        title = f"{title}\nslice {plane + 1} of {len(reference)}"
        image, reference, prediction = image[:, plane], reference[plane], prediction[plane]
    thinned = (slice(None, None, -(-max(reference.shape) // MAX_PIXELS)),) * 2
    image, reference, prediction = image[:, *thinned], reference[thinned], prediction[thinned]
    shown = image[:3] if image.shape[0] == 3 else np.repeat(image[:1], 3, axis=0)
    shown = shown.astype(np.float32)
    low, high = np.percentile(shown, (1, 99))
    scaled = np.clip((shown - low) / max(high - low, 1e-6), 0, 1)
    return Panel(title, np.moveaxis(scaled, 0, -1).astype(np.float64), reference, prediction)


def draw_overlay(panels: tuple[Panel, ...], class_names: tuple[str, ...], path: Path) -> None:
    """Write a PNG with one column per case: image, reference, prediction.

    Args:
        panels: Cases to draw, at least one.
        class_names: Names of all classes, background first.
        path: Output file; an existing file is replaced.
    """
    figure = Figure(figsize=(3.0 * len(panels) + 0.2, 9.4), layout="constrained")
    axes = figure.subplots(3, len(panels), squeeze=False)
    colours = [class_colour(index) for index in range(len(class_names) - 1)]
    for column, shown in enumerate(panels):
        axes[0, column].set_title(printable(shown.title), fontsize=9, parse_math=False)
        layers = (None, shown.reference, shown.prediction)
        for row, (name, classes) in enumerate(
            zip(("image", "reference", "prediction"), layers, strict=True)
        ):
            cell = axes[row, column]
            cell.imshow(shown.picture)
            if classes is not None:
                _draw_classes(cell, np.asarray(classes), colours)
            cell.set(xticks=[], yticks=[])
            if column == 0:
                cell.set_ylabel(name)
    _add_legend(figure, class_names, colours)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=90)


def draw_preview(
    panel: Panel, class_names: tuple[str, ...], path: Path, *, aspect: float = 1.0
) -> None:
    """Write a PNG of one case: its image with the predicted areas and outlines.

    Args:
        panel: The case.
        class_names: Names of all classes, background first.
        path: Output file; an existing file is replaced.
        aspect: Height of a pixel divided by its width.
    """
    figure = Figure(figsize=(6.0, 6.6), layout="constrained")
    cell = figure.subplots()
    colours = [class_colour(index) for index in range(len(class_names) - 1)]
    cell.set_title(printable(panel.title), fontsize=9, parse_math=False)
    cell.imshow(panel.picture)
    _draw_classes(cell, np.asarray(panel.prediction), colours)
    cell.set(xticks=[], yticks=[], aspect=aspect)
    _add_legend(figure, class_names, colours)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=90)


def _add_legend(figure: Figure, class_names: Sequence[str], colours: Sequence[str]) -> None:
    """Add the colours of the first classes, the background left out."""
    patches = [
        Patch(color=colour, label=printable(name))
        for colour, name in zip(colours[:12], class_names[1:13], strict=True)
    ]
    legend = figure.legend(handles=patches, loc="outside lower center", ncols=4, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_classes(cell: Axes, classes: LabelArray, colours: Sequence[str]) -> None:
    """Draw the area and the outline of every class over an image."""
    masked = np.ma.masked_equal(classes, 0)
    shades = ListedColormap(list(colours))
    last = max(1, len(colours))
    cell.imshow(masked, cmap=shades, vmin=1, vmax=last, alpha=OPACITY, interpolation="nearest")
    framed = np.pad(classes, 1)  # close outlines at the border of the image
    axes = [np.arange(-1, size + 1) for size in reversed(classes.shape)]
    for index in np.unique(classes[classes > 0]).tolist():
        cell.contour(
            *axes, framed == index, levels=[0.5], colors=[colours[index - 1]], linewidths=1.2
        )
    cell.set(xlim=(-0.5, classes.shape[1] - 0.5), ylim=(classes.shape[0] - 0.5, -0.5))
