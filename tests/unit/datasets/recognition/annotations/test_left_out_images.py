"""Images that annotation files name, but that have no labels or may have them at wrong places."""

import json
from pathlib import Path

import annotation_files as files
import numpy as np
import pytest
from annotation_files import COLUMNS, LEAF, ROWS, put_photos
from PIL import Image

from autoseg.core.errors import DatasetError
from autoseg.datasets.inspection import inspect_case
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.recognition import Recognition
from autoseg.documents.dataset import LayoutOptions

OUTLINE = [float(number) for corner in LEAF for number in corner]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put_photos(tmp_path / "dataset", "a.png", "b.png", "c.png")
    return tmp_path / "dataset"


def found(root: Path) -> Recognition:
    return recognise(root, label_maps=root.parent / "maps")


def coco(root: Path, *annotations: dict[str, object]) -> None:
    """Write a file with the image a.png of the number 0, and b.png of the number 1."""
    images = [
        {"id": number, "file_name": f"{name}.png", "height": ROWS, "width": COLUMNS}
        for number, name in enumerate("ab")
    ]
    files.coco(root / "coco.json", "a.png", images=images, annotations=list(annotations))


def outline(image: object, category: object = 3) -> dict[str, object]:
    return {"image_id": image, "category_id": category, "segmentation": [OUTLINE]}


def names(recognition: Recognition) -> list[str]:
    return [case.name for case in recognition.spec.cases]


def test_tasks_of_label_studio_that_are_not_done_are_left_out(root: Path) -> None:
    files.label_studio(root / "all.json", "a.png")
    tasks = json.loads((root / "all.json").read_text())
    skipped = {"was_cancelled": True, "result": []}
    tasks += [
        {"data": {"image": "b.png"}, "annotations": []},
        {"data": {"image": "c.png"}, "annotations": [skipped]},
    ]
    files.write(root / "all.json", tasks)
    recognition = found(root)
    assert names(recognition) == ["a"]
    assert any("2 images with boxes, lines or points only" in note for note in recognition.notes)


def test_images_with_boxes_only_are_left_out_and_empty_ones_are_background(root: Path) -> None:
    files.yolo(root / "a.txt")
    files.write(root / "b.txt", "0 0.5 0.5 0.2 0.2\n")
    files.write(root / "c.txt", "")
    recognition = found(root)
    assert names(recognition) == ["a", "c"]
    assert any("1 image with boxes, lines or points only" in note for note in recognition.notes)
    assert not any("without shapes" in note for note in recognition.notes)


def test_coco_images_with_boxes_only_are_left_out_and_others_are_counted(root: Path) -> None:
    coco(root, outline(0), {"image_id": 1, "category_id": 3, "bbox": [1, 1, 5, 5]})
    recognition = found(root)
    assert names(recognition) == ["a"]
    assert "1 image without shapes left out" in recognition.notes


def test_coco_numbers_may_be_texts_in_one_of_the_lists(root: Path) -> None:
    coco(root, outline("0", "3"), outline(1))
    spec = found(root).spec
    assert spec.labels.names == ("background", "leaf")
    assert all(inspect_case(case, spec).class_voxels[1] for case in spec.cases)


def test_coco_annotations_of_no_image_are_refused(root: Path) -> None:
    coco(root, outline(0), outline(9))
    with pytest.raises(DatasetError, match="an annotation has the image_id 9 of no image"):
        found(root)


def test_coco_images_of_the_same_number_are_refused(root: Path) -> None:
    images = [{"id": 7, "file_name": f"{name}.png"} for name in "ab"]
    files.coco(root / "coco.json", "a.png", images=images)
    with pytest.raises(DatasetError, match="several of its images have the same id"):
        found(root)


def test_a_coco_mask_of_another_size_than_its_image_is_an_issue(root: Path) -> None:
    mask = {"size": [COLUMNS, ROWS], "counts": [100, 50, ROWS * COLUMNS - 150]}
    coco(root, outline(0), {"image_id": 1, "category_id": 3, "segmentation": mask})
    recognition = found(root)
    assert names(recognition) == ["a"]
    assert f"a mask has {COLUMNS}" in recognition.issues[0].sentence


@pytest.mark.parametrize(("orientation", "number"), [(1, 0), (3, 1)])
def test_images_with_an_orientation_tag_are_noted(
    root: Path, orientation: int, number: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.zeros((ROWS, COLUMNS, 3), np.uint8))
    picture.save(root / "d.jpg", exif=exif)
    files.labelme(root / "d.json", "d.jpg")
    files.labelme(root / "a.json", "a.png")
    noted = [note for note in found(root).notes if "1 image with an orientation tag" in note]
    assert len(noted) == number


@pytest.mark.parametrize("labels", [(), ("a.json",)])
def test_a_form_of_label_images_is_refused_for_shapes(root: Path, labels: tuple[str, ...]) -> None:
    files.labelme(root / "a.json", "a.png")
    with pytest.raises(DatasetError, match=r"such as a\.json, but --mask instances says"):
        recognise(root, LayoutOptions(mask="instances", labels=labels))
