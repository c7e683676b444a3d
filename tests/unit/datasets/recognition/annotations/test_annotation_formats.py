"""Formats of annotation files: the same scene in each, and what is special to one."""

import base64
from pathlib import Path

import annotation_files as files
import numpy as np
import pytest
from annotation_files import HOLE_PIXELS, LEAF, LEAF_PIXELS, STEM, STEM_PIXELS, put_photos

from autoseg.core.errors import DatasetError
from autoseg.datasets.inspection import inspect_case
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.recognition import Recognition

BOX = '<box label="leaf" occluded="0" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0"></box>'


def found(root: Path, tmp_path: Path) -> Recognition:
    return recognise(root, label_maps=tmp_path / "maps")


def pixels(recognition: Recognition, case: int = 0) -> dict[str, int]:
    """Return the number of pixels of each class but the background."""
    spec = recognition.spec
    counts = inspect_case(spec.cases[case], spec).class_voxels
    return dict(zip(spec.labels.names[1:], counts[1:], strict=True))


WHOLE = {"leaf": LEAF_PIXELS, "stem": STEM_PIXELS}
WITH_HOLE = {"leaf": LEAF_PIXELS - HOLE_PIXELS, "stem": STEM_PIXELS}


@pytest.mark.parametrize(
    ("image", "write", "file", "expected"),
    [
        ("images/a.png", lambda p: files.coco(p, "a.png"), "coco.json", WHOLE),
        ("a.png", lambda p: files.labelme(p, "a.png"), "a.json", WHOLE),
        ("a.png", lambda p: files.labelme(p, "..\\old\\b.png"), "a.json", WHOLE),
        ("slides/a.tif", files.geojson, "shapes/a.geojson", WITH_HOLE),
        ("a.tif", lambda p: files.geojson(p, is_list=True), "a.svs.geojson", WITH_HOLE),
        ("a.ome.tif", files.geojson, "a.ome.tif - Series 0.geojson", WITH_HOLE),
        ("Tissue images/a.tif", files.imagescope, "Annotations/a.xml", WITH_HOLE),
        ("a.tif", files.imagescope, "a_annotations.xml", WITH_HOLE),
        ("a.tif", files.imagescope, "a.annotations", WITH_HOLE),
        ("a.tif", files.asap, "a.xml", WHOLE),
        ("images/a.png", lambda p: files.cvat(p, "a.png"), "annotations.xml", WHOLE),
        ("images/a.png", lambda p: files.cvat(p, "x/images/a.png"), "annotations.xml", WHOLE),
        ("a.png", lambda p: files.via(p, "a.png"), "via.json", WHOLE),
        ("a.png", lambda p: files.via(p, "a.png", is_project=True), "via.json", WHOLE),
        ("d/img/a.png", files.supervisely, "d/ann/a.png.json", WITH_HOLE),
        (
            "a.png",
            lambda p: files.label_studio(p, "/data/upload/1/0123abcd-a.png"),
            "p.json",
            WHOLE,
        ),
        (
            "a b.png",
            lambda p: files.label_studio(p, "/data/local-files/?d=x%2Fa%20b.png"),
            "p.json",
            WHOLE,
        ),
    ],
)
def test_shapes_of_every_format_become_the_same_label_map(
    tmp_path: Path, image: str, write, file: str, expected: dict[str, int]
) -> None:
    root = tmp_path / "dataset"
    put_photos(root, image, "other/unlabelled.png")
    write(root / file)
    recognition = found(root, tmp_path)
    assert pixels(recognition) == expected
    assert [case.name for case in recognition.spec.cases] == [Path(image).name.partition(".")[0]]


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("data.yaml", "nc: 2\nnames:\n  0: leaf\n  1: stem\n"),
        ("data.yaml", "train: ../train/images\nnames: ['leaf', 'stem']\n"),
        ("classes.txt", "leaf\nstem\n"),
        ("obj.names", "leaf\nstem\n"),
    ],
)
def test_yolo_rows_are_polygons_in_shares_of_the_image(
    tmp_path: Path, name: str, names: str
) -> None:
    root = tmp_path / "dataset"
    for part in ("train", "val"):
        put_photos(root, f"images/{part}/a.jpg")
        files.yolo(root / f"labels/{part}/a.txt")
    files.write(root / name, names)
    files.write(root / "train.txt", "images/train/a.jpg\n")
    recognition = found(root, tmp_path)
    assert pixels(recognition) == WHOLE
    assert len(recognition.spec.splits[0].validation) == 1


def test_label_maps_are_drawn_again_if_names_elsewhere_change(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "images/a.png")
    files.yolo(root / "labels/a.txt")
    (root / "data.yaml").write_text("names: {0: leaf, 1: stem}\n")
    assert pixels(found(root, tmp_path)) == WHOLE
    (root / "data.yaml").write_text("names: {0: stem, 1: leaf}\n")
    assert pixels(found(root, tmp_path)) == {"stem": LEAF_PIXELS, "leaf": STEM_PIXELS}


def test_yolo_classes_without_names_are_numbered_and_boxes_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "images/a.jpg", "images/b.jpg")
    files.yolo(root / "labels/a.txt", "1 0.5 0.5 0.1 0.1\n")
    files.write(root / "labels/b.txt", "")
    recognition = found(root, tmp_path)
    assert pixels(recognition) == {"class_0": LEAF_PIXELS, "class_1": STEM_PIXELS}
    assert pixels(recognition, 1) == {"class_0": 0, "class_1": 0}
    assert "1 box left out, for example in labels/a.txt" in recognition.notes


def test_yolo_rows_in_pixels_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.jpg", "b.jpg")
    files.yolo(root / "a.txt")
    files.write(root / "b.txt", "0 1 1 20 1 20 10\n")
    (issue,) = found(root, tmp_path).issues
    assert "b.txt: its corners are not shares of the width and height" in issue.sentence


def test_regions_without_a_class_are_left_out_if_others_have_one(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.tif")
    around = [(0, 0), (30, 0), (30, 20), (0, 20)]
    point = files.feature([], "leaf", type="Point", coordinates=[3, 3])
    other_plane = files.feature([around], "stem", plane={"z": 2, "t": 0})
    tile = files.feature([around], "stem", "tile")
    files.geojson(
        root / "a.geojson",
        files.feature([around], None),
        files.feature([around], "Region*"),
        *(point, other_plane, tile),
    )
    recognition = found(root, tmp_path)
    assert pixels(recognition) == WITH_HOLE
    notes = " ".join(recognition.notes)
    assert "2 shapes without a class left out, since others have one" in notes
    assert "2 lines and points, 1 tile or core left out, for example in a.geojson" in notes


def test_cells_without_a_class_are_objects_and_the_region_around_them_is_left_out(
    tmp_path: Path,
) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.tif")
    cells = [files.feature([LEAF], None, "cell"), files.feature([STEM], None, "detection")]
    region = files.feature([[(0, 0), (30, 0), (30, 20)]], None)
    files.write(root / "a.geojson", [region, *cells])
    recognition = found(root, tmp_path)
    assert pixels(recognition) == {"object": LEAF_PIXELS + STEM_PIXELS}
    assert "the shapes have no class; all are the class object" in recognition.notes
    assert "1 region around cells left out, for example in a.geojson" in recognition.notes


def test_what_qupath_ignores_is_background_and_derived_classes_have_all_their_names(
    tmp_path: Path,
) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.tif")
    derived = files.feature([STEM], None)
    derived["properties"]["classification"] = {"names": ["stem", "dry"]}
    features = [files.feature([LEAF], "leaf"), files.feature([files.HOLE], "Artefact*"), derived]
    files.write(root / "a.geojson", {"type": "FeatureCollection", "features": features})
    expected = {"leaf": LEAF_PIXELS - HOLE_PIXELS, "stem: dry": STEM_PIXELS}
    assert pixels(found(root, tmp_path)) == expected


def test_an_image_with_an_empty_file_has_no_objects(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.tif", "b.tif")
    files.geojson(root / "a.geojson")
    files.write(root / "b.geojson", {"type": "FeatureCollection", "features": []})
    assert pixels(found(root, tmp_path), 1) == {"leaf": 0, "stem": 0}


def test_geographical_json_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.tif")
    house = files.feature([LEAF], None)
    house["properties"] = {"height": 3}
    files.write(root / "a.geojson", {"type": "FeatureCollection", "features": [house]})
    with pytest.raises(DatasetError, match="not those of QuPath, but may be geographical"):
        found(root, tmp_path)


def test_layers_without_a_name_are_named_by_their_colour(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.tif")
    ellipse = files.region([(18, 2), (28, 12)], Type="2")
    arrow = files.region([(1, 1), (3, 3)], Type="3")
    layers = files.layer(files.region(LEAF), attribute="Description", colour=255)
    layers += files.layer(ellipse + arrow, colour=0xFF8000)
    files.write(root / "a.xml", f"<Annotations>{layers}</Annotations>")
    recognition = found(root, tmp_path)
    counts = pixels(recognition)
    assert counts["#ff0000"] == LEAF_PIXELS
    assert counts["#0080ff"] == pytest.approx(np.pi * 25, rel=0.05)
    assert "1 line or point left out, for example in a.xml" in recognition.notes


def test_smaller_shapes_cover_larger_ones_unless_the_format_has_layers(tmp_path: Path) -> None:
    inner = [(4, 4), (6, 4), (6, 6), (4, 6)]
    for name in ("without", "with"):
        put_photos(tmp_path / name, "a.tif")
    features = [files.feature([inner], "vein"), files.feature([LEAF], "leaf")]
    files.write(tmp_path / "without" / "a.geojson", features)
    recognition = recognise(tmp_path / "without", label_maps=tmp_path / "maps_1")
    assert pixels(recognition) == {"leaf": LEAF_PIXELS - 4, "vein": 4}
    assert "where shapes overlap, the smaller one is kept" in " ".join(recognition.notes)
    vein = files.cvat_polygon(inner, "vein", order=-1) + files.cvat_polygon(inner, "spot", order=3)
    files.cvat(tmp_path / "with" / "all.xml", "a.tif", vein)
    recognition = recognise(tmp_path / "with", label_maps=tmp_path / "maps_2")
    assert pixels(recognition) == WHOLE | {"leaf": LEAF_PIXELS - 4, "spot": 4}
    assert "where shapes overlap, the later one is kept" in " ".join(recognition.notes)


def test_cvat_masks_are_drawn_and_boxes_and_lines_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png")
    mask = '<mask label="spot" rle="1, 2, 3" left="4" top="17" width="3" height="2" z_order="1"/>'
    ellipse = '<ellipse label="disc" cx="5" cy="5" rx="2" ry="2" z_order="2"/>'
    line = '<polyline label="vein" points="1,1;2,2" z_order="0"/><tag label="good"/>'
    files.cvat(root / "annotations.xml", "a.png", mask + ellipse + BOX + line)
    recognition = found(root, tmp_path)
    counts = pixels(recognition)
    assert counts["spot"] == 2
    assert counts["disc"] == 12
    assert "1 box, 1 line or point left out, for example in annotations.xml" in (recognition.notes)


def test_cvat_subsets_are_parts(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png", "b.png")
    files.cvat(root / "first.xml", "a.png", subset="Train")
    files.cvat(root / "second.xml", "b.png", subset="Test")
    spec = found(root, tmp_path).spec
    assert [case.name for case in spec.test_cases] == ["b"]


def test_via_boxes_are_left_out_and_circles_drawn(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png")
    marks = [
        {"name": "rect", "x": 1, "y": 1, "width": 3, "height": 3},
        {"name": "circle", "cx": 5, "cy": 17, "r": 2},
    ]
    regions = [
        {"shape_attributes": mark, "region_attributes": {"class": {"seed": True, "dry": False}}}
        for mark in marks
    ]
    files.via(root / "via.json", "a.png", *regions)
    recognition = found(root, tmp_path)
    assert pixels(recognition)["seed"] == 12
    assert "1 box left out, for example in via.json" in recognition.notes


def test_via_regions_with_several_attributes_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png")
    region = {"shape_attributes": {"name": "point"}, "region_attributes": {"name": "b"}}
    files.via(root / "via.json", "a.png", region)
    with pytest.raises(DatasetError, match="attributes class, name; expected one with the class"):
        found(root, tmp_path)


@pytest.mark.parametrize(
    ("more", "times", "reason"),
    [
        ([], 2, "it has 2 annotations; expected one"),
        (
            [
                {
                    "type": "brushlabels",
                    "value": {"brushlabels": ["x"], "rle": [1]},
                    "original_width": 30,
                    "original_height": 20,
                }
            ],
            1,
            "brush masks are not read",
        ),
    ],
)
def test_label_studio_tasks_that_cannot_be_drawn_are_refused(
    tmp_path: Path, more: list[object], times: int, reason: str
) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png", "b.png")
    files.label_studio(root / "first.json", "a.png")
    files.label_studio(root / "second.json", "b.png", *more, times=times)
    recognition = found(root, tmp_path)
    assert [case.name for case in recognition.spec.cases] == ["a"]
    assert f"second.json: {reason}" in recognition.issues[0].sentence


def test_labelme_rectangles_circles_and_masks_are_drawn_and_lines_left_out(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png")
    picture = base64.b64encode(files.png(np.array([[True, False], [True, True]]))).decode()
    shapes = [
        {"label": "box", "points": [[10, 18], [4, 16]], "shape_type": "rectangle"},
        {"label": "disc", "points": [[15, 17], [17, 17]], "shape_type": "circle"},
        {"label": "blob", "points": [[20, 17], [21, 18]], "shape_type": "mask", "mask": picture},
        {"label": "vein", "points": [[1, 1], [2, 2]], "shape_type": "line"},
    ]
    files.labelme(root / "a.json", "a.png", *shapes)
    recognition = found(root, tmp_path)
    assert pixels(recognition) == WHOLE | {"box": 12, "disc": 12, "blob": 3}
    assert "1 line or point left out, for example in a.json" in recognition.notes


def test_coco_files_without_outlines_do_not_annotate_their_images(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png")
    files.coco(root / "outlines.json", "a.png")
    files.coco(root / "captions.json", "a.png", annotations=[{"image_id": 7, "caption": "leaf"}])
    recognition = found(root, tmp_path)
    assert pixels(recognition) == WHOLE
    assert any("1 annotation without an outline left out" in note for note in recognition.notes)


def test_boxes_that_are_written_as_outlines_are_reported(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png")
    entry = {"image_id": 7, "category_id": 3, "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]]}
    files.coco(root / "coco.json", "a.png", annotations=[entry])
    assert any("all shapes are rectangles" in note for note in found(root, tmp_path).notes)


def test_a_dataset_whose_files_hold_only_boxes_is_not_recognised(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png")
    entry = {"image_id": 7, "category_id": 3, "bbox": [1, 1, 5, 5], "segmentation": []}
    files.coco(root / "coco.json", "a.png", annotations=[entry] * 4)
    with pytest.raises(DatasetError, match=r"4 boxes left out, for example in coco\.json"):
        found(root, tmp_path)
