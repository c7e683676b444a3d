"""Write two synthetic datasets in which the position of an object decides its class.

Run it as `python docs/benchmarks/position_datasets.py FOLDER`. `Walls` has 20 volumes of 128³
voxels with balls of one look: near a bright wall they have another class than far from it. `Places`
has 40 pictures of 384×384 pixels with ten ellipses of one look: the one near a fixed place is the
object, as an organ has its place in the body.
"""

import sys
from pathlib import Path

import numpy as np
from cascade import write_dataset
from PIL import Image
from scipy import ndimage
from volumes import decathlon_description, write_json

EDGE, NUM_PICTURES, NUM_ELLIPSES = 384, 40, 10

PLACE, DEVIATION = (250.0, 130.0), 14.0
"""Where the object lies, row and column, and the standard deviation of both, pixels."""

RADII, LEAST_DISTANCE = (18.0, 26.0), 62.0
"""Of the ellipses, and between their centres, pixels."""


def picture(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture and its classes, uint8."""
    shape = (EDGE, EDGE)
    texture = ndimage.gaussian_filter(random.normal(size=shape), 6)
    image = 100 + 15 * texture / texture.std() + random.normal(0, 15, shape)
    classes = np.zeros(shape, np.uint8)
    for index, centre in enumerate(centres(random)):
        inside = ellipse(random, centre)
        image[inside] += 50
        if index == 0:
            classes[inside] = 1
    return np.clip(image, 0, 255).astype(np.uint8), classes


def centres(random: np.random.Generator) -> list[np.ndarray]:
    """Return the centres of the ellipses, the object first."""
    found = [np.array(PLACE) + random.normal(0, DEVIATION, 2)]
    while len(found) < NUM_ELLIPSES:
        centre = random.uniform(25, EDGE - 25, 2)
        if all(np.hypot(*(centre - other)) > LEAST_DISTANCE for other in found):
            found.append(centre)
    return found


def ellipse(random: np.random.Generator, centre: np.ndarray) -> np.ndarray:
    """Return the pixels of an ellipse of random radii and direction."""
    (first, second), angle = random.uniform(*RADII, 2), random.uniform(0, np.pi)
    down, right = np.indices((EDGE, EDGE)) - centre[:, None, None]
    along = (down * np.cos(angle) + right * np.sin(angle)) / first
    across = (right * np.cos(angle) - down * np.sin(angle)) / second
    return np.asarray(along**2 + across**2 < 1)


def write_places(root: Path) -> None:
    """Write the pictures in Decathlon layout."""
    random = np.random.default_rng(0)
    names = [f"p{index:02}.png" for index in range(NUM_PICTURES)]
    for name in names:
        for part, array in zip(("imagesTr", "labelsTr"), picture(random), strict=True):
            (root / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / part / name)
    description = decathlon_description("Places", "grey", ("background", "organ"), names)
    write_json(description, root / "dataset.json")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_dataset(folder / "Walls", 128, num_cases=20)
    write_places(folder / "Places")
