"""Small synthetic datasets for `autoseg demo`, written to files without any download."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.core.geometry import Geometry
from autoseg.core.random import generator
from autoseg.readers.names import reader_for

VOLUME_SHAPE = (32, 48, 44)
VOLUME_SPACING_MM = (2.0, 1.0, 1.0)
PICTURE_SHAPE = (128, 144)

NUM_VOLUMES = 20
NUM_PICTURES = 24

NUM_UNSEEN = 4
"""Number of cases of each dataset that are not used for training."""

Field = Float[np.ndarray, "*space"]


def write_volumes(root: Path, seed: int) -> tuple[Path, Path]:
    """Write a 3-D dataset (MRI-like, an organ with two parts) and unseen cases of the same kind.

    Returns:
        Folder of the dataset (Decathlon layout), and folder with `images` and `labels` of the
        unseen cases.
    """
    dataset, unseen = root / "Demo_Volumes", root / "unseen_volumes"
    names = [f"volume_{index:02d}" for index in range(NUM_VOLUMES)]
    geometry = Geometry.plain(VOLUME_SPACING_MM)
    for index, name in enumerate(names):
        image, classes = phantom_volume(generator(seed, "volume", index))
        folders = (dataset / "imagesTr", dataset / "labelsTr")
        if index >= NUM_VOLUMES - NUM_UNSEEN:
            folders = (unseen / "images", unseen / "labels")
        arrays: tuple[NDArray[np.integer], ...] = (image, classes)
        for array, folder in zip(arrays, folders, strict=True):
            path = folder / f"{name}.nii.gz"
            folder.mkdir(parents=True, exist_ok=True)
            reader_for(path).write(array, geometry, path)
    pairs = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
        for name in names[:-NUM_UNSEEN]
    ]
    description = {
        "name": "Demo volumes",
        "channel_names": {"0": "MRI"},
        "labels": {"0": "background", "1": "head", "2": "tail"},
        "training": pairs,
    }
    (dataset / "dataset.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
    return dataset, unseen


def write_pictures(root: Path, seed: int) -> tuple[Path, Path]:
    """Write a 2-D dataset (stained cells, RGB PNG, no JSON) and unseen cases of the same kind.

    Returns:
        Folder of the dataset (`images` and `labels`), and the same of the unseen cases.
    """
    from skimage.io import imsave

    dataset, unseen = root / "Demo_Pictures", root / "unseen_pictures"
    for index in range(NUM_PICTURES):
        picture, classes = phantom_picture(generator(seed, "picture", index))
        folder = unseen if index >= NUM_PICTURES - NUM_UNSEEN else dataset
        for array, part in ((picture, "images"), (classes * 255, "labels")):
            (folder / part).mkdir(parents=True, exist_ok=True)
            imsave(folder / part / f"cells_{index:02d}.png", array, check_contrast=False)
    return dataset, unseen


def phantom_volume(random: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Generate an MRI-like volume and its classes.

    It shows a curved organ with a thick head and a thin tail, and distractors of equal brightness,
    with noise and a bias field.
    """
    grid = np.stack(np.meshgrid(*map(np.arange, VOLUME_SHAPE), indexing="ij")).astype(float)
    grid *= np.reshape(VOLUME_SPACING_MM, (3, 1, 1, 1))
    extent = np.array(VOLUME_SHAPE) * VOLUME_SPACING_MM
    centre = extent * random.uniform(0.4, 0.6, 3)
    length, thickness = random.uniform(12, 16), random.uniform(4.5, 5.5)
    bend = random.uniform(-0.03, 0.03)
    along = grid[1] - centre[1]
    across = np.hypot(grid[0] - centre[0], grid[2] - centre[2] - bend * along**2)
    radius = thickness * (1 - 0.45 * along / length)
    organ = (across < radius) & (np.abs(along) < length)
    classes = np.where(organ, np.where(along < random.uniform(-2, 2), 1, 2), 0).astype(np.uint8)
    image = 60 + 25 * _smooth_noise(random, VOLUME_SHAPE, 5.0)
    for _ in range(6):
        where = extent * random.uniform(0.1, 0.9, 3)
        ball = np.sqrt(sum((grid[axis] - where[axis]) ** 2 for axis in range(3)))
        image[(ball < random.uniform(3, 5)) & ~organ] += 45
    image[organ] += 45
    image *= 1 + 0.15 * _smooth_noise(random, VOLUME_SHAPE, 12.0)
    image = ndimage.gaussian_filter(image, 0.7) + random.normal(0, 12, VOLUME_SHAPE)
    return np.clip(image, 0, 1000).astype(np.int16), classes


def phantom_picture(random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Generate an RGB image of stained cells and the mask of their nuclei."""
    rows, columns = np.meshgrid(*map(np.arange, PICTURE_SHAPE), indexing="ij")
    nuclei = np.zeros(PICTURE_SHAPE, bool)
    for _ in range(random.integers(12, 22)):
        row, column = random.uniform(0, PICTURE_SHAPE[0]), random.uniform(0, PICTURE_SHAPE[1])
        angle, long, short = random.uniform(0, np.pi), random.uniform(6, 12), random.uniform(4, 7)
        u = (rows - row) * np.cos(angle) + (columns - column) * np.sin(angle)
        v = (columns - column) * np.cos(angle) - (rows - row) * np.sin(angle)
        nuclei |= (u / long) ** 2 + (v / short) ** 2 < 1
    texture = _smooth_noise(random, PICTURE_SHAPE, 3.0)
    stain = 0.3 + 0.08 * texture + np.where(nuclei, 0.4, 0.0)
    stain = ndimage.gaussian_filter(stain, 1.0) + random.normal(0, 0.06, PICTURE_SHAPE)
    tint = np.array([0.55, 0.9, 0.35]) * random.uniform(0.85, 1.15, 3)
    picture = np.clip(1 - stain[..., None] * tint, 0, 1) * 255
    return picture.astype(np.uint8), nuclei.astype(np.uint8)


def _smooth_noise(random: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Field:
    """Generate a smooth random field with mean 0 and standard deviation 1."""
    field = ndimage.gaussian_filter(random.normal(size=shape), sigma)
    smooth: Field = (field - field.mean()) / field.std()
    return smooth
