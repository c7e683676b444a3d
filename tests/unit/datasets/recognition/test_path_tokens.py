from pathlib import PurePosixPath

import pytest

from autoseg.datasets.recognition.tokens import (
    Part,
    PathTokens,
    find_part_names,
    path_tokens,
    tokens,
)


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
        ("SKINmask", ("skin", "mask")),
        ("CTScan", ("ct", "scan")),
        ("CTres", ("ctres",)),
        ("rawimages", ("raw", "images")),
        ("testmasks", ("test", "masks")),
        ("trainval", ("trainval",)),
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
        ("train_val/7.png", Part.TRAINING),
        ("TrainingData/1/LabelsForTesting.png", Part.TRAINING),
        ("hold_out/7.png", None),
        ("holdout/7.png", Part.TEST),
    ],
)
def test_words_say_the_part(path: str, part: Part | None) -> None:
    assert read(path).part is part


def test_a_key_holds_repeated_ids_once() -> None:
    found = read("sub-02/ses-01/sub-02_ses-01_run-02.nii")
    assert found.key == ("sub-02", "ses-01", "run-02")
    assert found.folder_key == ("sub-02", "ses-01")


def test_a_key_has_no_words_of_roles_and_parts() -> None:
    assert read("training/labels/train_0012_mask.png").key == ("0012",)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("1/1_1_2.png", ("1", "1", "2")),
        ("01/01_2020-01-02.png", ("01", "2020", "01", "02")),
        ("P1/P1/P1_7.png", ("p1", "7")),
    ],
)
def test_only_ids_of_folders_are_not_repeated(path: str, key: tuple[str, ...]) -> None:
    assert read(path).key == key


def test_a_word_of_a_role_may_be_part_of_the_key() -> None:
    found = read("images/mask_7.png")
    assert (found.role, found.folder_role) == ("label", "image")
    assert found.with_words(frozenset({"mask"})).key == ("mask", "7")


@pytest.mark.parametrize(
    ("paths", "part"),
    [
        (("test_max1/a.png", "train_eva2/a.png"), None),
        (("test_max1/a.png", "train_max2/a.png"), Part.TEST),
        (("lung_test/a.png", "lung/a.png"), Part.TEST),
        (("test/a.png", "other/a.png"), Part.TEST),
        (("imagesTs/a.png", "other/a.png"), Part.TEST),
        (("birds-TE/a.png", "birds-TR/a.png"), Part.TEST),
        (("birds-TE/a.png", "birds/a.png"), None),
        (("TE/a.png", "training/a.png"), Part.TEST),
        (("final_test/a.png", "train/a.png"), Part.TEST),
        (("final_test/a.png", "lung_train/a.png"), None),
        (("testA/a.png", "lung/a.png"), Part.TEST),
    ],
)
def test_other_words_next_to_a_part_must_be_those_of_other_names(
    paths: tuple[str, str], part: Part | None
) -> None:
    names = find_part_names((PurePosixPath(path), "a") for path in paths)
    assert path_tokens(PurePosixPath(paths[0]), "a", names).part is part


def test_another_word_of_a_part_in_a_folder_of_a_part_belongs_to_the_key() -> None:
    assert read("training/1/LabelsForTraining.png").key == ("1", "for")
    assert read("training/1/LabelsForTesting.png").key == ("1", "for", "testing")
    assert read("training01/training01_07_flair.png").key == ("01", "07", "flair")
