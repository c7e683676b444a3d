"""Write datasets whose foreground is rare, to compare weights of the loss on them.

Run it as `python docs/benchmarks/imbalanced_datasets.py FOLDER [OPENMS]`. `RareClasses` has 60
pictures of 256×256 pixels with five classes that cover 20, 5, 1.2, 0.25 and 0.05 % of all pixels;
the rarest one occurs in every second picture.
`OpenMS_slabs` has the two volumes of OPENMS (the folder OpenMS_MNI_4ch), cut into slabs of ten
planes that contain lesions, because of two volumes only one could be held out.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from volumes import decathlon_description, description, write_json, write_volume

from autoseg.readers import read_image, read_labels

EDGE, NUM_PICTURES, NOISE = 256, 60, 18.0
AREA_SHARE = 0.2
"""Share of the pixels of the most frequent class, which is one area of irregular shape."""
OBJECTS = {2: (0.05, 3, -25.0), 3: (0.012, 3, 45.0), 4: (0.0025, 2, -60.0), 5: (0.001, 1, 80.0)}
"""Share of the pixels, number of ellipses and brightness of the other classes in a picture."""
RAREST, NUM_SPECKS = 5, 4
"""Class that is missing in every second picture, and number of specks that are as bright, but have
a quarter of its area and no label."""

SLAB, LEAST_LESION = 10, 40
"""Planes of a slab, and the voxels of lesions that it needs."""
CHANNELS, SPACING = ("T1", "T1POST", "T2", "FLAIR"), (1.0, 1.0, 1.0)


def picture(random: np.random.Generator, *, with_rarest: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture and its classes, uint8."""
    shape = (EDGE, EDGE)
    classes, image = np.zeros(shape, np.uint8), 110 + 12 * smooth(random, 20)
    field = smooth(random, 14)
    area = field > np.quantile(field, 1 - AREA_SHARE / (1 - 0.065))
    classes[area] = 1
    image[area] += 20
    for value, (share, count, brightness) in OBJECTS.items():
        for _ in range(count if value != RAREST or with_rarest else 0):
            inside = ellipse(random, share * EDGE**2 / count)
            classes[inside] = value
            image[inside] += brightness
    for _ in range(NUM_SPECKS):
        inside = ellipse(random, OBJECTS[RAREST][0] * EDGE**2 / 4) & (classes < 2)
        image[inside] += OBJECTS[RAREST][2]
    image = ndimage.gaussian_filter(image, 0.7) + random.normal(0, NOISE, shape)
    return np.clip(image, 0, 255).astype(np.uint8), classes


def smooth(random: np.random.Generator, width: float) -> np.ndarray:
    """Return smooth noise of unit deviation."""
    field = ndimage.gaussian_filter(random.normal(size=(EDGE, EDGE)), width, mode="wrap")
    return np.asarray(field / field.std())


def ellipse(random: np.random.Generator, area: float) -> np.ndarray:
    """Return the pixels of an ellipse of a given area at a random place."""
    ratio, angle = random.uniform(1, 1.8), random.uniform(0, np.pi)
    first = (area * ratio / np.pi) ** 0.5
    centre = random.uniform(first, EDGE - first, 2)
    down, right = np.indices((EDGE, EDGE)) - centre[:, None, None]
    along = (down * np.cos(angle) + right * np.sin(angle)) / first
    across = (right * np.cos(angle) - down * np.sin(angle)) / (first / ratio)
    return np.asarray(along**2 + across**2 < 1)


def write_rare_classes(root: Path) -> None:
    """Write the pictures in Decathlon layout, unless they exist."""
    if (root / "dataset.json").is_file():
        return
    random = np.random.default_rng(0)
    names = [f"p{index:02}.png" for index in range(NUM_PICTURES)]
    for index, name in enumerate(names):
        arrays = picture(random, with_rarest=index % 2 == 0)
        for part, array in zip(("imagesTr", "labelsTr"), arrays, strict=True):
            (root / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / part / name)
    classes = ("background", "area", "large", "medium", "small", "tiny")
    write_json(decathlon_description(root.name, "grey", classes, names), root / "dataset.json")


def write_slabs(openms: Path, root: Path) -> None:
    """Write the slabs that contain lesions in nnU-Net's layout, unless they exist."""
    if (root / "dataset.json").is_file():
        return
    count = 0
    for number, labels in enumerate(sorted((openms / "labelsTr").glob("*.nii.gz"))):
        name = labels.name.removesuffix(".nii.gz")
        files = sorted((openms / "imagesTr").glob(f"{name}_*.nii.gz"))
        image = read_image(files)
        lesion = read_labels(labels, like=image).values > 0
        for start in range(0, len(lesion) - SLAB + 1, SLAB):
            planes = slice(start, start + SLAB)
            if lesion[planes].sum() < LEAST_LESION:
                continue
            case, count = f"v{number}_{start:03}", count + 1
            for channel, voxels in enumerate(image.voxels.astype(np.float32)):
                path = root / "imagesTr" / f"{case}_{channel:04}.nii.gz"
                write_volume(voxels[planes], SPACING, path)
            path = root / "labelsTr" / f"{case}.nii.gz"
            write_volume(lesion[planes].astype(np.uint8), SPACING, path)
    classes = {"background": 0, "lesion": 1}
    write_json(description(CHANNELS, classes, count), root / "dataset.json")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_rare_classes(folder / "RareClasses")
    if len(sys.argv) > 2:
        write_slabs(Path(sys.argv[2]), folder / "OpenMS_slabs")
