"""Time preprocessing as a whole, and resampling alone."""

from collections.abc import Sequence
from functools import partial
from itertools import count
from math import prod

import numpy as np

from autoseg.benchmarking.reading import READING_FLOOR, unpacked_bytes
from autoseg.benchmarking.sample import Sample
from autoseg.benchmarking.target import Target
from autoseg.benchmarking.timing import time_row
from autoseg.core.arrays import ImageArray
from autoseg.core.case import InverseTransform
from autoseg.core.formatting import format_shape
from autoseg.documents.bench import Throughput
from autoseg.documents.plan import Configuration
from autoseg.preprocessing.crop import crop
from autoseg.preprocessing.resample import resample_into, separate_axis
from autoseg.preprocessing.storage import StoredCase
from autoseg.readers import read_image
from autoseg.stages.preprocess import PreparationTask, prepare

STRETCH = 1.25
"""Factor per axis by which resampling is timed if no case changes its size."""


def time_preparing(target: Target) -> Throughput:
    """Time how fast one process prepares cases; the prepared cases are kept."""
    label = target.label(
        "preprocess",
        "cases",
        measured_is="reading, preparing and storing, by one process",
        floor_is=f"{READING_FLOOR}; writing arrays of that size",
    )
    project, configuration = target.sample.project, target.configuration
    keys = map(str, count())  # a new key each time, so that no case counts as already prepared

    def prepare_cases() -> None:
        key = next(keys)
        for files in project.dataset.cases:
            folder = project.workspace.preprocessed(configuration.data_name) / files.name
            prepare(PreparationTask(files, folder, key, project.plan, configuration))

    def read_and_write() -> None:
        unpacked_bytes(project.dataset.cases)
        for case in target.cases:
            path = project.workspace.root / "floor.bin"
            np.ones(target.stored_bytes(case), np.uint8).tofile(path)

    amount = float(len(project.dataset.cases))
    return time_row(label, amount, prepare_cases, read_and_write, target.time_limit)


def time_resampling(target: Target) -> Throughput:
    """Time how fast an image is resampled."""
    configuration = target.configuration
    place, shape = resampled_most(target.cases, configuration)
    way = target.cases[place].record.restoration
    image = _cropped_channel(target.sample, place, way)
    rules = configuration.resampling
    coarse = separate_axis(way.spacing, way.prepared_spacing, rules.anisotropy_threshold)
    label = target.label(
        "resampling",
        "Mvoxel",
        measured_is=f"one channel from {format_shape(image.shape[1:])} to {format_shape(shape)}, "
        f"order {rules.image_order}",
        floor_is="a copy of the result",
    )
    resampled, copied = np.ones((2, 1, *shape), np.float32)

    def resample() -> None:
        resample_into(
            np.empty(shape, np.float32),
            image[0],
            order=rules.image_order,
            separate_axis=coarse,
            separate_axis_order=rules.separate_axis_order,
        )

    floor = partial(np.copyto, copied, resampled)
    return time_row(label, prod(shape) / 1e6, resample, floor, target.time_limit)


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
    return np.ascontiguousarray(crop(planned, restoration.crop), np.float32)
