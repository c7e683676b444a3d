import numpy as np

from autoseg.core.case import Prior
from autoseg.inference.framing import Frame


def test_padding_is_zero_and_symmetric_with_an_odd_voxel_behind():
    frame = Frame.around((3, 8, 2), (6, 4, 4))
    padded = frame.applied(np.ones((1, 3, 8, 2), dtype=np.float32))
    assert padded.shape == (1, 6, 8, 4)
    assert frame.shape == (6, 8, 4)
    assert frame.box == (slice(1, 4), slice(0, 8), slice(1, 3))
    np.testing.assert_array_equal(padded[0, :, 0, 1], [0, 1, 1, 1, 0, 0])


def test_a_volume_that_needs_nothing_is_not_copied():
    volume = np.ones((2, 4, 4, 4), dtype=np.float32)
    assert Frame.around((4, 4, 4), (4, 4, 4)).applied(volume) is volume


def test_with_a_margin_all_is_mirrored():
    frame = Frame.around((4,), (6,), (2,))
    np.testing.assert_array_equal(
        frame.applied(np.array([[0, 1, 2, 3]])), [[3, 2, 1, 0, 1, 2, 3, 2, 1, 0]]
    )
    assert frame.shape == (6,)
    assert frame.with_margin((6,)) == (10,)
    assert frame.box == (slice(1, 5),)


def test_a_margin_of_the_plane_leaves_the_axis_in_front_alone():
    frame = Frame.around((3, 5), (1, 5), (1,))
    assert frame.applied(np.zeros((3, 5))).shape == (3, 7)


def test_what_a_previous_stage_predicted_is_framed_like_the_image():
    classes = np.array([[0, 1, 2, 3]])
    frame = Frame.around((1, 1, 4), (1, 1, 6), (0, 0, 2))
    framed = frame.applied_to_prior(Prior(classes=classes, num_channels=3))
    np.testing.assert_array_equal(framed.classes, frame.applied(classes.reshape(1, 1, 4)))
    assert framed.num_channels == 3
    assert frame.applied_to_prior(None) is None
