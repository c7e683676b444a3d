"""Which files are read, which images they annotate, and what damaged ones lead to."""

import json
from pathlib import Path

import annotation_files as files
import numpy as np
import pytest
from annotation_files import put_photos
from synthetic import write_picture

from autoseg.core.errors import DatasetError
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.recognition import Recognition
from autoseg.documents.dataset import LayoutOptions

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE Annotations [<!ENTITY a "ha"><!ENTITY b "'
    + "&a;" * 50
    + '"><!ENTITY c SYSTEM "file:///etc/passwd">]><Annotations>&b;&c;</Annotations>'
)


def found(root: Path, tmp_path: Path, **options: object) -> Recognition:
    return recognise(root, LayoutOptions(**options), label_maps=tmp_path / "maps")


def test_parts_come_from_the_names_of_the_annotation_files(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "images/a.png", "images/b.png", "images/c.png")
    for part, name in (("train", "a"), ("val", "b"), ("test", "c")):
        files.coco(root / f"coco_{part}.json", f"{name}.png")
    spec = found(root, tmp_path).spec
    assert [case.name for case in spec.cases] == ["a", "b"]
    assert [fold.validation for fold in spec.splits] == [("b",)]
    assert [case.name for case in spec.test_cases] == ["c"]


def test_parts_come_from_lists_of_images(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "images/a.jpg", "images/b.jpg")
    for name, part in (("a", "train"), ("b", "test")):
        files.yolo(root / f"labels/{name}.txt")
        files.write(root / f"{part}.txt", f"./images/{name}.jpg\n")
    assert [case.name for case in found(root, tmp_path).spec.test_cases] == ["b"]


def test_two_files_that_annotate_one_image_are_refused_and_label_chooses_one(
    tmp_path: Path,
) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png")
    files.coco(root / "first.json", "a.png")
    files.coco(root / "second.json", "a.png", categories=[])
    message = r"first.json and second.json both annotate a\.png.*--label 'second.json'"
    with pytest.raises(DatasetError, match=message):
        found(root, tmp_path)
    spec = found(root, tmp_path, labels=("first.json",)).spec
    assert spec.labels.names == ("background", "leaf", "stem")
    spec = found(root, tmp_path, labels=("sec*.json",)).spec
    assert spec.labels.names == ("background", "3", "5")


def test_patterns_choose_annotation_files_next_to_label_maps(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "images/a.png", "images/b.png", "masks/a.png", "masks/b.png")
    for name in "ab":
        files.imagescope(root / f"shapes/{name}.xml")
    spec = found(root, tmp_path, labels=("shapes/*.xml",), images=("images/a.png",)).spec
    assert [case.images[0].name for case in spec.cases] == ["a.png"]
    assert spec.labels.names == ("background", "leaf", "stem")


def test_patterns_of_labels_that_fit_label_maps_choose_these(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "images/a.png", "images/b.png")
    for name in "ab":
        write_picture(np.eye(files.ROWS, files.COLUMNS, dtype=np.uint8), root / f"made/{name}.png")
        files.imagescope(root / f"made/{name}.xml")
    spec = found(root, tmp_path, labels=("made/*",)).spec
    assert spec.labels.names == ("background", "label_1")


def test_images_of_the_same_stem_in_one_folder_are_cases_of_their_own(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png", "a.jpg")
    files.cvat(root / "first.xml", "a.png")
    files.cvat(root / "second.xml", "a.jpg")
    spec = found(root, tmp_path).spec
    assert [(case.name, case.images[0].name) for case in spec.cases] == [
        ("a.jpg", "a.jpg"),
        ("a.png", "a.png"),
    ]


def test_files_of_the_same_name_belong_to_the_image_with_which_they_share_folders(
    tmp_path: Path,
) -> None:
    root = tmp_path / "dataset"
    for site in ("north", "south"):
        put_photos(root, f"{site}/images/a.tif")
    files.imagescope(root / "annotations/south/a.xml")
    spec = found(root, tmp_path).spec
    assert [case.images[0].relative_to(root).as_posix() for case in spec.cases] == [
        "south/images/a.tif"
    ]


def test_annotated_images_that_are_absent_are_reported(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.tif")
    files.imagescope(root / "a.xml")
    files.imagescope(root / "b.xml")
    assert any("1 annotated images are not in the folder" in n for n in found(root, tmp_path).notes)


@pytest.mark.parametrize("name", ["slide.xml", "slide.svs.xml", "shapes/slide.xml"])
def test_annotated_images_of_formats_that_are_not_read_are_refused(
    tmp_path: Path, name: str
) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "thumbnail.png")
    (root / "slide.svs").write_bytes(b"")
    files.imagescope(root / name)
    with pytest.raises(DatasetError, match=r"format that is not read, for example slide\.svs"):
        found(root, tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.json", '{"shapes": [{"points": [[1, 2], [3'),
        ("b.json", '{"shapes": [{"points": "none"}]}'),
        ("b.json", '{"shapes": [{"points": [[1, 2], [3, NaN], [4, 5]]}]}'),
        ("b.json", '{"shapes": [{"points": [[1, 2], [3, 1e300], [4, 5]]}]}'),
        ("b.json", '{"shapes": [3]}'),
        ("b.json", '{"shapes": ' + "[" * 100_000),
        ("b.json", '{"size": {}, "objects": [{"bitmap": {"origin": [0, 0], "data": "YWJj"}}]}'),
        ("b.xml", "<Annotations><Annotation>"),
        (
            "b.xml",
            (
                "<Annotations><Annotation><Region><Vertices><V X='a' Y='b'/></Vertices></Region>"
                "</Annotation></Annotations>"
            ),
        ),
        (
            "b.geojson",
            (
                '[{"type": "Feature", "properties": {"objectType": "cell"}, "geometry": '
                '{"type": "Polygon", "coordinates": 3}}]'
            ),
        ),
    ],
)
def test_a_damaged_file_is_an_issue_of_its_image(tmp_path: Path, name: str, text: str) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png", "b.png")
    files.geojson(root / "a.geojson")
    files.write(root / name, text)
    recognition = found(root, tmp_path)
    assert [case.name for case in recognition.spec.cases] == ["a"]
    assert [issue.case for issue in recognition.issues] == ["b"]
    assert name in recognition.issues[0].sentence


def test_a_damaged_file_does_not_change_what_is_printed_of_the_others(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png", "b.png")
    files.labelme(root / "a.json", "a.png")
    files.write(root / "b.json", '{"shapes": [')
    (note,) = found(root, tmp_path).notes
    assert note.endswith(
        "from labelme in a.json, b.json; where shapes overlap, the later one is kept"
    )


@pytest.mark.parametrize(
    "text", ['{"images": [], "annotations": [', '{"images": [{"id": 1}], "annotations": []}']
)
def test_a_damaged_file_of_many_images_is_refused(tmp_path: Path, text: str) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.tif")
    files.write(root / "all.json", text)
    with pytest.raises(DatasetError, match=r"all\.json cannot be read as .* Correct the file"):
        found(root, tmp_path)


def test_a_malformed_entry_is_an_issue_of_its_image_only(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.png", "b.png")
    files.coco(root / "all.json", "a.png")
    content = json.loads((root / "all.json").read_text())
    content["images"].append({"id": 8, "file_name": "b.png"})
    content["annotations"].append({"image_id": 8, "segmentation": [[1, 2, 3]]})
    files.write(root / "all.json", content)
    recognition = found(root, tmp_path)
    assert [case.name for case in recognition.spec.cases] == ["a"]
    assert [issue.case for issue in recognition.issues] == ["b"]


def test_xml_files_that_define_entities_are_not_parsed(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.tif", "b.tif")
    files.imagescope(root / "a.xml")
    (root / "b.xml").write_text(LAUGHS)
    assert [case.name for case in found(root, tmp_path).spec.cases] == ["a"]


def test_a_prolog_of_comments_is_read_in_linear_time_and_in_other_encodings(
    tmp_path: Path,
) -> None:
    root = tmp_path / "dataset"
    put_photos(root, "a.tif", "b.tif", "c.tif")
    files.imagescope(root / "a.xml")
    text = (root / "a.xml").read_text()
    (root / "a.xml").write_text('<?xml version="1.0" encoding="UTF-16"?>' + text, encoding="utf-16")
    (root / "b.xml").write_text(
        "<!-- leaf -->\n" * 9 + text.replace("leaf", "é"), encoding="cp1252"
    )
    (root / "c.xml").write_text("<!---->" * 5000 + "<other/>")
    assert found(root, tmp_path).spec.labels.names == ("background", "leaf", "stem", "é")


def test_only_files_that_begin_like_annotations_are_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "dataset"
    put_photos(root, *(f"{number}.png" for number in range(4)))
    files.geojson(root / "0.geojson")
    for number in range(4):
        files.write(root / f"{number}.json", {"EchoTime": 0.01, "Rows": list(range(50_000))})
        files.write(root / f"{number}.xml", "<annotation><object><bndbox/></object></annotation>")
        files.write(root / f"{number}.txt", "notes on the image\n")
    parsed = []
    load = json.loads

    def counted(text: str) -> object:
        parsed.append(text)
        return load(text)

    monkeypatch.setattr("autoseg.datasets.recognition.annotations.finding.json.loads", counted)
    assert len(found(root, tmp_path).spec.cases) == 1
    assert len([text for text in parsed if "EchoTime" in text]) == 0
