import numpy as np

from autoseg.core.case import CascadeInput
from autoseg.inference.padding import Padding


def test_padding_is_zero_and_symmetric_with_an_odd_voxel_behind():
    padding = Padding.around((3, 8, 2), (6, 4, 4))
    padded = padding.apply(np.ones((1, 3, 8, 2), dtype=np.float32))
    assert padded.shape == (1, 6, 8, 4)
    assert padding.shape == (6, 8, 4)
    assert padding.box == (slice(1, 4), slice(0, 8), slice(1, 3))
    np.testing.assert_array_equal(padded[0, :, 0, 1], [0, 1, 1, 1, 0, 0])


def test_a_volume_that_needs_nothing_is_not_copied():
    volume = np.ones((2, 4, 4, 4), dtype=np.float32)
    assert Padding.around((4, 4, 4), (4, 4, 4)).apply(volume) is volume


def test_with_a_margin_all_is_mirrored():
    padding = Padding.around((4,), (6,), (2,))
    np.testing.assert_array_equal(
        padding.apply(np.array([[0, 1, 2, 3]])), [[3, 2, 1, 0, 1, 2, 3, 2, 1, 0]]
    )
    assert padding.shape == (6,)
    assert padding.with_margin((6,)) == (10,)
    assert padding.box == (slice(1, 5),)


def test_a_margin_of_the_plane_leaves_the_axis_in_front_alone():
    padding = Padding.around((3, 5), (1, 5), (1,))
    assert padding.apply(np.zeros((3, 5))).shape == (3, 7)


def test_what_a_previous_stage_predicted_is_framed_like_the_image():
    classes = np.array([[0, 1, 2, 3]])
    padding = Padding.around((1, 1, 4), (1, 1, 6), (0, 0, 2))
    framed = padding.apply_to_cascade_input(CascadeInput(classes=classes, num_channels=3))
    np.testing.assert_array_equal(framed.classes, padding.apply(classes.reshape(1, 1, 4)))
    assert framed.num_channels == 3
    assert padding.apply_to_cascade_input(None) is None
