"""Find out from the contents of label files how each stores the classes."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.mask_form import MaskForm
from autoseg.core.parallel import Success, run_each
from autoseg.datasets.recognition.contents import (
    COLOUR_CHANNELS,
    MAX_CLASSES,
    Content,
    content_of,
    number_objects,
    palettes_differ,
)
from autoseg.datasets.recognition.label_series import SAMPLED

MOST_SAMPLED = 9
"""Number of files that are read where they may number objects or have palettes."""


def form_of_contents(sample: Callable[[int], list[Content]], *, are_declared: bool) -> MaskForm:
    """Return the form of label files of one file per case, of which some are read.

    Args:
        sample: Returns the contents of at most some number of files.
        are_declared: Whether a file of the dataset lists several classes, so that numbers in label
            files are not those of objects.

    Raises:
        DatasetError: If the values may be classes or numbers of objects.
    """
    contents = _sampled(sample)
    if any(content.is_one_hot or content.are_disjoint_masks for content in contents):
        return "onehot"
    _check_channels(contents)
    are_colours = palettes_differ(contents)
    if not are_colours:
        if not are_declared and _number_objects(contents):
            return "instances"
        if _are_blurred(contents):
            return "threshold"
    if not are_colours and all(content.is_grey for content in contents):
        return "values"
    _check_colours(contents)
    return "colours"


def _sampled(sample: Callable[[int], list[Content]]) -> list[Content]:
    """Return some contents; more of them if they may number objects or have palettes."""
    contents = sample(SAMPLED)
    counts = [content.num_objects for content in contents]
    may_be_objects = all(
        count or content.is_empty for count, content in zip(counts, contents, strict=True)
    )
    if (may_be_objects and (max(counts, default=0) > 1 or 0 in counts)) or any(
        content.palette is not None for content in contents
    ):
        return sample(MOST_SAMPLED)
    return contents


def _number_objects(contents: Sequence[Content]) -> bool:
    """Return True if label files number objects.

    Raises:
        DatasetError: If the numbers may also be classes.
    """
    are_numbered = number_objects(contents)
    if are_numbered is None:
        most = max(content.num_objects for content in contents)
        raise DatasetError(
            f"the label files hold the values 1, 2, 3 … up to {most}, each in one piece and at "
            "similar places, and some files have fewer. If each value is a class, add --mask "
            "values; if the values number objects of one class, add --mask instances."
        )
    return are_numbered


def _are_blurred(contents: Sequence[Content]) -> bool:
    """Return True if label files are masks with blurred edges.

    Raises:
        DatasetError: If the values between the extremes may also be classes.
    """
    has_classes = any(content.has_classes for content in contents)
    blurred = [content for content in contents if content.is_blurred]
    if any(content.is_nearly_binary for content in blurred) and not has_classes:
        return True
    soft = [content for content in contents if content.has_soft_edges and not has_classes]
    if blurred or soft:
        first = (*blurred, *soft)[0].values
        raise DatasetError(
            f"the label files hold several values, such as {len(first)} from {first[0]} to "
            f"{first[-1]}, that fill no areas. If they are masks with soft edges, add --mask "
            "threshold; if each value is a class, add --mask values."
        )
    return False


def _check_colours(contents: Sequence[Content]) -> None:
    """Check that colours are no mixtures of others.

    Raises:
        DatasetError: If most colours of a file are.
    """
    mixed = next((one for one in contents if one.mixtures > len(one.colours) / 2), None)
    if mixed is not None:
        raise DatasetError(
            f"the label files have up to {len(mixed.colours)} colours, of which {mixed.mixtures} "
            "lie along edges alone, between two others, as after resizing or smoothing. Export the "
            "labels without interpolation."
        )


def _check_channels(contents: Sequence[Content]) -> None:
    """Check that label files hold one value or one colour per voxel.

    Raises:
        DatasetError: If they have other channels that differ.
    """
    wrong = next((one for one in contents if not (one.is_grey or one.is_coloured)), None)
    if wrong is None:
        return
    number = len(wrong.channels)
    found = f"a fourth axis of {number} label maps" if wrong.has_fourth_axis else f"{number} layers"
    advice = "a label map of each of these" if wrong.has_fourth_axis else "one layer of values"
    raise DatasetError(
        f"the label files have {found} that differ; expected one label value per voxel. If they "
        f"are a channel per class, add --mask onehot; otherwise, export {advice}, and its image."
    )


def colours_in(paths: Sequence[Path], most: int, *, workers: int) -> Counter[tuple[int, ...]]:
    """Count the files in which each colour occurs; unreadable files are skipped.

    Args:
        paths: The files.
        most: Greatest number of colours.
        workers: Number of processes that read files.

    Raises:
        DatasetError: If there are more colours.
    """
    counts: Counter[tuple[int, ...]] = Counter()
    for outcome in run_each(_colours_of, paths, workers=workers):
        counts.update(outcome.value if isinstance(outcome, Success) else ())
        if len(counts) > most:
            raise DatasetError(
                f"the label files have more than {most} colours, for example "
                f"{paths[outcome.index]}; expected a colour per class. Export the labels without "
                "smoothing, as .png."
            )
    return counts


def _colours_of(path: Path) -> list[tuple[int, ...]]:
    content = content_of(path)
    return [] if content is None else [tuple(map(int, colour)) for colour in content.colours]


def numbers_in_colours(found: Iterable[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Return the colours of all values in order, if one channel alone has small numbers."""
    used = [place for place in range(COLOUR_CHANNELS) if any(colour[place] for colour in found)]
    largest = max((max(colour) for colour in found), default=0)
    if len(used) != 1 or largest > MAX_CLASSES:
        return ()
    black = [0] * COLOUR_CHANNELS
    return tuple((*black[: used[0]], value, *black[used[0] + 1 :]) for value in range(largest + 1))
