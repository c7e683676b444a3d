"""Read one case once: find all that is wrong with it, or measure it."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import ImageArray, LabelArray, MaskArray
from autoseg.core.case import Image, LabelMap
from autoseg.core.errors import CaseError
from autoseg.core.geometry import axis_directions, tilt_degrees
from autoseg.core.labels import LabelScheme
from autoseg.core.random import generator
from autoseg.datasets.class_positions import ClassPosition, class_positions
from autoseg.datasets.coarse_dice import coarse_dice
from autoseg.datasets.label_counts import label_counts
from autoseg.datasets.loading import issues_of_pair
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import QUANTILE_LEVELS, CaseFingerprint, CaseIntensities
from autoseg.normalizers.rgb import BRIGHTEST
from autoseg.preprocessing.crop import bounding_box, nonzero_voxels
from autoseg.preprocessing.memory import reading_bytes
from autoseg.readers import (
    companion_files,
    num_replaced,
    read_header,
    read_image,
    read_labels,
)
from autoseg.readers.names import times

MOST_VOXELS_FOR_QUANTILES = 1_000_000
"""Quantiles of more foreground voxels than this come from a random draw of so many of them, at
fixed positions for each size; their standard error is then below 0.05 % of the distribution. Mean,
deviation, minimum and maximum are always of all voxels."""

SIGNIFICANT_DIGITS = 7
"""Of stored numbers: what float32 intensities hold, and JSON stays short."""


def inspect_case(
    files: CaseFiles, spec: DatasetSpec, *, at_coarser_voxels: bool = False
) -> CaseFingerprint:
    """Return what the planner needs to know of a case.

    Args:
        files: Its files.
        spec: The dataset, whose channels and labels it must have.
        at_coarser_voxels: Whether to measure how well coarser voxels represent its labels.

    Raises:
        CaseError: If anything is wrong with the case; one line for each issue.
    """
    image, labels, issues = _read(files)
    if image is not None:
        issues += _issues_of_image(image, files, spec)
    counts = label_counts(labels.values) if labels is not None else {}
    issues += _issues_of_labels(counts, files, spec)
    if image is not None and labels is not None:
        issues += issues_of_pair(image, labels, files)
    if issues or image is None or labels is None:
        raise CaseError("\n".join(issues))
    foreground = _foreground(labels.values, spec.labels)
    classes = spec.labels.encode(labels.values)
    places = _positions(classes, spec.labels)
    is_integer = all(_is_whole(channel) for channel in image.voxels)
    return CaseFingerprint(
        name=files.name,
        source=source_of(files, spec),
        shape=image.shape,
        spacing=tuple(_rounded(value) for value in image.geometry.spacing),
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
        coarse_dice=coarse_dice(classes, image.geometry.spacing, spec.labels.num_classes)
        if at_coarser_voxels
        else None,
    )


def inspection_bytes(files: CaseFiles) -> int:
    """Return about how many bytes `inspect_case` needs, by the headers; 0 if none can be read."""
    try:
        headers = [read_header(path) for path in files.images]
    except CaseError:
        return 0
    return reading_bytes(headers[0].shape, sum(header.num_channels for header in headers))


def source_of(files: CaseFiles, spec: DatasetSpec) -> tuple[tuple[str, int, int], ...]:
    """Return path, size (bytes) and modification time (ns) of all files that make a case.

    Paths are relative to the dataset, so that a moved dataset counts as unchanged.
    """
    found = []
    for path in _paths(files):
        state = path.stat()
        shown = path.relative_to(spec.root) if path.is_relative_to(spec.root) else path
        found.append((shown.as_posix(), state.st_size, state.st_mtime_ns))
    return tuple(found)


def content_of(files: CaseFiles) -> tuple[str, ...]:
    """Return the SHA-256 of each file that makes a case, which copying or touching leaves as is.

    Raises:
        CaseError: If one is missing or cannot be read.
    """
    return tuple(_digest(path) for path in _paths(files))


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        msg = (
            f"{path} cannot be read ({error.strerror}). Put the file there, or take the case out "
            "of the dataset."
        )
        raise CaseError(msg) from error


def _paths(files: CaseFiles) -> list[Path]:
    """Return the files of a case, with those that some of them are the header of."""
    paths = [*files.images, files.labels]
    return paths + [companion for path in paths for companion in companion_files(path)]


def _read(files: CaseFiles) -> tuple[Image | None, LabelMap | None, list[str]]:
    """Return what of image and labels can be read, and why the rest cannot."""
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


def _issues_of_image(image: Image, files: CaseFiles, spec: DatasetSpec) -> list[str]:
    issues = []
    names = _names(files)
    channels, expected = image.voxels.shape[0], len(spec.channel_names)
    if channels != expected:
        issues.append(
            f"{names}: {channels} channel{'s' if channels > 1 else ''} found, expected {expected} "
            f"({', '.join(spec.channel_names)}). Add the missing channels or remove the extra ones "
            "(the opacity of an RGBA picture counts as one)."
        )
    if len(image.shape) != spec.num_axes:
        issues.append(
            f"{names}: a {len(image.shape)}-D image in a {spec.num_axes}-D dataset "
            f"(shape {times(image.shape)}). Put 2-D and 3-D images into separate datasets."
        )
    not_finite = image.voxels.size - np.count_nonzero(np.isfinite(image.voxels))
    not_finite += sum(map(num_replaced, files.images))
    if not_finite:
        issues.append(
            f"{names}: {not_finite} of {image.voxels.size} intensities are NaN or infinite. "
            "Replace them, for instance by the image's lowest value."
        )
    return issues


def _issues_of_labels(counts: dict[int, int], files: CaseFiles, spec: DatasetSpec) -> list[str]:
    scheme = spec.labels
    if counts and counts.keys() <= {scheme.ignore}:
        issue = (
            f"{files.labels.name}: every voxel has the ignore value {scheme.ignore}, so there is "
            "nothing to learn from. Annotate some of it, background too, or leave the case out."
        )
        return [issue]
    known = scheme.values if scheme.ignore is None else (*scheme.values, scheme.ignore)
    unexpected = sorted(counts.keys() - set(known))
    if not unexpected:
        return []
    shown = ", ".join(f"{value} ({counts[value]} voxels)" for value in unexpected[:5])
    more = f" and {len(unexpected) - 5} more" if len(unexpected) > 5 else ""
    issue = (
        f"{files.labels.name}: unexpected label value {shown}{more}; expected only "
        f"{', '.join(map(str, known))}. Correct the file, or declare the value in "
        "dataset.json."
    )
    return [issue]


def _shape_after_crop(voxels: ImageArray) -> tuple[int, ...]:
    """Return the size of the nonzero bounding box; filling the mask's holes would not change it."""
    return tuple(stop - start for start, stop in bounding_box(nonzero_voxels(voxels)))


def _foreground(values: LabelArray, scheme: LabelScheme) -> MaskArray:
    """Return the voxels of all classes but the background; of those ignored nobody knows."""
    foreground: MaskArray = values != scheme.values[0]
    if scheme.ignore is not None:
        foreground &= values != scheme.ignore
    return foreground


def _positions(classes: LabelArray, scheme: LabelScheme) -> tuple[ClassPosition | None, ...]:
    """Return the position of each class; ignored voxels, which come last, have none."""
    counted = scheme.num_classes + (scheme.ignored_index is not None)
    return class_positions(classes, counted)[: scheme.num_classes]


def _intensities(voxels: ImageArray, foreground: MaskArray) -> tuple[CaseIntensities, ...]:
    """Return the statistics of the foreground; without one of the nonzero, else of all voxels."""
    chosen = foreground if foreground.any() else np.any(voxels != 0, axis=0)
    if not chosen.any():
        return tuple(_summary(channel.ravel()) for channel in voxels)
    return tuple(_summary(channel[chosen]) for channel in voxels)


def _summary(sample: NDArray[np.float32]) -> CaseIntensities:
    drawn = sample
    if sample.size > MOST_VOXELS_FOR_QUANTILES:
        random = generator(0, "quantiles", sample.size)
        drawn = sample[random.integers(sample.size, size=MOST_VOXELS_FOR_QUANTILES)]
    quantiles = np.quantile(drawn, QUANTILE_LEVELS)
    quantiles[0], quantiles[-1] = sample.min(), sample.max()
    return CaseIntensities(
        mean=_rounded(sample.mean(dtype=np.float64)),
        std=_rounded(sample.std(dtype=np.float64)),
        quantiles=tuple(_rounded(value) for value in quantiles),
    )


def _is_whole(channel: NDArray[np.float32]) -> bool:
    return bool(np.array_equal(channel, np.rint(channel)))


def _rounded(value: float | np.floating) -> float:
    return float(f"{float(value):.{SIGNIFICANT_DIGITS}g}")


def _names(files: CaseFiles) -> str:
    return ", ".join(path.name for path in files.images)
