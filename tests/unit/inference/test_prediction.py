"""A model with known output segments images of every orientation, crop and spacing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import LABELS, threshold_model, tiny_configuration, tiny_plan
from scipy import ndimage
from synthetic import balls
from torch import nn

from autoseg.architectures import NetworkOutput
from autoseg.core.case import Image, InverseTransform
from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry, Reorientation
from autoseg.documents.preparation import Resampling
from autoseg.inference.cascade_input import cascade_input_as_nnunet
from autoseg.inference.prediction import (
    export_orders,
    predict_image,
    prepare_for_model,
    with_cascade_input,
)
from autoseg.inference.selected_model import ReadyModel, as_selected_model
from autoseg.models.loader import LoadedModel
from autoseg.preprocessing.crop import fill_holes, nonzero_voxels


def image_of(voxels, spacing=None):
    axes = voxels.ndim - 1
    geometry = Geometry.plain(spacing or (1.0,) * axes)
    same = Reorientation(axes=tuple(range(axes)), flips=(False,) * axes)
    return Image(voxels=voxels, geometry=geometry, stored_geometry=geometry, reorientation=same)


def predicted(image: Image, model: LoadedModel):
    return predict_image(image, as_selected_model(model))


def thresholded(voxels):
    """Return the label values that the fake model predicts: 0 below 4.5, 3 up to 8, 7 above."""
    return np.select([voxels > 8, voxels > 4.5], [7, 3], 0)


@pytest.mark.parametrize("axis_order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("patch", [(8, 8, 8), (8, 8)], ids=["3d network", "2d network"])
def test_without_resampling_every_voxel_gets_its_own_class(axis_order, patch):
    voxels, _ = balls(np.random.default_rng(0), (12, 20, 16))
    model = threshold_model(tiny_plan(tiny_configuration(patch), axis_order=axis_order))
    found = predicted(image_of(voxels[None]), model)
    np.testing.assert_array_equal(found, thresholded(voxels))
    assert set(np.unique(found)) == {0, 3, 7}


def test_a_picture_stays_two_dimensional():
    voxels, _ = balls(np.random.default_rng(0), (33, 21))
    model = threshold_model(tiny_plan(tiny_configuration((8, 8)), axis_order=(1, 0)))
    found = predicted(image_of(voxels[None]), model)
    np.testing.assert_array_equal(found, thresholded(voxels))


def test_after_resampling_the_labels_stay_where_they_were():
    voxels = np.full((1, 16, 30, 24), 1.0, dtype=np.float32)
    voxels[0, 4:12, 9:21, 6:18] = 6
    configuration = tiny_configuration((8, 8, 8), spacing=(2.0, 1.5, 1.0))
    model = threshold_model(tiny_plan(configuration, axis_order=(0, 1, 2)))
    found = predicted(image_of(voxels), model)
    expected = thresholded(voxels[0])
    assert found.shape == (16, 30, 24)
    differing = found != expected
    box = np.zeros(expected.shape, dtype=bool)
    box[4:12, 9:21, 6:18] = True
    inner, outer = ndimage.binary_erosion(box), ndimage.binary_dilation(box)
    assert not np.any(differing & (inner | ~outer))
    assert np.count_nonzero(differing) < 0.3 * np.count_nonzero(expected)


def test_an_image_without_any_nonzero_voxel_is_background():
    model = threshold_model(tiny_plan(tiny_configuration((8, 8, 8)), axis_order=(0, 1, 2)))
    found = predicted(image_of(np.zeros((1, 9, 9, 9), dtype=np.float32)), model)
    assert not found.any()


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.zeros((2, 9, 9, 9), dtype=np.float32), "2 channels"),
        (np.zeros((1, 9, 9), dtype=np.float32), "2 axes"),
        (np.full((1, 9, 9, 9), np.nan, dtype=np.float32), "729 NaN or infinite"),
    ],
)
def test_an_image_of_another_kind_is_refused(voxels, message):
    model = threshold_model(tiny_plan(tiny_configuration((8, 8, 8)), axis_order=(0, 1, 2)))
    with pytest.raises(CaseError, match=message):
        predicted(image_of(voxels), model)


@pytest.mark.parametrize(
    ("prepared_spacing", "spacing", "expected"),
    [
        ((5.0, 1.0, 1.0), (5.0, 1.0, 1.0), (0, 1, 1)),
        ((1.0, 1.0, 1.0), (4.0, 1.0, 1.0), (0, 1, 1)),
        ((1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1, 1, 1)),
        ((9.0, 1.0), (1.0, 1.0), (1, 1)),
    ],
)
def test_only_the_coarse_axis_of_anisotropic_volumes_takes_the_nearest_plane(
    prepared_spacing, spacing, expected
):
    shape = (4,) * len(spacing)
    way_back = InverseTransform.uncropped(shape, spacing, shape, prepared_spacing)
    assert export_orders(way_back, Resampling()) == expected


class Trusting(nn.Module):
    """Repeats the previous stage's prediction, and checks that it has two channels."""

    def forward(self, image):
        assert image.shape[1] == 3
        return NetworkOutput(logits=torch.cat([0.5 + 0 * image[:, :1], image[:, 1:]], dim=1))


def cascade(coarse_spacing, *, patch=(8, 8, 8), spacing=None):
    """Return a model whose first stage thresholds and whose second repeats."""
    coarse = tiny_configuration((8, 8, 8), name="coarse", spacing=coarse_spacing)
    single = tiny_configuration(patch, name="cascade", spacing=spacing)
    network = single.architecture.model_copy(update={"in_channels": 3})
    fine = single.model_copy(update={"architecture": network, "previous_stage": "coarse"})
    plan = tiny_plan(fine, coarse, axis_order=(2, 0, 1))
    first = threshold_model(plan.model_copy(update={"default_configuration": "coarse"}))
    second = threshold_model(plan)
    return replace(second, networks=(Trusting(),), previous=first)


def test_a_cascade_gets_what_its_previous_stage_predicts():
    voxels, _ = balls(np.random.default_rng(0), (12, 20, 16))
    found = predicted(image_of(voxels[None]), cascade((1.0, 1.0, 1.0)))
    np.testing.assert_array_equal(found, thresholded(voxels))


def test_an_image_smaller_than_the_patch_is_padded_together_with_the_cascade_input():
    voxels, _ = balls(np.random.default_rng(0), (12, 20, 16))
    model = cascade((1.0, 1.0, 1.0), patch=(24, 16, 24))
    found = predicted(image_of(voxels[None]), model)
    np.testing.assert_array_equal(found, thresholded(voxels))


def test_a_coarser_stage_is_brought_to_the_grid_of_the_next():
    voxels = np.full((1, 16, 30, 24), 1.0, dtype=np.float32)
    voxels[0, 4:12, 9:21, 6:18] = 6
    model = cascade((2.0, 1.5, 1.5), spacing=(1.0, 1.0, 1.0))
    assert model.previous is not None
    alone = predicted(image_of(voxels), model.previous)
    found = predicted(image_of(voxels), model)
    assert set(np.unique(found)) == {0, 3}
    # at this spacing the grid of the cascade is that of the image
    np.testing.assert_array_equal(found, alone)


def test_a_model_of_nnunet_gets_labels_that_were_at_the_resolution_of_the_image():
    voxels, _ = balls(np.random.default_rng(0), (16, 24, 20))
    image = image_of(voxels[None])
    exact = cascade((2.0, 2.0, 2.0), spacing=(1.5, 1.5, 1.5))
    imported = exact.configuration.model_copy(update={"blending": "nnunet"})
    prepared = prepare_for_model(image, exact)
    nnunet = replace(exact, configuration=imported)
    found = with_cascade_input(
        prepare_for_model(image, nnunet), ReadyModel.of(nnunet)
    ).cascade_input
    direct = with_cascade_input(prepared, ReadyModel.of(exact)).cascade_input
    assert exact.previous is not None
    assert found is not None
    assert direct is not None
    labels = LABELS.encode(predicted(image, exact.previous))
    outside = ~fill_holes(nonzero_voxels(image.voxels))
    expected = cascade_input_as_nnunet(labels, outside, prepared.restoration, imported.resampling)
    np.testing.assert_array_equal(found.classes, expected)
    differing = np.count_nonzero(found.classes != direct.classes)
    assert 0 < differing < 0.05 * expected.size


def test_an_image_is_prepared_for_every_stage():
    voxels, _ = balls(np.random.default_rng(0), (12, 20, 16))
    prepared = prepare_for_model(image_of(voxels[None]), cascade((2.0, 2.0, 2.0)))
    assert prepared.previous is not None
    assert prepared.previous.voxels.shape == (1, 7, 5, 9)  # the border of zeros is cut off
    assert prepared.cascade_input is None


def test_the_grid_that_logits_come_from_decides_which_axis_is_coarse() -> None:
    way = InverseTransform.uncropped((8, 8, 8), (1.0, 1.0, 6.0), (8, 8, 8), (5.0, 1.0, 1.0))
    assert export_orders(way, Resampling()) == (0, 1, 1)
