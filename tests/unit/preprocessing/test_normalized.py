import numpy as np
import pytest

from autoseg.normalizers import NORMALIZERS
from autoseg.preprocessing.normalized import NormalizedVoxels

FIELDS = {"mean": 90.0, "std": 30.0, "percentile_00_5": 10.0, "percentile_99_5": 200.0}
ALL = [
    NORMALIZERS.parse({"kind": kind, **(FIELDS if kind == "ct" else {})}) for kind in NORMALIZERS
] + [NORMALIZERS.parse({"kind": "zscore", "masked": True})]


@pytest.fixture(params=ALL, ids=str)
def normalizers(request):
    return (request.param,) * 2


@pytest.fixture(params=[(19, 17), (7, 9, 8)], ids=["picture", "volume"])
def stored(request):
    return np.random.default_rng(0).integers(0, 255, (2, *request.param), dtype=np.uint8)


def test_parts_equal_the_whole_bit_for_bit(normalizers, stored) -> None:
    inside = stored[0] > 30
    voxels = NormalizedVoxels.of(stored, normalizers, inside)
    whole = np.asarray(voxels)
    assert whole.dtype == voxels.dtype == np.float32
    bands = [voxels[:, start : start + 3] for start in range(0, stored.shape[1], 3)]
    assert np.concatenate(bands, axis=1).tobytes() == whole.tobytes()
    assert np.array_equal(voxels[1, 2, 3:5], whole[1, 2, 3:5])
    assert np.array_equal(voxels.channel(1), whole[1])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_integers_are_normalised_as_the_same_numbers_in_float32(normalizers, stored, kind) -> None:
    inside = stored[0] > 30
    found, expected = (
        np.asarray(NormalizedVoxels.of(stored.astype(dtype), normalizers, inside))
        for dtype in (kind, np.float32)
    )
    assert found.tobytes() == expected.tobytes()
