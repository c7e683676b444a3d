"""Memory of the stages for a large picture, in bytes per pixel of three channels.

NumPy reports its arrays to tracemalloc. A single copy as float32 would take 12 bytes per pixel, and
one array of 8-byte indices 8.
"""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakes import tiny_configuration, tiny_plan
from PIL import Image

from autoseg.core.labels import LabelScheme
from autoseg.datasets.inspection import inspect_case
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.evaluation.cases import score_case
from autoseg.normalizers.zscore import ZScore
from autoseg.readers import read_labels
from autoseg.stages.preprocess import PreparationTask, prepare

SIZE = 3000

LABELS = LabelScheme(names=("background", "cell", "nucleus"), values=(0, 1, 2))


@contextmanager
def less_than(bytes_per_pixel: float) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / SIZE**2
    finally:
        tracemalloc.stop()
    assert peak < bytes_per_pixel


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> CaseFiles:
    folder: Path = tmp_path_factory.mktemp("pictures")
    part = np.random.default_rng(0).integers(0, 255, (50, 60, 3), dtype=np.uint8)
    blobs = np.zeros((50, 60), np.uint8)
    blobs[5:30, 10:40], blobs[10:20, 15:25] = 1, 2
    repeats = SIZE // 50, SIZE // 60
    paths = folder / "image.png", folder / "labels.png"
    for path, pixels in zip(paths, (part, blobs), strict=True):
        whole = np.tile(pixels, (*repeats, *(1,) * (pixels.ndim - 2)))
        Image.fromarray(whole).save(path, compress_level=1)
    return CaseFiles(name="picture", images=paths[:1], labels=paths[1])


def test_planning_measures_a_picture_without_a_copy_as_float32(files) -> None:
    spec = DatasetSpec(
        name="pictures",
        root=files.labels.parent,
        layout="test",
        num_axes=2,
        channel_names=("red", "green", "blue"),
        labels=LABELS,
        cases=(files,),
    )
    with less_than(9):
        inspect_case(files, spec, at_coarser_voxels=True)


def test_training_prepares_a_picture_band_by_band(files, tmp_path) -> None:
    configuration = tiny_configuration((64, 64), num_channels=3).model_copy(
        update={"normalizers": (ZScore(),) * 3}
    )
    plan = tiny_plan(configuration, axis_order=(0, 1), num_channels=3)
    plan = plan.model_copy(update={"labels": LABELS})
    with less_than(17):
        prepare(PreparationTask(files, tmp_path / "picture", "key", plan, configuration))


def test_scoring_a_picture_takes_no_indices_of_all_its_voxels(files) -> None:
    labels = read_labels(files.labels).values
    moved = np.roll(labels, 2, axis=0)
    with less_than(20):
        score_case("picture", moved, labels, spacing=(1.0, 1.0))
