"""Synthetic images, and writers of files that do not go through autoseg."""

from pathlib import Path

import numpy as np
import SimpleITK
from skimage import io


def balls(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with a bright and a dim ball, float32, and its labels 0, 1, 2, uint8."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    radius = min(shape) / 5
    image = random.normal(2.0, 0.3, shape).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    for value, brightness in ((1, 8.0), (2, 5.0)):
        centre = [
            random.uniform(
                size * (0.3 if value == 1 else 0.55), size * (0.45 if value == 1 else 0.7)
            )
            for size in shape
        ]
        distance = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)))
        labels[distance < radius] = value
        image[distance < radius] += brightness
    border = np.ones(shape, bool)
    border[(slice(1, -1),) * len(shape)] = False
    image[border], labels[border] = 0, 0
    return image, labels


def write_volume(
    values: np.ndarray,
    path: Path,
    *,
    spacing: tuple[float, ...],
    origin: tuple[float, ...] | None = None,
    direction: np.ndarray | None = None,
) -> None:
    """Write an array `*space` with its geometry in array order (z, y, x), by SimpleITK alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(tuple(reversed(spacing)))
    if origin is not None:
        image.SetOrigin(tuple(reversed(origin)))
    if direction is not None:
        image.SetDirection(direction[::-1, ::-1].ravel().tolist())
    SimpleITK.WriteImage(image, str(path))


def write_picture(values: np.ndarray, path: Path) -> None:
    """Write an array (y, x) or (y, x, channels) as PNG, JPEG, BMP or TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    io.imsave(path, values, check_contrast=False)
