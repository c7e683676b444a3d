import numpy as np
from normalized import normalized

from autoseg.normalizers.zero_one import ZeroOne


def test_the_darkest_voxel_becomes_zero_and_the_brightest_one() -> None:
    channel = np.array([[-10.0, 0.0, 30.0]], dtype=np.float32)
    np.testing.assert_allclose(normalized(ZeroOne(), channel, channel > 0), [[0.0, 0.25, 1.0]])
