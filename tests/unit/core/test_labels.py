import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelScheme


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 255, 7), (5, 0, 2**16), (0, 2**21, 9)])
def test_label_values_survive_encoding_and_decoding(values: tuple[int, ...]) -> None:
    scheme = LabelScheme(names=("background", "one", "two"), values=values)
    stored = np.random.default_rng(0).choice(values, (4, 5, 6)).astype(np.uint32)
    classes = scheme.encode(stored)
    assert classes.dtype == np.uint8
    assert np.array_equal(classes == 1, stored == values[1])
    assert np.array_equal(scheme.decode(classes), stored)


def test_more_than_256_classes_need_two_bytes() -> None:
    scheme = LabelScheme(names=tuple(map(str, range(300))), values=tuple(range(300)))
    assert scheme.encode(np.array([[299]], dtype=np.uint16)).dtype == np.uint16


def test_a_value_without_a_name_is_listed() -> None:
    scheme = LabelScheme(names=("background", "one"), values=(0, 4))
    with pytest.raises(DatasetError, match=r"\[2, 3\]"):
        scheme.encode(np.array([[0, 2], [3, 4]], dtype=np.uint8))
