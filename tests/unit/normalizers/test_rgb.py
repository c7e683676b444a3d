import numpy as np
import pytest
from normalized import normalized

from autoseg.core.errors import CaseError
from autoseg.normalizers.rgb import RGB


def test_eight_bit_colours_end_between_zero_and_one() -> None:
    channel = np.array([[0.0, 51.0, 255.0]], dtype=np.float32)
    np.testing.assert_allclose(
        normalized(RGB(), channel, channel > 0), [[0.0, 0.2, 1.0]], rtol=1e-6
    )


@pytest.mark.parametrize("value", [-1.0, 256.0])
def test_other_intensities_are_refused_with_an_alternative(value: float) -> None:
    channel = np.full((2, 2), value, dtype=np.float32)
    with pytest.raises(CaseError, match="zero_one"):
        normalized(RGB(), channel, channel > 0)
