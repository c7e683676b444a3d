"""Read a case once, to report all its issues or compute its fingerprint."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import PART_VOXELS, IntensityArray, LabelArray, MaskArray, count_not_finite
from autoseg.core.case import Image, LabelMap
from autoseg.core.errors import CaseError
from autoseg.core.formatting import format_count, format_names, format_shape
from autoseg.core.geometry import axis_directions, tilt_degrees
from autoseg.core.labels import LabelScheme
from autoseg.core.random import generator
from autoseg.datasets.class_positions import ClassPosition, class_positions
from autoseg.datasets.coarse_dice import coarse_dice
from autoseg.datasets.label_counts import label_counts
from autoseg.datasets.loading import pair_issues
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import QUANTILE_LEVELS, CaseFingerprint, CaseIntensities
from autoseg.normalizers.rgb import BRIGHTEST
from autoseg.preprocessing.crop import bounding_box, nonzero_voxels
from autoseg.preprocessing.memory import reading_bytes
from autoseg.readers import read_header, read_image, read_labels, storage_of, storage_state
from autoseg.readers.names import name_of
from autoseg.readers.storage import storage_digest

MAX_VOXELS_FOR_QUANTILES = 1_000_000
"""Maximum number of foreground voxels for computing quantiles. Larger images are sampled at random
positions that depend only on their size; the standard error is below 0.05 % of the distribution.
Mean, standard deviation, minimum and maximum always use all voxels."""

SIGNIFICANT_DIGITS = 7
"""Significant digits of stored numbers: the precision of float32, which keeps the JSON short."""


def inspect_case(
    files: CaseFiles, spec: DatasetSpec, *, at_coarser_voxels: bool = False
) -> CaseFingerprint:
    """Check a case and compute its fingerprint.

    Args:
        files: Files of the case.
        spec: The dataset, which declares the expected channels and labels.
        at_coarser_voxels: Whether to compute `CaseFingerprint.coarse_dice`.

    Raises:
        CaseError: If the case has issues; one line per issue.
    """
    image, labels, issues = _read(files)
    if image is not None:
        issues += _image_issues(image, files, spec)
    counts = label_counts(labels.values) if labels is not None else {}
    issues += _label_issues(counts, files, spec)
    if image is not None and labels is not None:
        issues += pair_issues(image, labels, files)
    if issues or image is None or labels is None:
        raise CaseError("\n".join(issues))
    foreground = _foreground(labels.values, spec.labels)
    classes = spec.labels.encode(labels.values)
    places = _positions(classes, spec.labels)
    is_integer = all(_is_whole(channel) for channel in image.voxels)
    return CaseFingerprint(
        name=files.name,
        source=file_states(files, spec),
        shape=image.shape,
        spacing=tuple(_rounded(value) for value in image.geometry.spacing),
        unit=image.geometry.unit,
        shape_after_crop=_shape_after_crop(image.voxels),
        class_voxels=tuple(counts.get(value, 0) for value in spec.labels.values),
        class_centres=tuple(place and place.centre for place in places),
        class_extents=tuple(place and place.extent for place in places),
        intensities=_intensities(image.voxels, foreground),
        is_integer=is_integer,
        fits_8_bits=bool(
            is_integer and image.voxels.min() >= 0 and image.voxels.max() <= BRIGHTEST
        ),
        axis_directions=axis_directions(image.stored_geometry) if spec.num_axes == 3 else "",
        tilt_degrees=_rounded(tilt_degrees(image.geometry)),
        forms_difference=image.forms.difference if image.forms else "",
        coarse_dice=coarse_dice(classes, image.geometry.spacing, spec.labels.num_classes)
        if at_coarser_voxels
        else None,
    )


def inspection_bytes(files: CaseFiles) -> int:
    """Estimate the memory of `inspect_case` in bytes, from headers; 0 if they cannot be read."""
    try:
        headers = [read_header(path) for path in files.images]
    except CaseError:
        return 0
    channels = sum(header.num_channels for header in headers)
    return reading_bytes(headers[0].shape, channels, max(each.voxel_bytes for each in headers))


def file_states(files: CaseFiles, spec: DatasetSpec) -> tuple[tuple[str, int, int], ...]:
    """Return path, size (bytes) and modification time (ns) of each file of a case.

    The files in a folder that holds an image are summed.

    Paths are relative to the dataset's folder, so that a moved dataset counts as unchanged.
    """
    states = []
    for path in case_paths(files):
        shown = path.relative_to(spec.root) if path.is_relative_to(spec.root) else path
        states.append((shown.as_posix(), *storage_state(path)))
    return tuple(states)


def file_hashes(files: CaseFiles) -> tuple[str, ...]:
    """Return the SHA-256 of each file of a case; copying or touching files does not change it.

    Raises:
        CaseError: If a file is missing or cannot be read.
    """
    return tuple(_digest(path) for path in case_paths(files))


def _digest(path: Path) -> str:
    try:
        return storage_digest(path)
    except OSError as error:
        raise CaseError(
            f"{path} cannot be read ({error.strerror}). Restore the file, or remove the case from "
            "the dataset."
        ) from error


def case_paths(files: CaseFiles) -> list[Path]:
    """Return the files of a case, including companion files such as the data of a header file.

    An image in a container is replaced by the file or the folder of its voxels.
    """
    stored = [storage_of(path) for path in (*files.images, files.labels)]
    own = dict.fromkeys(storage[0] for storage in stored)
    return [*own, *(path for storage in stored for path in storage[1:])]


def _read(files: CaseFiles) -> tuple[Image | None, LabelMap | None, list[str]]:
    """Read image and labels; return None for those that cannot be read, and the issues."""
    image, labels, issues = None, None, []
    try:
        image = read_image(files.images)
    except CaseError as error:
        issues.append(str(error))
    try:
        labels = read_labels(files.labels, like=image)
    except CaseError as error:
        issues.append(str(error))
    return image, labels, issues


def _image_issues(image: Image, files: CaseFiles, spec: DatasetSpec) -> list[str]:
    issues = []
    names = _names(files)
    channels, expected = image.voxels.shape[0], len(spec.channel_names)
    if channels != expected:
        issues.append(
            f"{names}: {format_count(channels, 'channel')} found, expected {expected} "
            f"({', '.join(spec.channel_names)}). Add the missing channels or remove the extra ones "
            "(the alpha channel of an RGBA image counts)."
        )
    if len(image.shape) != spec.num_axes:
        issues.append(
            f"{names}: a {len(image.shape)}-D image in a {spec.num_axes}-D dataset "
            f"(shape {format_shape(image.shape)}). Put 2-D and 3-D images into separate datasets."
        )
    if not_finite := count_not_finite(image.voxels):
        issues.append(
            f"{names}: {not_finite} of {image.voxels.size} intensities are NaN or infinite. "
            "Replace them, for example by the image's lowest value."
        )
    return issues


def _label_issues(counts: dict[int, int], files: CaseFiles, spec: DatasetSpec) -> list[str]:
    scheme = spec.labels
    if counts and counts.keys() <= {scheme.ignore}:
        issue = (
            f"{name_of(files.labels)}: all voxels have the ignore value {scheme.ignore}, so there "
            "is nothing to train on. Annotate part of it, including background, or remove the case."
        )
        return [issue]
    known = scheme.values if scheme.ignore is None else (*scheme.values, scheme.ignore)
    unexpected = sorted(counts.keys() - set(known))
    if not unexpected:
        return []
    shown = format_names([f"{value} ({counts[value]} voxels)" for value in unexpected])
    issue = (
        f"{name_of(files.labels)}: unexpected label value {shown}; expected only "
        f"{', '.join(map(str, known))}. Correct the file, or declare the value in dataset.json."
    )
    return [issue]


def _shape_after_crop(voxels: IntensityArray) -> tuple[int, ...]:
    """Return the size of the nonzero bounding box; filling holes in the mask does not change it."""
    return tuple(stop - start for start, stop in bounding_box(nonzero_voxels(voxels)))


def _foreground(values: LabelArray, scheme: LabelScheme) -> MaskArray:
    """Return the mask of all classes except background; unannotated voxels are excluded."""
    foreground: MaskArray = values != scheme.values[0]
    if scheme.ignore is not None:
        foreground &= values != scheme.ignore
    return foreground


def _positions(classes: LabelArray, scheme: LabelScheme) -> tuple[ClassPosition | None, ...]:
    """Return the position of each class, without the ignore label, whose index is the last."""
    counted = scheme.num_classes + (scheme.ignored_index is not None)
    return class_positions(classes, counted)[: scheme.num_classes]


def _intensities(voxels: IntensityArray, foreground: MaskArray) -> tuple[CaseIntensities, ...]:
    """Summarise each channel over the foreground, else over nonzero voxels, else all voxels."""
    mask = foreground if foreground.any() else nonzero_voxels(voxels)
    if not mask.any():
        return tuple(_summary(channel.ravel()) for channel in voxels)
    return tuple(_summary(channel[mask]) for channel in voxels)


def _summary(sample: NDArray[Any]) -> CaseIntensities:
    drawn = sample
    if sample.size > MAX_VOXELS_FOR_QUANTILES:
        random = generator(0, "quantiles", sample.size)
        drawn = sample[random.integers(sample.size, size=MAX_VOXELS_FOR_QUANTILES)]
    quantiles = np.quantile(drawn.astype(np.float32), QUANTILE_LEVELS)
    quantiles[0], quantiles[-1] = sample.min(), sample.max()
    mean = sample.mean(dtype=np.float64)
    return CaseIntensities(
        mean=_rounded(mean),
        std=_rounded(np.sqrt(squared_differences(sample, mean) / sample.size)),
        quantiles=tuple(_rounded(value) for value in quantiles),
    )


def squared_differences(sample: NDArray[Any], mean: np.float64) -> np.float64:
    """Sum the squared differences from the mean without a copy of 8 bytes per voxel.

    The sum is pairwise and divided where NumPy divides it, so that it equals that of `numpy.std`.
    """
    if sample.size > PART_VOXELS:
        half = sample.size // 2 // 8 * 8
        return squared_differences(sample[:half], mean) + squared_differences(sample[half:], mean)
    return np.float64(np.square(sample - mean).sum())


def _is_whole(channel: NDArray[Any]) -> bool:
    return channel.dtype.kind != "f" or bool(np.array_equal(channel, np.rint(channel)))


def _rounded(value: float | np.floating) -> float:
    return float(f"{float(value):.{SIGNIFICANT_DIGITS}g}")


def _names(files: CaseFiles) -> str:
    return ", ".join(name_of(path) for path in files.images)
