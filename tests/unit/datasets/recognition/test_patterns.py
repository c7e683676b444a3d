from pathlib import PurePosixPath

import pytest

from autoseg.core.errors import DatasetError
from autoseg.datasets.recognition.inventory import Item
from autoseg.datasets.recognition.patterns import PathPattern, choose_by_patterns, suggest_pattern
from autoseg.datasets.recognition.roles import name_items


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
        ("p1/p1_f02_gt.nii", ("1", "02"), "p*/p{case}_gt.nii"),
        ("north/masks/3.png", ("north", "3"), "*/masks/{case}.png"),
    ],
)
def test_a_suggested_pattern_fits_its_file(path: str, key: tuple[str, ...], expected: str) -> None:
    (named,) = name_items([item(path)])
    assert suggest_pattern(named, key) == expected
    assert PathPattern(expected).match(PurePosixPath(path)) is not None


def test_other_tokens_that_differ_between_files_are_any_text() -> None:
    (named,) = name_items([item("north/P1/seg_20200101.png")])
    assert suggest_pattern(named, ("p1",), {"20200101"}) == "north/{case}/seg_*.png"


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


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"\{part\} stands for 'spare' in spare/a.png"):
        choose_by_patterns(name_items([item("spare/a.png")]), ("{part}/{case}.png",), ())
