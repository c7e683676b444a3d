import numpy as np
from normalized import normalized

from autoseg.normalizers.zscore import ZScore


def test_the_whole_image_gets_zero_mean_and_unit_deviation() -> None:
    channel = np.random.default_rng(0).normal(1000, 3, (6, 7, 8)).astype(np.float32)
    result = normalized(ZScore(), channel, channel > 1000)
    expected = (channel.astype(np.float64) - channel.mean(dtype=float)) / channel.std(dtype=float)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_only_voxels_inside_the_mask_count_and_change_when_masked() -> None:
    channel = np.array([[0.0, 0.0, 1.0, 3.0]], dtype=np.float32)
    result = normalized(ZScore(masked=True), channel, channel > 0)
    np.testing.assert_allclose(result, [[0.0, 0.0, -1.0, 1.0]])


def test_a_zero_inside_the_mask_is_an_intensity_like_any_other() -> None:
    channel = np.array([[0.0, 2.0, 4.0]], dtype=np.float32)
    result = normalized(ZScore(masked=True), channel, np.ones((1, 3), dtype=bool))
    assert result[0, 0] == -result[0, 2]


def test_an_empty_mask_leaves_everything_zero() -> None:
    channel = np.zeros((3, 4), dtype=np.float32)
    assert not normalized(ZScore(masked=True), channel, channel > 0).any()
