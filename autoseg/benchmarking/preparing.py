"""Time preprocessing as a whole, and resampling alone."""

from collections.abc import Sequence
from functools import partial
from itertools import count
from math import prod

import numpy as np

from autoseg.benchmarking.reading import READING_FLOOR, unpacked_bytes
from autoseg.benchmarking.sample import Sample
from autoseg.benchmarking.timing import RowLabel, TimeLimit, throughput, time_alternately
from autoseg.core.arrays import ImageArray
from autoseg.core.case import InverseTransform
from autoseg.core.formatting import format_shape
from autoseg.documents.bench import Throughput
from autoseg.documents.plan import Configuration
from autoseg.preprocessing.crop import crop
from autoseg.preprocessing.resample import resample_image, separate_axis
from autoseg.preprocessing.storage import StoredCase, open_case
from autoseg.readers import read_image
from autoseg.stages.preprocess import PreparationTask, prepare

BYTES_PER_INTENSITY = 4

STRETCH = 1.25
"""Factor per axis by which resampling is timed if no case changes its size."""


def time_preparing(
    sample: Sample, configuration: Configuration, time_limit: TimeLimit
) -> Throughput:
    """Time how fast one process prepares cases; the prepared cases are kept.

    Args:
        sample: The sample.
        configuration: The configuration to prepare for.
        time_limit: Time limit of the row.
    """
    label = RowLabel(
        stage="preprocess",
        unit="cases",
        measured_is="reading, preparing and storing, by one process",
        floor_is=f"{READING_FLOOR}; writing arrays of that size",
        configuration=configuration.name,
    )
    keys = map(str, count())  # a new key each time, so that no case counts as already prepared

    def prepare_cases() -> None:
        key = next(keys)
        for files in sample.project.dataset.cases:
            folder = sample.project.workspace.preprocessed(configuration.data_name) / files.name
            prepare(PreparationTask(files, folder, key, sample.project.plan, configuration))

    def read_and_write() -> None:
        unpacked_bytes(sample.project.dataset.cases)
        for case in prepared_cases(sample, configuration):
            path = sample.project.workspace.root / "floor.bin"
            np.ones(stored_bytes(case, len(sample.project.plan.channel_names)), np.uint8).tofile(
                path
            )

    pairs = time_alternately(prepare_cases, read_and_write, time_limit)
    return throughput(pairs, float(len(sample.project.dataset.cases)), label)


def prepared_cases(sample: Sample, configuration: Configuration) -> tuple[StoredCase, ...]:
    """Open the prepared cases of a sample."""
    folder = sample.project.workspace.preprocessed(configuration.data_name)
    return tuple(open_case(folder / name) for name in sample.names)


def stored_bytes(case: StoredCase, num_channels: int) -> int:
    """Return the uncompressed size of a prepared case's image and labels, bytes."""
    return prod(case.shape) * (BYTES_PER_INTENSITY * num_channels + 1)


def time_resampling(
    sample: Sample, configuration: Configuration, time_limit: TimeLimit
) -> Throughput:
    """Time how fast an image is resampled; the cases must be prepared.

    Args:
        sample: The sample.
        configuration: The configuration with the target spacing.
        time_limit: Time limit of the row.
    """
    place, shape = resampled_most(prepared_cases(sample, configuration), configuration)
    case = prepared_cases(sample, configuration)[place]
    image = _cropped_channel(sample, place, case.record.restoration)
    rules = configuration.resampling
    coarse = _separate_axis(case.record.restoration, configuration)
    label = RowLabel(
        stage="resampling",
        unit="Mvoxel",
        measured_is=f"one channel from {format_shape(image.shape[1:])} to {format_shape(shape)}, "
        f"order {rules.image_order}",
        floor_is="a copy of the result",
        configuration=configuration.name,
    )
    resampled, copied = np.ones((2, 1, *shape), np.float32)

    def resample() -> None:
        resample_image(
            image,
            shape,
            order=rules.image_order,
            separate_axis=coarse,
            separate_axis_order=rules.separate_axis_order,
        )

    pairs = time_alternately(resample, partial(np.copyto, copied, resampled), time_limit)
    return throughput(pairs, prod(shape) / 1e6, label)


def resampled_most(
    cases: Sequence[StoredCase], configuration: Configuration
) -> tuple[int, tuple[int, ...]]:
    """Return the index and new shape of the resampled case with the most voxels.

    If no case changes its size, the largest case is used, enlarged along the axes of the patch.
    """
    ways = [case.record.restoration for case in cases]
    changing = [place for place, way in enumerate(ways) if way.cropped_shape != way.prepared_shape]
    place = max(changing or range(len(ways)), key=lambda place: prod(ways[place].prepared_shape))
    shape = ways[place].prepared_shape
    if changing:
        return place, shape
    kept = len(shape) - configuration.topology.num_axes
    return place, (*shape[:kept], *(round(STRETCH * size) for size in shape[kept:]))


def _cropped_channel(sample: Sample, place: int, restoration: InverseTransform) -> ImageArray:
    """Return the first channel of a case after the crop and before resampling."""
    voxels = read_image(sample.project.dataset.cases[place].images).voxels[:1]
    planned = voxels.transpose(0, *(axis + 1 for axis in restoration.axis_order))
    return np.ascontiguousarray(crop(planned, restoration.crop))


def _separate_axis(restoration: InverseTransform, configuration: Configuration) -> int | None:
    threshold = configuration.resampling.anisotropy_threshold
    return separate_axis(restoration.spacing, restoration.prepared_spacing, threshold)
