import numpy as np

from autoseg.normalizers.zero_one import ZeroOne


def test_the_darkest_voxel_becomes_zero_and_the_brightest_one() -> None:
    channel = np.array([[-10.0, 0.0, 30.0]], dtype=np.float32)
    np.testing.assert_allclose(ZeroOne().apply(channel, channel > 0), [[0.0, 0.25, 1.0]])
