from pathlib import Path, PurePosixPath

import pytest

from autoseg.core.errors import DatasetError
from autoseg.datasets.recognition.inventory import Item
from autoseg.datasets.recognition.patterns import (
    PathPattern,
    choose_by_patterns,
    choose_test_cases,
    suggest_case_pattern,
    suggest_pattern,
)
from autoseg.datasets.recognition.roles import name_items
from autoseg.documents.dataset import CaseFiles


def item(text: str) -> Item:
    path = PurePosixPath(text)
    return Item(path, path.stem, path.suffix)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("images/{case}.png", "images/7.png", {"case": "7"}),
        ("images/{case}.png", "images/a/7.png", None),
        ("**/{case}.png", "a/b/7.png", {"case": "7"}),
        ("{case}/{case}_seg.nii", "p1/p1_seg.nii", {"case": "p1"}),
        ("{case}/{case}_seg.nii", "p1/p2_seg.nii", None),
        ("{case}_{channel}.nii", "p1_t2.nii", {"case": "p1", "channel": "t2"}),
        ("*/{case}.png", "x/7.png", {"case": "7"}),
        ("a+b/{case}.png", "a+b/7.png", {"case": "7"}),
    ],
)
def test_a_pattern_picks_out_the_fields(
    pattern: str, path: str, expected: dict[str, str] | None
) -> None:
    assert PathPattern(pattern).match(PurePosixPath(path)) == expected


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"unknown field \{name\}; expected \{case\}"):
        PathPattern("images/{name}.png")


def test_files_that_do_not_fit_lose_the_role() -> None:
    named = name_items([item(f"{n}_{kind}.png") for n in "ab" for kind in ("img", "seg1", "seg2")])
    chosen = choose_by_patterns(named, (), ("{case}_seg2.png",))
    roles = {entry.item.path.name: entry.words.role for entry in chosen}
    assert roles["a_seg2.png"] == "label"
    assert roles["a_seg1.png"] == "unused"
    assert roles["a_img.png"] == "image"


def test_a_pattern_without_any_file_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"no file fits the pattern 'x/\{case\}.png'; .* a.png"):
        choose_by_patterns(name_items([item("a.png")]), ("x/{case}.png",), ())


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        ("case_007/seg_a.nii", ("007",), "case_{case}/seg_a.nii"),
        ("Image_01L_first.png", ("01", "l"), "Image_{case}_first.png"),
        ("p1/p1_f02_gt.nii", ("p1", "f02"), "*/{case}_gt.nii"),
        ("north/masks/3.png", ("north", "3"), "*/masks/*.png"),
        ("MRI_n/scan07_n.png", ("7", "n"), "MRI_*/scan{case}.png"),
        ("P1_road_5.png", ("p1", "5"), "*_road_*.png"),
    ],
)
def test_a_suggested_pattern_fits_its_file(path: str, key: tuple[str, ...], expected: str) -> None:
    (named,) = name_items([item(path)])
    assert suggest_pattern(named, key) == expected
    assert PathPattern(expected).match(PurePosixPath(path)) is not None


@pytest.mark.parametrize(
    ("paths", "key", "expected"),
    [
        (("north/P1/seg_2020.png", "north/P2/seg_2021.png"), ("p1",), "north/{case}/seg_*.png"),
        (("train_lines/a1.png", "test_lines/a2.png"), ("a1",), "*_lines/{case}.png"),
        (("case01/task01_s.png", "case02/task01_s.png"), ("01",), "case{case}/task01_s.png"),
        (("01_GT/m000.png", "02_GT/m000.png", "01_GT/m001.png"), ("01", "000"), "*_GT/m*.png"),
    ],
)
def test_a_suggested_pattern_fits_all_files_of_a_kind(
    paths: tuple[str, ...], key: tuple[str, ...], expected: str
) -> None:
    named = name_items([item(path) for path in paths])
    assert suggest_pattern(named[0], key, named) == expected
    assert all(PathPattern(expected).match(PurePosixPath(path)) is not None for path in paths)


def test_one_name_of_a_path_is_suggested_as_the_case() -> None:
    named = name_items([item(f"P{n}/scan_{n * 3}.png") for n in (1, 2)])
    assert suggest_case_pattern(named) == "*/scan_{case}.png"


def test_the_fields_of_a_pattern_replace_the_tokens_of_the_path() -> None:
    named = name_items([item(f"w{n}/x{n}y_{kind}.png") for n in (1, 2) for kind in ("red", "blue")])
    chosen = choose_by_patterns(named, ("w*/{case}y_{channel}.png",), ())
    assert [entry.words.key for entry in chosen[:2]] == [("x1", "red"), ("x1", "blue")]


def test_files_that_the_fields_do_not_tell_apart_keep_their_other_tokens() -> None:
    named = name_items([item(f"x{n}_{kind}.png") for n in (1, 2) for kind in ("red", "blue")])
    chosen = choose_by_patterns(named, ("{case}_red.png", "{case}_blue.png"), ())
    assert {entry.words.key for entry in chosen} == {
        (f"x{n}", kind) for n in (1, 2) for kind in ("red", "blue")
    }


def test_a_field_that_is_repeated_by_mistake_is_refused() -> None:
    named = name_items([item(f"case{n}/task1_seg.png") for n in (1, 2, 3)])
    with pytest.raises(DatasetError, match=r"fits the files of 1 of 3 cases. Write \*"):
        choose_by_patterns(named, (), ("case{case}/task{case}_seg.png",))
    named = name_items([item(f"P{n}/P{n}{kind}.png") for n in (1, 2) for kind in ("", "_old")])
    chosen = choose_by_patterns(named, (), ("{case}/{case}.png",))
    assert [entry.words.role for entry in chosen] == ["label", None] * 2


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"\{part\} stands for 'spare' in spare/a.png"):
        choose_by_patterns(name_items([item("spare/a.png")]), ("{part}/{case}.png",), ())


def test_a_pattern_of_test_cases_leaves_training_cases_of_the_same_name() -> None:
    training, test = (
        [
            CaseFiles(name=f"p{n}", images=(Path(f"/d/{part}/p{n}.png"),), labels=Path(f"/l/{n}"))
            for n in range(2)
        ]
        for part in ("train", "test")
    )
    chosen = choose_test_cases(training, test, ["test/*"], Path("/d"))
    assert chosen == (tuple(training), tuple(test))
