"""Time autoseg's resampling against scikit-image's `resize`, and its patch reads, on this machine.

Run it with `python docs/benchmarks/resampling.py`. Both ways work on the same random volume in
turns, so that whatever else the machine does meets both; the table shows medians.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from costs import medians, timed
from scipy import ndimage
from skimage.transform import resize

from autoseg.core.case import InverseTransform, PreparedImage
from autoseg.core.labels import LabelScheme
from autoseg.preprocessing.foreground import sample_foreground
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.resample import resample_into, resample_labels
from autoseg.preprocessing.storage import StoredCase, open_case, save_case

VOLUME = (96, 256, 256)
TARGETS = ((96, 320, 320), (60, 160, 160), (128, 256, 256), (120, 300, 200))
LABELS = LabelScheme(names=tuple(f"class {index}" for index in range(13)), values=tuple(range(13)))
ROUNDS = 5
PATCHES = {(16, 16, 16): 100, (40, 56, 40): 100, (96, 128, 128): 30}


def volume(random: np.random.Generator) -> np.ndarray:
    """Return a smooth random volume with one channel."""
    noise = random.normal(size=VOLUME).astype(np.float32)
    return ndimage.gaussian_filter(noise, 1)[None]


def label_map(random: np.random.Generator) -> np.ndarray:
    """Return a background and 12 classes in layers, as uint8."""
    smooth = ndimage.gaussian_filter(random.normal(size=VOLUME), 6)
    return (smooth * 400).clip(0, 12).astype(np.uint8)


def ours(voxels: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    """Return the first channel, resampled by autoseg."""
    result = np.empty(shape, np.float32)
    resample_into(result, voxels[0], order=order, separate_axis=None, separate_axis_order=0)
    return result


def theirs(voxels: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    """Return the first channel, resampled by scikit-image."""
    return resize(
        voxels[0], shape, order=order, mode="edge", anti_aliasing=False, preserve_range=True
    )


def our_labels(classes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the label map, resampled by autoseg."""
    return resample_labels(classes, shape, order=1, separate_axis=None, separate_axis_order=0)


def labels_one_by_one(classes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the label map, each class resized as a mask of its own, at least half wins."""
    result = np.zeros(shape, dtype=classes.dtype)
    for value in np.unique(classes):
        mask = (classes == value).astype(np.float32)
        result[resize(mask, shape, order=1, mode="edge", anti_aliasing=False) >= 0.5] = value
    return result


def compare_images(voxels: np.ndarray) -> None:
    """Print one line per target shape and order."""
    print("image           order  scikit-image   autoseg   ratio   largest difference / range")
    for shape in TARGETS:
        for order in (3, 1):
            expected, found = theirs(voxels, shape, order), ours(voxels, shape, order)
            difference = np.abs(expected - found).max() / np.ptp(voxels)
            both = (partial(theirs, voxels, shape, order), partial(ours, voxels, shape, order))
            pairs = [[timed(action) for action in both] for _ in range(ROUNDS)]
            old, new = (medians(column).seconds for column in zip(*pairs, strict=True))
            name = "x".join(map(str, shape))
            print(
                f"{name:15} {order:5}  {old:10.3f} s {new:7.3f} s  {old / new:6.1f}"
                f"   {difference:.1e}"
            )


def compare_labels(classes: np.ndarray) -> None:
    """Print one line per target shape."""
    print("labels          one mask per class   autoseg   ratio   voxels that differ")
    for shape in TARGETS:
        found = our_labels(classes, shape)
        differing = np.mean(found != labels_one_by_one(classes, shape))
        old = timed(partial(labels_one_by_one, classes, shape)).seconds
        new = medians([timed(partial(our_labels, classes, shape)) for _ in range(ROUNDS)]).seconds
        name = "x".join(map(str, shape))
        print(f"{name:15} {old:16.3f} s {new:9.3f} s {old / new:6.1f}   {differing:.1e}")


def time_patches(voxels: np.ndarray, classes: np.ndarray, random: np.random.Generator) -> None:
    """Print how long image and labels of one random patch take to read from disk."""
    restoration = InverseTransform.uncropped(VOLUME, (1.0, 1.0, 1.0))
    case = PreparedCase(
        name="benchmark",
        image=PreparedImage(voxels=voxels, restoration=restoration),
        classes=classes,
        foreground=sample_foreground(classes, LABELS, "benchmark"),
    )
    with TemporaryDirectory() as root:
        folder = Path(root) / "case"
        write = partial(save_case, case, folder, (96, 128, 128), key="key", content_key="key")
        written = timed(write).seconds
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"writing the case: {written:.2f} s, {size / voxels.nbytes:.2f} of its float32 size")
        stored = open_case(folder)
        for patch, repeats in PATCHES.items():
            rounds = [timed(partial(read, stored, patch, random)) for _ in range(repeats)]
            spent = 1000 * medians(rounds).seconds
            print(f"reading a patch of {'x'.join(map(str, patch)):10} {spent:7.2f} ms")


def read(stored: StoredCase, patch: tuple[int, ...], random: np.random.Generator) -> None:
    """Read one random patch."""
    start = tuple(
        int(random.integers(size - edge + 1))
        for size, edge in zip(stored.shape, patch, strict=True)
    )
    stored.read_patch(start, tuple(map(sum, zip(start, patch, strict=True))))


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    image, labels = volume(generator), label_map(generator)
    compare_images(image)
    compare_labels(labels)
    time_patches(image, labels, generator)
