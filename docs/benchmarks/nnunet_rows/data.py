"""Makes the datasets that both tools work on, in nnU-Net's layout; generated ones from seeds."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray

Shape = tuple[int, ...]

CT_CASES = 8
CT_SHAPE = (160, 384, 384)
CT_SPACING = (1.5, 0.8, 0.8)
CT_LABELS = {"background": 0, "bone": 1, "liver": 2, "lesion": 3}
CT_SEED = 20261122


def link_decathlon(task: str, dataset: str) -> None:
    """Link the files of a Decathlon task under the names that nnU-Net wants."""
    decathlon, target = Path(task), Path(dataset)
    given = json.loads((decathlon / "dataset.json").read_text())
    images, labels = target / "imagesTr", target / "labelsTr"
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    names = sorted(
        path.name.removesuffix(".nii.gz") for path in (decathlon / "imagesTr").glob("[!.]*.nii.gz")
    )
    for name in names:
        _link(decathlon / "imagesTr" / f"{name}.nii.gz", images / f"{name}_0000.nii.gz")
        _link(decathlon / "labelsTr" / f"{name}.nii.gz", labels / f"{name}.nii.gz")
    values = {name: int(value) for value, name in given["labels"].items()}
    _describe(target, "MRI", values, len(names))


def make_ct(dataset: str) -> None:
    """Write CT-like volumes of about 160×384×384 voxels at varied spacing, int16.

    Air of -1000 HU around a body with bones, a liver and a few lesions, all with noise. nnU-Net
    resamples in double precision whatever the voxels are, so their content hardly matters to it.
    """
    target = Path(dataset)
    for case in range(CT_CASES):
        random = np.random.default_rng([CT_SEED, case])
        shape = tuple(int(size * random.uniform(0.9, 1.1)) for size in CT_SHAPE)
        between, within = (float(size * random.uniform(0.7, 1.4)) for size in CT_SPACING[:2])
        spacing = (between, within, within)
        image, labels = ct_case(random, shape)
        write(image, spacing, target / "imagesTr" / f"ct_{case}_0000.nii.gz")
        write(labels, spacing, target / "labelsTr" / f"ct_{case}.nii.gz")
    _describe(target, "CT", CT_LABELS, CT_CASES)


def ct_case(
    random: np.random.Generator, shape: Shape
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Return the int16 image and the uint8 labels of one synthetic case."""
    image = np.full(shape, -1000, dtype=np.float32)
    labels = np.zeros(shape, dtype=np.uint8)
    image[ball(shape, (0.5, 0.5, 0.5), (0.7, 0.42, 0.36))] = 40
    centres = random.uniform((0.2, 0.3, 0.35), (0.8, 0.7, 0.65), size=(6, 3))
    for centre in centres[:3]:
        labels[ball(shape, centre, (0.25, 0.05, 0.04))] = 1
    labels[ball(shape, centres[3], (0.2, 0.18, 0.16))] = 2
    for centre in centres[3:]:
        labels[ball(shape, centre, (0.05, 0.03, 0.03))] = 3
    image += np.array([0, 500, 60, -30], dtype=np.float32)[labels]
    image += random.normal(scale=20, size=shape).astype(np.float32)
    return image.round().astype(np.int16), labels


def ball(shape: Shape, centre: Sequence[float], radii: Sequence[float]) -> NDArray[np.bool_]:
    """Return the mask of an ellipsoid; its centre and radii are shares of the volume's size."""
    return ball_distances(shape, centre, radii) < 1


def ball_distances(
    shape: Shape, centre: Sequence[float], radii: Sequence[float]
) -> NDArray[np.float32]:
    """Return squared distances from a point, measured in radii; see `ball`."""
    squares = [
        ((np.arange(size, dtype=np.float32) / size - middle) / radius) ** 2
        for size, middle, radius in zip(shape, centre, radii, strict=True)
    ]
    return squares[0][:, None, None] + squares[1][:, None] + squares[2]


def write(array: NDArray[np.generic], spacing: Sequence[float], path: Path) -> None:
    """Write a volume whose axes run as the world's; spacing in array order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(tuple(spacing)[::-1])
    SimpleITK.WriteImage(image, str(path), useCompression=True, compressionLevel=1)


def _link(source: Path, target: Path) -> None:
    if not target.is_symlink():
        target.symlink_to(source.resolve())


def _describe(target: Path, channel: str, labels: dict[str, int], count: int) -> None:
    description = {
        "channel_names": {"0": channel},
        "labels": labels,
        "numTraining": count,
        "file_ending": ".nii.gz",
    }
    (target / "dataset.json").write_text(json.dumps(description, indent=1))
