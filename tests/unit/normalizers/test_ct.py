import numpy as np
import pytest
from normalized import normalized
from pydantic import ValidationError

from autoseg.normalizers.ct import ComputedTomography

LIVER = ComputedTomography(mean=100.0, std=50.0, percentile_00_5=-20.0, percentile_99_5=200.0)


def test_intensities_beyond_the_percentiles_are_clipped_before_scaling() -> None:
    channel = np.array([[-1000.0, -20.0, 100.0, 150.0, 3000.0]], dtype=np.float32)
    result = normalized(LIVER, channel, np.ones((1, 5), dtype=bool))
    np.testing.assert_allclose(result, [[-2.4, -2.4, 0.0, 1.0, 2.0]], rtol=1e-6)


def test_a_dataset_with_constant_foreground_does_not_divide_by_zero() -> None:
    flat = ComputedTomography(mean=5.0, std=0.0, percentile_00_5=5.0, percentile_99_5=5.0)
    channel = np.array([[0.0, 9.0]], dtype=np.float32)
    assert np.array_equal(normalized(flat, channel, channel != 0), [[0.0, 0.0]])


def test_exchanged_clipping_bounds_are_refused() -> None:
    with pytest.raises(ValidationError, match="Exchange them"):
        ComputedTomography(mean=0.0, std=1.0, percentile_00_5=2.0, percentile_99_5=1.0)
