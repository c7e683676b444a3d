"""Labels that are drawn as polygons or run lengths in JSON files."""

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_picture

from autoseg.core.errors import CaseError, DatasetError
from autoseg.datasets.inspection import inspect_case
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.recognition import Recognition
from autoseg.datasets.recognition.shapes import Shape, draw_shapes

SHAPE = (20, 30)


def put_photos(root: Path, *paths: str) -> None:
    for seed, path in enumerate(paths):
        random = np.random.default_rng(seed)
        write_picture(random.integers(0, 256, (*SHAPE, 3), np.uint8), root / path)


def found(root: Path, tmp_path: Path) -> Recognition:
    return recognise(root, label_maps=tmp_path / "maps")


def coco(root: Path, name: str, files: list[str], segmentations: list[object]) -> None:
    content = {
        "images": [{"id": 7 + n, "file_name": file} for n, file in enumerate(files)],
        "categories": [{"id": 3, "name": "cell"}, {"id": 5, "name": "debris"}],
        "annotations": [
            {
                "id": n,
                "image_id": 7 + n % len(files),
                "category_id": 5 if n == 1 else 3,
                "segmentation": one,
            }
            for n, one in enumerate(segmentations)
        ],
    }
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(content))


BOX = [[4.0, 2.0, 10.0, 2.0, 10.0, 8.0, 4.0, 8.0]]


def test_polygons_of_coco_become_label_maps(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "images/a.png", "images/b.png", "images/c.png")
    coco(root, "annotations/train.json", ["a.png", "b.png"], [BOX, BOX])
    spec = found(root, tmp_path).spec
    assert spec.labels.names == ("background", "cell", "debris")
    assert [case.name for case in spec.cases] == ["a", "b"]
    assert inspect_case(spec.cases[0], spec).class_voxels == (600 - 36, 36, 0)
    assert inspect_case(spec.cases[1], spec).class_voxels == (600 - 36, 0, 36)


def test_parts_come_from_the_names_of_the_annotation_files(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "images/a.png", "images/b.png", "images/c.png")
    for part, name in (("train", "a"), ("val", "b"), ("test", "c")):
        coco(root, f"coco_{part}.json", [f"{name}.png"], [BOX])
    spec = found(root, tmp_path).spec
    assert [case.name for case in spec.cases] == ["a", "b"]
    assert [fold.validation for fold in spec.splits] == [("b",)]
    assert [case.name for case in spec.test_cases] == ["c"]


def test_two_files_that_annotate_one_image_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png")
    coco(root, "first.json", ["a.png"], [BOX])
    coco(root, "second.json", ["a.png"], [BOX])
    with pytest.raises(DatasetError, match=r"first.json and second.json both annotate a\.png"):
        found(root, tmp_path)


def test_shapes_of_labelme_become_label_maps(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png", "b.png")
    shapes = [
        {"label": "leaf", "points": [[4, 2], [10, 8]], "shape_type": "rectangle"},
        {"label": "stem", "points": [[20, 10], [24, 10]], "shape_type": "circle"},
        {"label": "leaf", "points": [[1, 1], [2, 2]], "shape_type": "line"},
    ]
    for name in "ab":
        content = {"version": "5", "imagePath": f"{name}.png", "shapes": shapes}
        (root / f"{name}.json").write_text(json.dumps(content))
    spec = found(root, tmp_path).spec
    assert spec.labels.names == ("background", "leaf", "stem")
    _, leaf, stem = inspect_case(spec.cases[0], spec).class_voxels
    assert leaf == 36
    assert stem == pytest.approx(np.pi * 16, rel=0.1)


@pytest.mark.parametrize("counts", [[2, 3, 15, 2, 578], "23?Oca0"])
def test_run_lengths_go_down_the_columns(counts: list[int] | str) -> None:
    from autoseg.datasets.recognition.shapes import decoded_runs

    runs = counts if isinstance(counts, list) else decoded_runs(counts)
    assert list(runs) == [2, 3, 15, 2, 578]
    drawn = draw_shapes([Shape("x", runs=tuple(runs))], {"x": 4}, SHAPE)
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:5, 0] = expected[0:2, 1] = 4
    assert np.array_equal(drawn, expected)


def test_run_lengths_of_another_size_are_refused() -> None:
    with pytest.raises(CaseError, match="add up to 10 pixels, but its image has 600"):
        draw_shapes([Shape("x", runs=(4, 6))], {"x": 1}, SHAPE)


def test_later_shapes_cover_earlier_ones() -> None:
    box = tuple(zip(BOX[0][::2], BOX[0][1::2], strict=True))
    drawn = draw_shapes([Shape("x", (box,)), Shape("y", (box,))], {"x": 1, "y": 2}, SHAPE)
    assert set(np.unique(drawn)) == {0, 2}
