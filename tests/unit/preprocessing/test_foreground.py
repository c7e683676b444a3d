import numpy as np

from autoseg.core.labels import LabelScheme, Region
from autoseg.preprocessing import foreground
from autoseg.preprocessing.foreground import sample_foreground


def classes_of(number: int) -> LabelScheme:
    return LabelScheme(names=tuple(map(str, range(number))), values=tuple(range(number)))


def test_all_voxels_of_a_small_class_are_listed_in_array_order() -> None:
    classes = np.random.default_rng(0).integers(0, 4, (6, 7, 8)).astype(np.uint8)
    background, *found = sample_foreground(classes, classes_of(5), "case")
    assert background.shape == (0, 3)
    for value, positions in enumerate(found, start=1):
        assert positions.dtype == np.int32
        assert np.array_equal(positions, np.argwhere(classes == value))


def test_positions_in_the_middle_of_a_volume_count_from_its_corner(monkeypatch) -> None:
    classes = np.zeros((9, 10, 11), dtype=np.uint8)
    classes[3:7, 4:6, 5:] = np.random.default_rng(0).integers(0, 3, (4, 2, 6))
    at_once = sample_foreground(classes, classes_of(3), "case")
    monkeypatch.setattr(foreground, "SLAB_VOXELS", 13)
    slab_by_slab = sample_foreground(classes, classes_of(3), "case")
    for value in (1, 2):
        assert np.array_equal(at_once[value], np.argwhere(classes == value))
        assert np.array_equal(slab_by_slab[value], at_once[value])


def test_two_dimensional_cases_have_two_coordinates() -> None:
    classes = np.zeros((5, 6), dtype=np.uint16)
    classes[2, 3] = 1
    assert sample_foreground(classes, classes_of(2), "case")[1].tolist() == [[2, 3]]


def test_a_large_class_is_sampled_without_repetition(monkeypatch) -> None:
    monkeypatch.setattr(foreground, "SMALLEST_SAMPLE", 50)
    classes = np.zeros((10, 30, 30), dtype=np.uint8)
    classes[1:9] = 2
    classes[:, :, :3] = 1
    _, one, two = sample_foreground(classes, classes_of(3), "case")
    assert (len(one), len(two)) == (50, 65)  # at least 50, or 1 % of 6480 rounded up
    assert len(np.unique(two, axis=0)) == 65
    assert np.all(classes[tuple(two.T)] == 2)
    assert len(np.unique(two[:, 0])) > 4  # from all over the volume


def test_a_huge_class_is_capped(monkeypatch) -> None:
    monkeypatch.setattr(foreground, "LARGEST_SAMPLE", 20)
    assert len(sample_foreground(np.ones((9, 9), dtype=np.uint8), classes_of(2), "case")[1]) == 20


def test_the_draw_depends_on_the_case_alone(monkeypatch) -> None:
    monkeypatch.setattr(foreground, "SMALLEST_SAMPLE", 10)
    classes = np.ones((20, 20), dtype=np.uint8)
    first, again, other = (
        sample_foreground(classes, classes_of(2), name)[1].tolist() for name in ("a", "a", "b")
    )
    assert first == again
    assert first != other


SPARSE = LabelScheme(
    names=("background", "a", "b", "c"),
    values=(0, 1, 2, 3),
    regions=(
        Region(name="whole", values=(1, 2, 3), written_as=1),
        Region(name="core", values=(3, 2), written_as=2),
    ),
    ignore=9,
)


def test_voxels_of_a_region_are_those_of_its_classes() -> None:
    classes = np.random.default_rng(0).integers(0, 5, (6, 7, 8)).astype(np.uint8)
    annotated, whole, core = sample_foreground(classes, SPARSE, "case")
    assert np.array_equal(annotated, np.argwhere(classes < 4))
    assert np.array_equal(whole, np.argwhere((classes > 0) & (classes < 4)))
    assert np.array_equal(core, np.argwhere((classes == 2) | (classes == 3)))


def test_a_large_region_is_sampled_without_repetition(monkeypatch) -> None:
    monkeypatch.setattr(foreground, "SMALLEST_SAMPLE", 40)
    classes = np.random.default_rng(0).integers(0, 5, (6, 17, 18)).astype(np.uint8)
    for positions, members in zip(
        sample_foreground(classes, SPARSE, "case"), [(0, 1, 2, 3), (1, 2, 3), (2, 3)], strict=True
    ):
        assert len(np.unique(positions, axis=0)) == 40
        assert np.isin(classes[tuple(positions.T)], members).all()
        assert len(np.unique(positions[:, 0])) == 6


def test_a_case_that_nobody_annotated_has_no_positions() -> None:
    found = sample_foreground(np.full((3, 4), 4, np.uint8), SPARSE, "case")
    assert [positions.shape for positions in found] == [(0, 2)] * 3


def test_the_sample_of_classes_is_the_one_of_earlier_versions(monkeypatch) -> None:
    monkeypatch.setattr(foreground, "SMALLEST_SAMPLE", 3)
    classes = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    _, one, two = sample_foreground(classes, classes_of(3), "case")
    assert one.tolist() == [[1, 0, 5], [2, 0, 3], [2, 4, 3]]
    assert two.tolist() == [[0, 1, 5], [1, 0, 0], [3, 1, 3]]
