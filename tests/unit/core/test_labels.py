import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelScheme, Region


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


def test_values_that_are_indices_already_are_not_copied() -> None:
    scheme = LabelScheme(names=("background", "one", "two"), values=(0, 1, 2))
    stored = np.array([[0, 2], [1, 0]], dtype=np.uint8)
    assert scheme.encode(stored) is stored
    wider = scheme.encode(stored.astype(np.uint16))
    assert wider.dtype == np.uint8
    assert np.array_equal(wider, stored)


def test_a_value_without_a_name_is_listed() -> None:
    scheme = LabelScheme(names=("background", "one"), values=(0, 4))
    with pytest.raises(DatasetError, match=r"\[2, 3\]"):
        scheme.encode(np.array([[0, 2], [3, 4]], dtype=np.uint8))


WHOLE = Region(name="whole", values=(7, 1, 4), written_as=1)
CORE = Region(name="core", values=(7,), written_as=7)
OVERLAPPING = LabelScheme(
    names=("background", "one", "two", "three"),
    values=(0, 4, 1, 7),
    regions=(WHOLE, CORE),
    ignore=9,
)


def test_regions_are_made_of_class_indices() -> None:
    assert OVERLAPPING.target_classes == ((1, 2, 3), (3,))
    plain = OVERLAPPING.model_copy(update={"regions": ()})
    assert plain.target_classes == ((1,), (2,), (3,))


def test_ignored_voxels_get_the_index_after_all_classes() -> None:
    found = OVERLAPPING.encode(np.array([[0, 9, 7, 4]], dtype=np.uint8))
    assert found.tolist() == [[0, 4, 3, 1]]
    assert OVERLAPPING.ignored_index == 4


def test_predicted_regions_are_written_as_their_values() -> None:
    assert OVERLAPPING.num_outputs == 2
    assert OVERLAPPING.decode(np.array([[0, 1, 2]])).tolist() == [[0, 1, 7]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ignore": 4}, "ignore value 4 is also a class value"),
        ({"regions": (WHOLE, WHOLE)}, "distinct names"),
        ({"regions": (Region(name="x", values=(0, 1), written_as=1),)}, r"values \[0, 1\]"),
        ({"regions": (Region(name="x", values=(1,), written_as=5),)}, "written as 5"),
    ],
)
def test_regions_and_ignored_values_fit_the_classes(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LabelScheme.model_validate(OVERLAPPING.model_dump() | changes)


def test_a_large_label_map_is_converted_part_by_part(monkeypatch) -> None:
    labels = LabelScheme(names=("background", "a", "b"), values=(0, 7, 9))
    values = np.random.default_rng(0).choice(np.uint8([0, 7, 9]), (30, 4, 5))
    at_once = labels.encode(values)
    monkeypatch.setattr("autoseg.core.arrays.PART_VOXELS", 50)
    assert np.array_equal(labels.encode(values), at_once)
    assert np.array_equal(labels.decode(at_once), values)
