"""Whole folders whose names allow several readings: what is paired, and what is refused."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_picture

from autoseg.core.errors import DatasetError
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.recognition import Recognition, case_names
from autoseg.documents.dataset import LayoutOptions

SHAPE = (24, 32)


def put_photos(root: Path, paths: Iterable[str]) -> None:
    for seed, path in enumerate(paths):
        photo = np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), np.uint8)
        write_picture(photo, root / path)


def put_masks(root: Path, paths: Iterable[str], *, value: int = 1) -> None:
    for seed, path in enumerate(paths):
        mask = np.zeros(SHAPE, np.uint8)
        mask[2 + seed % 5 : 12, 3 : 12 + seed % 11] = value
        write_picture(mask, root / path)


def found(root: Path, tmp_path: Path, **options: tuple[str, ...]) -> Recognition:
    return recognise(root, LayoutOptions(**options), label_maps=tmp_path / "maps")


def pairs(recognition: Recognition) -> list[tuple[list[str], str]]:
    """Return the images and labels of each case, without folders."""
    spec = recognition.spec
    cases = (*spec.cases, *spec.test_cases)
    return [([path.stem for path in case.images], case.labels.stem) for case in cases]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "dataset"


def test_numbers_are_compared_by_the_word_before_them(root: Path, tmp_path: Path) -> None:
    numbers = ((1, 2), (2, 3), (3, 1), (4, 4), (2, 1))
    put_photos(root, (f"images/goat{a}_walk{b}.png" for a, b in numbers))
    put_masks(root, (f"masks/walk{b}_goat{a}.png" for a, b in numbers))
    assert sorted(pairs(found(root, tmp_path))) == [
        ([f"goat{a}_walk{b}"], f"walk{b}_goat{a}") for a, b in sorted(numbers)
    ]


def test_the_last_of_several_numbers_does_not_name_a_case(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"images/{n}9_{n}.png" for n in range(1, 5)))
    put_masks(root, (f"masks/8{n}_{n}.png" for n in range(1, 5)))
    put_masks(root, (f"masks/7{n}_{n + 4}.png" for n in range(1, 6)))
    with pytest.raises(DatasetError, match="no image with labels was recognised"):
        found(root, tmp_path)


def test_fields_of_patterns_name_cases_channels_and_groups(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"a/{n}x{n}-{k}.png" for n in (1, 2, 3, 4) for k in ("warm", "cold")))
    put_masks(root, (f"b/f{n // 3}/{n}y.png" for n in (1, 2, 3, 4)))
    recognition = found(
        root, tmp_path, images=("a/{case}x*-{channel}.png",), labels=("b/*/{case}y.png",)
    )
    assert pairs(recognition)[0] == (["1x1-cold", "1x1-warm"], "1y")
    assert "channels: 6 without names, counted in the files cold, warm" in recognition.spec.inferred


def test_a_group_and_a_part_of_a_pattern_are_used(root: Path, tmp_path: Path) -> None:
    names = [f"{part}/{herd}{n}" for part in ("train", "test") for herd in "pq" for n in (1, 2)]
    put_photos(root, (f"{name}_{k}.png" for k, name in enumerate(names)))
    put_masks(root, (f"{name}_{k}_mask.png" for k, name in enumerate(names)))
    text = "{part}/{group}_{case}"
    recognition = found(root, tmp_path, images=(f"{text}.png",), labels=(f"{text}_mask.png",))
    spec = recognition.spec
    assert [case.group for case in spec.cases] == ["p1", "p2", "q1", "q2"]
    assert [case.name for case in spec.test_cases] == ["p1_4", "p2_5", "q1_6", "q2_7"]


def test_a_case_of_a_pattern_joins_with_names_that_are_found(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"images/{n}.png" for n in (3, 4, 5)))
    put_masks(root, (f"masks/2024_{n}_v{n + 1}.png" for n in (3, 4, 5)))
    recognition = found(root, tmp_path, labels=("masks/2024_{case}_v*.png",))
    assert pairs(recognition) == [([str(n)], f"2024_{n}_v{n + 1}") for n in (3, 4, 5)]


def test_a_word_for_labels_may_belong_to_the_name_of_a_case(root: Path, tmp_path: Path) -> None:
    names = [f"{word}_{n}" for word in ("bare", "mask") for n in (1, 2, 3)]
    put_photos(root, (f"images/{name}.png" for name in names))
    put_masks(root, (f"annots/{name}.png" for name in names))
    assert sorted(pairs(found(root, tmp_path))) == [([name], name) for name in names]


@pytest.mark.parametrize("kinds", [("left", "right"), ("2019", "2020"), ("baseline", "later")])
def test_what_only_some_images_share_with_labels_is_part_of_the_case(
    root: Path, tmp_path: Path, kinds: tuple[str, str]
) -> None:
    put_photos(root, (f"images/P{n}_{kind}.png" for n in (1, 2, 3) for kind in kinds))
    put_masks(root, (f"masks/P{n}_{kinds[0]}.png" for n in (1, 2, 3)))
    recognition = found(root, tmp_path)
    assert pairs(recognition) == [([f"P{n}_{kinds[0]}"], f"P{n}_{kinds[0]}") for n in (1, 2, 3)]
    assert any("3 images without labels" in note for note in recognition.notes)


def test_the_labelled_slice_is_the_case(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"images/P{n}/{k}.png" for n in (1, 2, 3) for k in range(1, 6)))
    put_masks(root, (f"masks/P{n}/3.png" for n in (1, 2, 3)))
    assert pairs(found(root, tmp_path)) == [(["3"], "3")] * 3


@pytest.mark.parametrize("kinds", [("left", "right"), ("2019", "2020"), ("3", "7"), ("pre", "2")])
def test_images_that_may_be_cases_are_not_channels(
    root: Path, tmp_path: Path, kinds: tuple[str, str]
) -> None:
    put_photos(root, (f"images/ewe{n}_{kind}.png" for n in (11, 12, 13) for kind in kinds))
    put_masks(root, (f"masks/ewe{n}.png" for n in (11, 12, 13)))
    with pytest.raises(DatasetError, match="may be channels or cases") as error:
        found(root, tmp_path)
    options = [f"images/ewe{{case}}_{kind}.png" for kind in kinds]
    assert all(f"--image '{option}'" in str(error.value) for option in options)
    one = found(root, tmp_path, images=(options[1],))
    assert pairs(one)[0] == ([f"ewe11_{kinds[1]}"], "ewe11")
    both = found(root, tmp_path, images=tuple(options))
    assert len(pairs(both)[0][0]) == 2


def test_channels_are_stated(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"{n}/{kind}.png" for n in (4, 5, 6) for kind in ("warm", "cold")))
    put_masks(root, (f"{n}/mask.png" for n in (4, 5, 6)))
    inferred = found(root, tmp_path).spec.inferred
    assert "channels: 6 without names, counted in the files cold, warm" in inferred


@pytest.mark.parametrize("word", ["overlay", "softmax", "thumb"])
def test_images_made_from_others_are_not_channels(root: Path, tmp_path: Path, word: str) -> None:
    put_photos(root, (f"{n}/{kind}.png" for n in (4, 5, 6) for kind in ("photo", word)))
    put_masks(root, (f"{n}/mask.png" for n in (4, 5, 6)))
    recognition = found(root, tmp_path)
    assert [images for images, _ in pairs(recognition)] == [["photo"]] * 3
    assert any(word in note for note in recognition.notes)


def test_numbers_of_channels_are_not_those_of_cases(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"scans/{n:04d}_{k:04d}.png" for n in range(3) for k in range(2)))
    put_masks(root, (f"masks/{n:04d}.png" for n in range(3)))
    expected = [([f"{n:04d}_{k:04d}" for k in range(2)], f"{n:04d}") for n in range(3)]
    assert pairs(found(root, tmp_path)) == expected


def test_a_constant_number_of_labels_is_not_the_id_of_a_case(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"images/{n}.png" for n in range(1, 5)))
    put_masks(root, (f"masks/{n}_1.png" for n in range(1, 5)))
    assert pairs(found(root, tmp_path)) == [([f"{n}"], f"{n}_1") for n in range(1, 5)]


@pytest.mark.parametrize(
    "names",
    [("1_1_2", "1_2_2", "1_2_1", "2_1_1"), ("01_2020-01-02", "01_2020-02-01", "02_2020-02-02")],
)
def test_numbers_may_repeat_in_a_name(root: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    put_photos(root, (f"images/{name}.png" for name in names))
    put_masks(root, (f"masks/{name}_mask.png" for name in names))
    assert pairs(found(root, tmp_path)) == [([name], f"{name}_mask") for name in sorted(names)]


@pytest.mark.parametrize(("image", "label"), [("{}", "{:02d}"), ("P{:02d}", "P{}")])
def test_leading_zeros_lose_no_case(root: Path, tmp_path: Path, image: str, label: str) -> None:
    put_photos(root, (f"images/{image.format(n)}.png" for n in range(1, 21)))
    put_masks(root, (f"masks/{label.format(n)}.png" for n in range(1, 21)))
    expected = sorted(([image.format(n)], label.format(n)) for n in range(1, 21))
    assert sorted(pairs(found(root, tmp_path))) == expected


def test_rows_of_one_image_are_label_files_of_one_case(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"a/{n}.png" for n in (1, 2, 3)))
    put_masks(root, (f"b/q{n}_wool.png" for n in (7, 8, 9)))
    for n in (7, 8, 9):
        mask = np.zeros(SHAPE, np.uint8)
        mask[14:20, 20 : 22 + n] = 1
        write_picture(mask, root / f"b/q{n}_horn.png")
    rows = [f"a/{n}.png,b/q{n + 6}_{kind}.png" for n in (1, 2, 3) for kind in ("wool", "horn")]
    (root / "pairs.csv").write_text("\n".join(["image,mask", *rows]) + "\n")
    spec = found(root, tmp_path).spec
    assert [case.name for case in spec.cases] == ["1", "2", "3"]
    assert spec.labels.names == ("background", "horn", "wool")


def test_images_of_a_test_part_are_not_trained_on(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"images/{'test' if n > 4 else 'train'}/{n}.png" for n in range(1, 7)))
    put_masks(root, (f"masks/{n}.png" for n in range(1, 7)))
    spec = found(root, tmp_path).spec
    assert [case.name for case in spec.cases] == ["1", "2", "3", "4"]
    assert [case.name for case in spec.test_cases] == ["5", "6"]


@pytest.mark.parametrize(
    ("names", "num_test"),
    [
        (("Pat_Anna1", "Pat_Max2", "Test_Max1", "Pat_Eva3"), 0),
        (("herd_train/1", "herd_train/2", "herd_train/3", "herd_test/4"), 1),
        (("herd/1", "herd/2", "herd/3", "herd_test/4"), 1),
    ],
)
def test_a_word_of_a_part_may_belong_to_a_name(
    root: Path, tmp_path: Path, names: tuple[str, ...], num_test: int
) -> None:
    put_photos(root, (f"{name}/photo.png" for name in names))
    put_masks(root, (f"{name}/mask.png" for name in names))
    spec = found(root, tmp_path).spec
    assert len(spec.test_cases) == num_test
    assert len(spec.cases) == len(names) - num_test


@pytest.mark.parametrize(
    ("folders", "groups"),
    [
        (("sub-01/ses-01", "sub-01/ses-02", "sub-02/ses-01"), ["sub-01", "sub-01", "sub-02"]),
        (("film_a/1", "film_a/2", "film_b/1"), ["a", "a", "b"]),
        (("north/1", "north/2", "south/1"), [None] * 3),
        (("1", "2", "3"), [None] * 3),
    ],
)
def test_the_outermost_folder_of_several_cases_is_a_group(
    root: Path, tmp_path: Path, folders: tuple[str, ...], groups: list[str | None]
) -> None:
    put_photos(root, (f"{folder}/photo.png" for folder in folders))
    put_masks(root, (f"{folder}/mask.png" for folder in folders))
    spec = found(root, tmp_path).spec
    assert [case.group for case in spec.cases] == groups
    assert any("from folders" in sentence for sentence in spec.inferred) == (groups[0] is not None)


def test_the_source_of_groups_is_stated(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"images/c{n}.png" for n in (1, 2, 3)))
    put_masks(root, (f"masks/c{n}_mask.png" for n in (1, 2, 3)))
    (root / "who.csv").write_text("case,patient_sex,patient_id\nc1,f,a\nc2,m,a\nc3,f,b\n")
    spec = found(root, tmp_path).spec
    assert [case.group for case in spec.cases] == ["a", "a", "b"]
    assert "groups: 2 groups, such as a, from who.csv" in spec.inferred


def test_names_of_cases_are_found_with_the_same_options(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"ewe{n}_{kind}.png" for n in (11, 12) for kind in ("left", "right")))
    put_masks(root, (f"ewe{n}_mask.png" for n in (11, 12)))
    options = LayoutOptions(images=("ewe{case}_left.png",))
    spec = recognise(root, options).spec
    assert case_names(root, options).training == {case.name for case in spec.cases}
    with pytest.raises(DatasetError, match="may be channels or cases"):
        case_names(root)


def test_an_unreadable_mask_does_not_change_the_role_of_the_others(
    root: Path, tmp_path: Path
) -> None:
    put_photos(root, (f"images/{n}.png" for n in range(1, 6)))
    put_masks(root, (f"masks/{n}.png" for n in range(1, 6)))
    (root / "masks/1.png").write_bytes(b"broken")
    assert (["2"], "2") in pairs(found(root, tmp_path))


def test_many_whole_numbers_that_fill_areas_are_labels_if_a_word_says_it(
    root: Path, tmp_path: Path
) -> None:
    put_photos(root, (f"P{n}/photo.png" for n in (1, 2, 3)))
    regions = np.kron(np.arange(80, dtype=np.uint8).reshape(8, 10) * 3, np.ones((4, 4), np.uint8))
    for n in (1, 2, 3):
        write_picture(np.roll(regions, n, axis=1), root / f"P{n}/seg.png")
    with pytest.raises(DatasetError, match="80 different values"):
        found(root, tmp_path)


def test_images_of_one_folder_and_a_mask_are_one_case(root: Path, tmp_path: Path) -> None:
    put_photos(root, ("P1/t1.png", "P1/t2.png"))
    put_masks(root, ("P1/seg.png",))
    assert pairs(found(root, tmp_path)) == [(["t1", "t2"], "seg")]


def test_two_cases_without_words_are_told_apart_by_their_contents(
    root: Path, tmp_path: Path
) -> None:
    put_photos(root, (f"c{n}/horse.png" for n in (1, 2)))
    put_masks(root, (f"c{n}/rider.png" for n in (1, 2)))
    assert pairs(found(root, tmp_path)) == [(["horse"], "rider")] * 2


def test_a_refusal_counts_roles_and_shows_options(root: Path, tmp_path: Path) -> None:
    put_photos(root, (f"images/a{letter}.png" for letter in "xyz"))
    put_masks(root, (f"masks/q{letter}.png" for letter in "rst"))
    with pytest.raises(DatasetError) as error:
        found(root, tmp_path)
    text = str(error.value)
    assert "3 files, such as images/ax.png, taken as images" in text
    assert "3 files, such as masks/qr.png, taken as labels" in text
    assert "only 0 of 3 label files share a name with an image" in text
    assert "--image 'images/{case}.png' --label 'masks/{case}.png'" in text
