"""The prediction of a stage becomes the input of the next stage, as in nnU-Net for its models."""

import numpy as np
from fakes import LABELS

from autoseg.core.case import InverseTransform
from autoseg.core.labels import Region
from autoseg.documents.preparation import Resampling
from autoseg.inference.cascade_input import cascade_input_as_nnunet, to_cascade_input


def restoration(shape, prepared_shape, crop=None):
    return InverseTransform(
        axis_order=(0, 1, 2),
        full_shape=shape,
        crop=crop or tuple((0, size) for size in shape),
        spacing=(1.0, 1.0, 1.0),
        prepared_shape=prepared_shape,
        prepared_spacing=(1.0, 1.0, 1.0),
    )


def test_background_outside_does_not_add_to_that_inside():
    classes = np.array([[[0, 0], [0, 1]], [[0, 0], [1, 1]]], dtype=np.uint8)
    outside = np.array([[[1, 1], [1, 0]], [[0, 0], [0, 0]]], dtype=bool)
    to_one = restoration(classes.shape, (1, 1, 1))
    resampling = Resampling()
    assert cascade_input_as_nnunet(classes, None, to_one, resampling).item() == 0  # 5 of 8
    assert (
        cascade_input_as_nnunet(classes, outside, to_one, resampling).item() == 1
    )  # 3, of 3, 2 and 3


def test_what_was_predicted_outside_stays():
    classes = np.ones((2, 2, 2), dtype=np.uint8)
    same = restoration(classes.shape, classes.shape)
    found = cascade_input_as_nnunet(classes, np.ones(classes.shape, bool), same, Resampling())
    np.testing.assert_array_equal(found, classes)


def test_the_crop_is_what_is_seen():
    classes = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    outside = classes % 2 == 0
    box = restoration(classes.shape, (1, 2, 3), crop=((1, 2), (0, 2), (0, 3)))
    found = cascade_input_as_nnunet(classes, outside, box, Resampling())
    np.testing.assert_array_equal(found, classes[1:2, :2])
    assert found.dtype == np.uint8


def test_the_last_index_of_a_byte_has_room():
    classes = np.full((1, 2, 2), 255, dtype=np.uint8)
    classes[0, 0] = 0
    same = restoration(classes.shape, classes.shape)
    found = cascade_input_as_nnunet(classes, classes == 0, same, Resampling())
    np.testing.assert_array_equal(found, classes)
    assert found.dtype == np.uint8


def test_the_next_stage_gets_the_classes_of_predicted_regions():
    whole = Region(name="whole", values=(3, 7), written_as=3)
    core = Region(name="core", values=(7,), written_as=7)
    outputs = np.array([[[0, 1, 2]]], dtype=np.uint8)
    cascade_input = to_cascade_input(outputs, LABELS.model_copy(update={"regions": (whole, core)}))
    np.testing.assert_array_equal(cascade_input.classes, [[[0, 1, 2]]])
    swapped = to_cascade_input(outputs, LABELS.model_copy(update={"regions": (core, whole)}))
    np.testing.assert_array_equal(swapped.classes, [[[0, 2, 1]]])
    assert swapped.num_channels == 2
    np.testing.assert_array_equal(swapped.one_hot()[:, 0, 0], [[0, 0, 1], [0, 1, 0]])
