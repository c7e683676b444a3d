"""The Python API: one object, many images, label values in the file's orientation."""

import numpy as np
import pytest
import SimpleITK
from fakes import save_model, threshold_model, tiny_configuration, tiny_plan
from synthetic import balls, write_volume

from autoseg.inference.selected_model import as_selected_model
from autoseg.readers import read_image
from autoseg.stages.predict.predictor import Predictor

FLIPPED = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], dtype=float)
"""Voxel axes that are permuted and reversed against the world, array order."""


@pytest.fixture
def predictor(tmp_path):
    """Return a predictor that thresholds instead of running its random network."""
    configuration = tiny_configuration((8, 8, 8))
    plan = tiny_plan(configuration, axis_order=(0, 1, 2))
    made = Predictor(save_model(tmp_path / "work", plan, configuration, (0,)), device="cpu")
    made.model = as_selected_model(threshold_model(plan))
    return made


@pytest.fixture
def turned_file(tmp_path):
    """Return a volume whose file has an unusual orientation."""
    voxels, _ = balls(np.random.default_rng(0), (12, 20, 16))
    path = tmp_path / "turned.nii.gz"
    write_volume(voxels, path, spacing=(1.0, 1.0, 1.0), origin=(5, -3, 7), direction=FLIPPED)
    return path, np.select([voxels > 8, voxels > 4.5], [7, 3], 0)


def test_values_have_the_orientation_of_the_file(predictor, turned_file):
    path, expected = turned_file
    np.testing.assert_array_equal(predictor.predict(path), expected)


@pytest.mark.parametrize("form", [str, lambda path: [path], lambda path: read_image((path,))])
def test_a_name_a_list_of_channels_and_an_image_in_memory_do_as_well(predictor, turned_file, form):
    path, expected = turned_file
    np.testing.assert_array_equal(predictor.predict(form(path)), expected)


def test_a_segmentation_knows_its_geometry_and_writes_it(predictor, turned_file, tmp_path):
    path, expected = turned_file
    found = predictor.segment(path)
    assert found.geometry == read_image((path,)).stored_geometry
    found.save(tmp_path / "out" / "labels.nii.gz")
    image, labels = (
        SimpleITK.ReadImage(str(file)) for file in (path, tmp_path / "out" / "labels.nii.gz")
    )
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(labels), expected)
    assert labels.GetSpacing() == image.GetSpacing()
    assert labels.GetOrigin() == image.GetOrigin()
    assert labels.GetDirection() == image.GetDirection()


def test_a_file_with_a_single_slice_keeps_its_three_axes(tmp_path):
    configuration = tiny_configuration((8, 8))
    plan = tiny_plan(configuration, axis_order=(0, 1))
    made = Predictor(save_model(tmp_path / "work", plan, configuration, (0,)), device="cpu")
    made.model = as_selected_model(threshold_model(plan))
    voxels, _ = balls(np.random.default_rng(0), (20, 16))
    path = tmp_path / "slice.nii.gz"
    write_volume(voxels[None], path, spacing=(3.0, 1.0, 1.0))
    found = made.segment(path)
    assert found.values.shape == (1, 20, 16)
    assert found.geometry.spacing == (3.0, 1.0, 1.0)
