"""Write synthetic volumes, and describe and link datasets in nnU-Net's layout."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray

Shape = tuple[int, ...]


def write_volume(
    array: NDArray[np.generic], spacing: Sequence[float], path: Path, *, compression: int = 1
) -> None:
    """Write a volume whose axes run as the world's; spacing in array order, mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(tuple(spacing)[::-1])
    SimpleITK.WriteImage(
        image, str(path), useCompression=compression > 0, compressionLevel=compression
    )


def write_json(content: object, path: Path) -> None:
    """Write a JSON file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def description(
    channels: Sequence[str], labels: Mapping[str, object], count: int, ending: str = ".nii.gz"
) -> dict[str, object]:
    """Return nnU-Net's `dataset.json`, of `count` cases."""
    return {
        "channel_names": {str(index): name for index, name in enumerate(channels)},
        "labels": dict(labels),
        "numTraining": count,
        "file_ending": ending,
    }


def decathlon_description(
    name: str, channel: str, labels: Sequence[str], files: Sequence[str]
) -> dict[str, object]:
    """Return a Decathlon `dataset.json` of one channel, with labels 0, 1 and so on."""
    return {
        "name": name,
        "channel_names": {"0": channel},
        "labels": {str(value): label for value, label in enumerate(labels)},
        "training": [
            {"image": f"./imagesTr/{file}", "label": f"./labelsTr/{file}"} for file in files
        ],
    }


def link_case(
    dataset: Path, name: str, images: Sequence[Path], labels: Path, ending: str = ".nii.gz"
) -> None:
    """Link the files of a case, one image per channel, under the names that nnU-Net expects."""
    targets = {
        dataset / "imagesTr" / f"{name}_{channel:04d}{ending}": path
        for channel, path in enumerate(images)
    }
    targets[dataset / "labelsTr" / f"{name}{ending}"] = labels
    for target, path in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(path.resolve())


def ct_case(
    random: np.random.Generator, shape: Shape
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Return the int16 image and the uint8 labels (bone, liver, lesion) of a synthetic CT.

    Air of -1000 HU around a body with bones, a liver and a few lesions, all with noise.
    """
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
