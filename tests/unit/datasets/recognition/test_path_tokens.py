from pathlib import PurePosixPath

import pytest

from autoseg.datasets.recognition.tokens import Part, PathTokens, path_tokens, tokens


def read(path: str) -> PathTokens:
    found = PurePosixPath(path)
    return path_tokens(found, found.name.split(".")[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Patient_007", ("patient", "007")),
        ("leftImg8bit", ("left", "img", "8", "bit")),
        ("imagesTr", ("images", "tr")),
        ("scan_T1ce", ("scan", "t1ce")),
        ("1. Original Images", ("original", "images")),
        ("b. Testing Set", ("testing", "set")),
        ("JPEGImages", ("jpeg", "images")),
        ("3f9a77c01de2", ("3f9a77c01de2",)),
        ("Größe_12", ("größe", "12")),
    ],
)
def test_names_are_split_into_tokens(name: str, expected: tuple[str, ...]) -> None:
    assert tokens(name) == expected


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("images/7.png", "image"),
        ("masks/7.png", "label"),
        ("masks/image_7.png", "label"),
        ("images/7_mask.png", "label"),
        ("Dataset/7.png", None),
        ("annotations/raw/7.png", "image"),
        ("case_7/segmentation.nii.gz", "label"),
        ("case_7/imaging.nii.gz", "image"),
    ],
)
def test_words_say_whether_a_file_is_an_image_or_a_label(path: str, role: str | None) -> None:
    assert read(path).role == role


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("train/images/7.png", Part.TRAINING),
        ("images/validation/7.png", Part.VALIDATION),
        ("imagesTs/7.png", Part.TEST),
        ("Test_Set/7.png", Part.TEST),
        ("BraTS/7.png", None),
        ("trains/7.png", None),
    ],
)
def test_words_say_the_part(path: str, part: Part | None) -> None:
    assert read(path).part is part


def test_a_key_holds_repeated_ids_once() -> None:
    found = read("sub-02/ses-01/sub-02_ses-01_run-02.nii")
    assert found.key == ("sub", "02", "ses", "01", "run", "02")
    assert found.folder_key == ("sub", "02", "ses", "01")


def test_a_key_has_no_words_of_roles_and_parts() -> None:
    assert read("training/labels/train_0012_mask.png").key == ("0012",)
