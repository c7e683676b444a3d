"""Test sets: where they are looked for, and that they stay out of everything else."""

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_picture

from autoseg.core.errors import DatasetError
from autoseg.datasets.layouts import recognise

PICTURE = np.zeros((6, 9), np.uint8)
PICTURE[2:4, 3] = 255


def put(root: Path, *names: str) -> None:
    for name in names:
        write_picture(PICTURE, root / f"{name}.png")


def plain(root: Path) -> Path:
    """A dataset of two folders."""
    put(root, "images/a", "images/b", "labels/a", "labels/b")
    return root


def raw(root: Path, **entries: object) -> Path:
    """A dataset as nnU-Net has it."""
    put(root, "imagesTr/a_0000", "imagesTr/b_0000", "labelsTr/a", "labelsTr/b")
    basic = {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, "cell": 255},
        "file_ending": ".png",
    }
    (root / "dataset.json").write_text(json.dumps(basic | entries))
    return root


def decathlon(root: Path, test: object) -> Path:
    put(root, "imagesTr/a", "labelsTr/a", "imagesTs/t", "imagesTs/u")
    content = {
        "labels": {"0": "background", "255": "cell"},
        "training": [{"image": "./imagesTr/a.png", "label": "./labelsTr/a.png"}],
        "test": test,
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def names_of_test_cases(root: Path) -> list[str]:
    return [case.name for case in recognise(root).spec.test_cases]


def test_a_dataset_without_test_images_has_no_test_cases(tmp_path):
    recognition = recognise(plain(tmp_path))

    assert recognition.spec.test_cases == ()
    assert recognition.notes == ()


def test_a_test_folder_beside_two_plain_folders_is_found(tmp_path):
    root = plain(tmp_path)
    put(root, "test/images/y", "test/images/x", "test/labels/x", "test/labels/y")

    recognition = recognise(root)

    assert [case.name for case in recognition.spec.test_cases] == ["x", "y"]
    assert [case.name for case in recognition.spec.cases] == ["a", "b"]
    assert recognition.notes == (
        "2 test cases in test/images are not used for training; `autoseg test` scores them.",
    )


def test_test_folders_of_nnunet_are_found(tmp_path):
    root = raw(tmp_path)
    put(root, "imagesTs/t_0000", "labelsTs/t")

    (case,) = recognise(root).spec.test_cases

    assert case.name == "t"
    assert case.images == (root / "imagesTs" / "t_0000.png",)
    assert case.labels == root / "labelsTs" / "t.png"


def test_pairs_that_a_dataset_json_lists_are_found(tmp_path):
    root = decathlon(tmp_path, [{"image": "./imagesTs/t.png", "label": "./truth/t.png"}])
    put(root, "truth/t")

    assert names_of_test_cases(root) == ["t"]


def test_listed_images_alone_are_found_with_labels_in_a_folder(tmp_path):
    root = decathlon(tmp_path, ["./imagesTs/t.png", "./imagesTs/u.png"])
    put(root, "labelsTs/t", "labelsTs/u")

    assert names_of_test_cases(root) == ["t", "u"]


@pytest.mark.parametrize("test", [["./imagesTs/t.png", "./imagesTs/u.png"], [], None])
def test_test_images_without_labels_are_ignored_with_a_note(tmp_path, test):
    recognition = recognise(decathlon(tmp_path, test))

    assert recognition.spec.test_cases == ()
    (note,) = recognition.notes
    assert note.startswith("2 test images in ")
    assert "have no labels and are not used" in note


@pytest.mark.parametrize("test", [3, {"t": 1}, [{"picture": "t.png"}, 5]])
def test_entries_that_mean_something_else_do_no_harm(tmp_path, test):
    assert names_of_test_cases(decathlon(tmp_path, test)) == []


def test_a_test_image_without_labels_among_others_is_counted(tmp_path):
    root = plain(tmp_path)
    put(root, "test/images/x", "test/images/y", "test/labels/x")

    recognition = recognise(root)

    assert [case.name for case in recognition.spec.test_cases] == ["x"]
    assert recognition.notes[1].startswith("1 test images in test/images have no labels")


def test_a_test_case_without_image_is_left_out_with_the_cause(tmp_path):
    root = plain(tmp_path)
    put(root, "test/images/x", "test/labels/x", "test/labels/z")

    recognition = recognise(root)

    assert [case.name for case in recognition.spec.test_cases] == ["x"]
    assert recognition.issues == ()
    assert recognition.notes[1] == (
        "test case z is left out: no image found for the label file z.png. "
        "Add the image, or remove the label file."
    )


def test_a_case_that_is_trained_on_and_tested_is_refused(tmp_path):
    root = decathlon(tmp_path, [{"image": "./imagesTr/a.png", "label": "./labelsTr/a.png"}])

    with pytest.raises(DatasetError, match="1 cases are in both the training set and the test set"):
        recognise(root)


def test_a_group_that_is_trained_on_and_tested_is_mentioned(tmp_path):
    root = raw(tmp_path, groups={"a": "patient", "t": "patient"})
    put(root, "imagesTs/t_0000", "labelsTs/t", "imagesTs/u_0000", "labelsTs/u")

    recognition = recognise(root)

    assert [case.group for case in recognition.spec.test_cases] == ["patient", None]
    assert recognition.notes[-1].startswith("1 test cases belong to groups that are also trained")
    assert recognition.notes[-1].endswith("too high: t.")
