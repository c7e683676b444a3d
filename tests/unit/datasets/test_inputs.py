from pathlib import Path

import numpy as np
import pytest
from synthetic import write_picture, write_volume

from autoseg.core.errors import DatasetError
from autoseg.datasets.inputs import channel_files_warning, find_inputs

VOLUME = np.zeros((3, 5, 7), np.uint8)


def put(folder: Path, *names: str) -> None:
    for name in names:
        if name.endswith(".png"):
            write_picture(np.zeros((6, 9, 3), np.uint8), folder / name)
        else:
            write_volume(VOLUME, folder / name, spacing=(1.0, 1.0, 1.0))


def test_every_image_of_a_folder_is_a_case(tmp_path: Path) -> None:
    put(tmp_path, "b.nii.gz", "a.mha")
    (tmp_path / ".DS_Store").write_text("stray")
    (tmp_path / "._a.mha").write_text("stray")
    (tmp_path / "notes.txt").write_text("stray")
    cases = find_inputs(tmp_path, num_channels=1)
    assert [(case.name, case.ending, case.issue) for case in cases] == [
        ("a", ".mha", ""),
        ("b", ".nii.gz", ""),
    ]


def test_channel_files_are_grouped(tmp_path: Path) -> None:
    put(tmp_path, "a_0001.nii.gz", "a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz")
    cases = find_inputs(tmp_path, num_channels=2)
    assert [case.name for case in cases] == ["a", "b"]
    assert [path.name for path in cases[0].images] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert not any(case.issue for case in cases)


@pytest.mark.parametrize(
    ("names", "num_channels", "words"),
    [
        (("a_0000.nii.gz", "a_0001.nii.gz"), 3, "2 channel files"),
        (("a_0000.nii.gz", "a_0002.nii.gz"), 2, "without a gap"),
        (("a_0000.nii.gz",), 2, "1 channel file "),
        (("a.nii.gz", "a.mha"), 1, "several inputs have this name"),
    ],
)
def test_incomplete_cases_carry_their_issue(
    names: tuple[str, ...], num_channels: int, words: str, tmp_path: Path
) -> None:
    put(tmp_path, *names, "good.nii.gz")
    faulty, good = find_inputs(tmp_path, num_channels=num_channels)
    assert faulty.name == "a"
    assert words in faulty.issue
    assert good.issue == ""


def test_a_lone_channel_number_is_no_part_of_the_name(tmp_path: Path) -> None:
    put(tmp_path, "a_0000.nii.gz", "b_0007.nii.gz", "rgb_0000.png")
    names = [case.name for case in find_inputs(tmp_path, num_channels=1)]
    assert names == ["a", "b_0007", "rgb"]


def test_numbered_frames_are_cases_of_their_own(tmp_path: Path) -> None:
    put(tmp_path, *(f"frame_{index:04d}.png" for index in range(3)))
    for num_channels in (1, 3):
        cases = find_inputs(tmp_path, num_channels=num_channels)
        assert [case.name for case in cases] == ["frame_0000", "frame_0001", "frame_0002"]
        assert not any(case.issue for case in cases)


def test_channels_that_a_model_of_one_takes_for_cases_are_named(tmp_path: Path) -> None:
    put(tmp_path, *(f"{case}_{index:04d}.nii.gz" for case in "ab" for index in range(4)))
    cases = find_inputs(tmp_path, num_channels=1)
    sentence = channel_files_warning(cases, num_channels=1)
    assert sentence.startswith("a_0000 … a_0003 look like the channels of one case (and the same")
    assert "for 1 other), but the model takes one channel" in sentence
    assert channel_files_warning(find_inputs(tmp_path, num_channels=4), num_channels=4) == ""


@pytest.mark.parametrize("numbers", [(0,), (1, 2), tuple(range(30))])
def test_other_numbers_are_no_channels(numbers: tuple[int, ...], tmp_path: Path) -> None:
    put(tmp_path, *(f"frame_{index:04d}.png" for index in numbers))
    assert channel_files_warning(find_inputs(tmp_path, num_channels=1), num_channels=1) == ""


def test_one_file_is_one_case(tmp_path: Path) -> None:
    put(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b.nii.gz")
    (case,) = find_inputs(tmp_path / "b.nii.gz", num_channels=1)
    assert case.name == "b"
    (case,) = find_inputs(tmp_path / "a_0001.nii.gz", num_channels=2)
    assert (case.name, len(case.images)) == ("a", 2)
    (case,) = find_inputs(tmp_path / "a_0001.nii.gz", num_channels=1)
    assert (case.name, len(case.images)) == ("a_0001", 1)


def test_nothing_to_predict_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("text")
    for name, words in [
        ("empty", "contains no images"),
        ("text.txt", "is not a known image file"),
        ("nowhere", "does not exist"),
    ]:
        with pytest.raises(DatasetError, match=words):
            find_inputs(tmp_path / name, num_channels=1)
