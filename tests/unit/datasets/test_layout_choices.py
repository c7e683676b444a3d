"""Choices of the user for a folder: label maps, tables, test cases and layout files."""

import json
from pathlib import Path

import numpy as np
import pytest
from openpyxl import Workbook
from PIL import Image
from synthetic import write_picture
from tifffile import imwrite

from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelScheme
from autoseg.datasets.inspection import inspect_case
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.choices import format_options, layout_options
from autoseg.datasets.layouts.recognition import Recognition, case_names
from autoseg.readers import read_labels

SHAPE = (24, 32)
PALETTE = np.array([(0, 0, 0), (128, 64, 128), (0, 255, 0), (224, 224, 192)], np.uint8)


def labels(seed: int, values: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
    """Rectangles of some values, at places that depend on the seed."""
    made = np.zeros(SHAPE, np.uint8)
    for place, value in enumerate(values):
        row, column = 1 + (3 * seed + 6 * place) % 14, 2 + 9 * place
        made[row : row + 7, column : column + 8] = value
    return made


def put_photo(path: Path, seed: int = 0) -> None:
    write_picture(np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), np.uint8), path)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Four cases in images/ and labels/ with the values 0 to 3."""
    for number in range(4):
        put_photo(tmp_path / f"data/images/c{number}.png", number)
        write_picture(labels(number), tmp_path / f"data/labels/c{number}.png")
    return tmp_path / "data"


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Four cases with colours instead of the values, in folders of their own."""
    for number in range(4):
        put_photo(tmp_path / f"coloured/c{number}/photo.png", number)
        write_picture(PALETTE[labels(number)], tmp_path / f"coloured/c{number}/seg.png")
    return tmp_path / "coloured"


def read(root: Path, layout: Path | None = None, **given: object) -> Recognition:
    options = layout_options(root, given, layout)
    return recognise(root, options, label_maps=root.parent / "maps")


def classes(scheme: LabelScheme) -> dict[str, int]:
    return dict(zip(scheme.names, scheme.values, strict=True))


def test_values_are_named_by_a_label_map(folders: Path) -> None:
    spec = read(folders, label_map=["0=background, 1=road,2=tree", "3=ignore"]).spec
    assert classes(spec.labels) == {"background": 0, "road": 1, "tree": 2}
    assert spec.labels.ignore == 3
    assert spec.cases[0].labels == folders / "labels/c0.png"
    assert spec.layout == "folders"
    assert "classes: 0=background, 1=road, 2=tree, 3=ignore, from --label-map" in spec.inferred


def test_minus_1_may_be_listed_as_the_ignore_label(tmp_path: Path) -> None:
    for number in range(4):
        put_photo(tmp_path / f"data/images/c{number}.png", number)
        path = tmp_path / f"data/labels/c{number}.tif"
        path.parent.mkdir(exist_ok=True)
        values = labels(number, (1, 3)).astype(np.int16)
        values[-1] = -1
        imwrite(path, values)
    spec = read(tmp_path / "data", label_map=["0=background,1=a,3=b", "-1=ignore"]).spec
    assert classes(spec.labels) == {"background": 0, "a": 1, "b": 3}
    assert spec.labels.ignore == 65535
    made = read_labels(spec.cases[0].labels).values.squeeze()
    expected = labels(0, (1, 3)).astype(np.uint16)
    expected[-1] = 65535
    np.testing.assert_array_equal(made, expected)
    spec = read(tmp_path / "data", label_map=["0=background,1=a,3=b,65535=c,-1=ignore"]).spec
    assert spec.labels.ignore == 65534


def test_background_and_ignore_are_the_same_in_upper_case(folders: Path) -> None:
    spec = read(folders, label_map=["0=background,1=Background,2=road,3=Ignore"]).spec
    assert classes(spec.labels) == {"background": 0, "road": 2}
    assert spec.labels.ignore == 3


def test_an_earlier_plan_keeps_its_label_maps(folders: Path) -> None:
    first = read(folders, label_map=["0=background,1=a,2=b,3=b"]).spec.cases[0].labels
    content = first.read_bytes()
    second = read(folders, label_map=["0=background,1=b,2=a,3=b"]).spec.cases[0].labels
    for number in range(4):
        write_picture(labels(number + 1), folders / f"other/c{number}.png")
    patterns = {"image": "images/{case}.png", "label": "other/{case}.png"}
    third = read(folders, label_map=["0=background,1=a,2=b,3=b"], **patterns).spec.cases[0].labels
    assert len({first, second, third}) == 3
    assert first.read_bytes() == content
    again = read(folders, label_map=["0=background,1=a,2=b,3=b"]).spec.cases
    assert {case.labels.parent for case in again} == {first.parent}


def test_values_of_one_class_are_merged(folders: Path) -> None:
    spec = read(folders, label_map=["0=background,2=road,3=road,1=tree"]).spec
    assert classes(spec.labels) == {"background": 0, "tree": 1, "road": 2}
    found = inspect_case(spec.cases[0], spec).class_voxels
    assert found == tuple(int(np.isin(labels(0), values).sum()) for values in ((0,), (1,), (2, 3)))
    assert (folders / "labels/c0.png").exists()


@pytest.mark.parametrize("green", ["0:255:0", "#00ff00", "#00FF00"])
def test_colours_are_named_and_merged_by_a_label_map(colours: Path, green: str) -> None:
    text = f"#804080=road,0:0:0=nothing,{green}=road,224:224:192=ignore"
    spec = read(colours, label_map=[text]).spec
    assert classes(spec.labels) == {"nothing": 0, "road": 1}
    assert spec.labels.ignore == 2
    found = inspect_case(spec.cases[0], spec).class_voxels
    assert found == tuple(int(np.isin(labels(0), values).sum()) for values in ((0,), (1, 2)))


def test_a_label_map_of_colours_is_the_form_of_grey_labels_too(tmp_path: Path) -> None:
    for number in range(4):
        put_photo(tmp_path / f"grey/c{number}/photo.png", number)
        write_picture(labels(number, (200,)), tmp_path / f"grey/c{number}/seg.png")
    spec = read(tmp_path / "grey", label_map=["0:0:0=background,200:200:200=cell"]).spec
    assert classes(spec.labels) == {"background": 0, "cell": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0=background,1=road", r"have the values 2, 3, which .* such as 2=NAME, or 2=ignore"),
        ("0=background,1", "found '1'; expected VALUE=CLASS"),
        ("0=background,-1=road", "found '-1=road'; expected VALUE=CLASS"),
        ("0=background,1=", "found '1='; expected"),
        ("0=background,1=a,1=b", "1 is both 'a' and 'b'"),
        ("0=background,1:2:3=a", "has values as well as colours"),
        ("1=a,2=b,3=c", "does not say which entry is the background"),
        ("0=background,255=ignore", "names only background"),
    ],
)
def test_a_label_map_that_does_not_fit_is_refused(folders: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(folders, label_map=[text])


def test_a_colour_that_is_not_listed_is_named_with_its_entry(colours: Path) -> None:
    with pytest.raises(DatasetError, match=r"colour 224:224:192, which .* 224:224:192=NAME"):
        read(colours, label_map=["0:0:0=background,128:64:128=road,0:255:0=tree"])


def test_values_cannot_name_colours_and_files_of_classes(colours: Path) -> None:
    with pytest.raises(DatasetError, match="hold a colour per class, but --label-map lists values"):
        read(colours, label_map=["0=background,1=road"])
    for number in range(4):
        (colours / f"c{number}/seg.png").unlink()
        for name, value in (("leaf", 1), ("stem", 2)):
            mask = np.where(labels(number) == value, 255, 0).astype(np.uint8)
            write_picture(mask, colours / f"c{number}/masks/{name}.png")
    with pytest.raises(DatasetError, match="a file per class, whose names are"):
        read(colours, label_map=["0=background,255=road"])
    with pytest.raises(DatasetError, match=r"a file per class, or .* leave --label-map out"):
        read(colours, label_map=["leaf=plant,stem=plant"])


def test_masks_that_were_saved_as_jpeg_are_named(tmp_path: Path) -> None:
    for number in range(4):
        put_photo(tmp_path / f"jpeg/images/c{number}.png", number)
        path = tmp_path / f"jpeg/masks/c{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(labels(number, (255,))).save(path, quality=60)
    spec = read(tmp_path / "jpeg", label_map=["0=background,255=road"]).spec
    assert classes(spec.labels) == {"background": 0, "road": 255}
    with pytest.raises(DatasetError, match="value 255, which --label-map does not list"):
        read(tmp_path / "jpeg", label_map=["0=background,1=road"])


@pytest.mark.parametrize("mask", ["values", "instances"])
def test_a_form_that_contradicts_colours_is_refused(colours: Path, mask: str) -> None:
    with pytest.raises(DatasetError, match=f"--mask {mask} contradicts --label-map"):
        read(colours, mask=mask, label_map=["0:0:0=background,1:1:1=road"])


def put_table(root: Path, path: str, rows: list[list[object]]) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".xlsx":
        book = Workbook()
        for row in rows:
            book.worksheets[0].append(row)
        book.save(target)
    else:
        target.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")


ROWS: list[list[object]] = [
    ["scan", "truth", "who", "use"],
    ["../a/x0.png", "b/y3.png", 7.0, "train"],
    ["../a/x1.png", "b/y2.png", 7.0, "val"],
    ["../a/x2.png", "b/y1.png", 8.0, ""],
    ["../a/x3.png", "b/y0.png", 9.0, "test"],
]
"""Images relative to the folder of the table, labels relative to the dataset."""


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    for number in range(4):
        put_photo(tmp_path / f"listed/a/x{number}.png", number)
        write_picture(labels(number), tmp_path / f"listed/b/y{3 - number}.png")
    return tmp_path / "listed"


@pytest.mark.parametrize("name", ["meta/t.csv", "meta/t.xlsx"])
def test_a_table_gives_pairs_groups_and_parts(listed: Path, name: str) -> None:
    put_table(listed, name, ROWS)
    spec = read(listed, table=f"{name}:scan,truth,who,use").spec
    assert [case.images[0].name for case in spec.cases] == ["x0.png", "x1.png", "x2.png"]
    assert [case.labels.name for case in spec.cases] == ["y3.png", "y2.png", "y1.png"]
    assert [case.group for case in spec.cases] == (
        ["7", "7", "8"] if "xlsx" in name else ["7.0", "7.0", "8.0"]
    )
    assert [case.name for case in spec.test_cases] == ["x3"]
    assert [fold.validation for fold in spec.splits] == [("x1",)]
    assert spec.options.table == f"{name}:scan,truth,who,use"


def test_columns_of_a_table_may_be_skipped(listed: Path) -> None:
    put_table(listed, "meta/t.csv", ROWS)
    spec = read(listed, table="meta/t.csv:scan,truth,,use").spec
    assert [case.group for case in spec.cases] == [None] * 3
    assert len(spec.test_cases) == 1
    assert len(read(listed, table="meta/t.csv:scan,truth").spec.cases) == 4


def test_a_table_outside_the_dataset_may_list_absolute_paths(listed: Path, tmp_path: Path) -> None:
    rows = [["i", "l"], *([listed / f"a/x{n}.png", listed / f"b/y{3 - n}.png"] for n in range(4))]
    put_table(tmp_path, "elsewhere/t.csv", rows)
    (tmp_path / "empty").mkdir()
    spec = read(tmp_path / "empty", table=f"{tmp_path}/elsewhere/t.csv:i,l").spec
    assert [case.images[0] for case in spec.cases] == [listed / f"a/x{n}.png" for n in range(4)]


def test_images_of_one_name_in_a_table_are_named_after_their_folders(tmp_path: Path) -> None:
    for name in ("anna", "max"):
        put_photo(tmp_path / f"data/{name}/day/photo.png")
        write_picture(labels(1), tmp_path / f"data/{name}/day/truth.png")
    rows = [["i", "l"], *([f"{n}/day/photo.png", f"{n}/day/truth.png"] for n in ("anna", "max"))]
    put_table(tmp_path, "data/t.csv", rows)
    spec = read(tmp_path / "data", table="t.csv:i,l").spec
    assert [case.name for case in spec.cases] == ["anna_day_photo", "max_day_photo"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("meta/t.csv", "expected FILE:image,label"),
        ("meta/t.csv:scan", "expected FILE:image,label"),
        ("meta/t.csv:scan,truth,who,use,more", "expected FILE:image,label"),
        ("meta/u.csv:scan,truth", "no such file exists"),
        ("meta/t.csv:scan,label", "has no column 'label'. It has scan, truth, who, use"),
        ("meta/t.csv:use,truth", "no file in the column 'use'"),
        ("meta/t.csv:scan,truth,use,who", "has the split '7.0'; expected words such as train"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(listed: Path, table: str, message: str) -> None:
    put_table(listed, "meta/t.csv", ROWS)
    with pytest.raises(DatasetError, match=message):
        read(listed, table=table)


def test_a_workbook_is_found_without_an_option(listed: Path) -> None:
    rows = [["image", "mask", "patient"], *([row[0], row[1], row[2]] for row in ROWS[1:])]
    put_table(listed, "meta/list.xlsx", rows)
    spec = read(listed).spec
    assert [case.group for case in spec.cases] == ["7", "7", "8", "9"]
    (listed / "meta/list.xlsx").write_bytes(b"damaged")
    with pytest.raises(DatasetError, match="no rows that can be read"):
        read(listed, table="meta/list.xlsx:image,mask")


@pytest.mark.parametrize(
    ("image", "label", "pattern"),
    [
        ("images/{}.png", "labels/{}.png", "images/{}.png"),
        ("{}/p.png", "{}/mask.png", "{}"),
        ("{}/p.png", "{}/mask.png", "**/{}/mask.*"),
    ],
)
def test_cases_that_fit_a_pattern_are_test_cases(
    tmp_path: Path, image: str, label: str, pattern: str
) -> None:
    for number in range(4):
        put_photo(tmp_path / "data" / image.format(f"c{number}"), number)
        write_picture(labels(number), tmp_path / "data" / label.format(f"c{number}"))
    recognition = read(tmp_path / "data", test=[pattern.format("c3"), pattern.format("c0")])
    assert [case.name[:2] for case in recognition.spec.cases] == ["c1", "c2"]
    assert [case.name[:2] for case in recognition.spec.test_cases] == ["c0", "c3"]
    names = case_names(tmp_path / "data", recognition.spec.options)
    assert names.training == {case.name for case in recognition.spec.cases}
    assert names.test == {case.name for case in recognition.spec.test_cases}
    with pytest.raises(DatasetError, match="all 4 cases fit"):
        read(tmp_path / "data", test=[pattern.format("c?")])
    with pytest.raises(DatasetError, match="no case has a file or folder that fits"):
        read(tmp_path / "data", test=["d*"])


def test_a_layout_file_holds_the_same_choices(listed: Path, tmp_path: Path) -> None:
    put_table(
        tmp_path, "layouts/t.csv", [["i", "l"], ["a/x1.png", "b/y2.png"], ["a/x2.png", "b/y1.png"]]
    )
    content = {
        "table": "t.csv:i,l",
        "label_map": {"0": "background", "1": "road", "2": "tree", "3": "tree"},
        "test": "a/x2.png",
    }
    path = tmp_path / "layouts/layout.json"
    path.write_text(json.dumps(content))
    spec = read(listed, path).spec
    assert [case.name for case in (*spec.cases, *spec.test_cases)] == ["x1", "x2"]
    assert classes(spec.labels) == {"background": 0, "road": 1, "tree": 2}
    other = read(listed, path, label_map=["0=background,1=a,2=b,3=c"], test=["a/x1.png"]).spec
    assert classes(other.labels) == {"background": 0, "a": 1, "b": 2, "c": 3}
    assert [case.name for case in other.test_cases] == ["x1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"labels": "x"}', "has labels; expected an object with some of the keys image, label"),
        ("[1]", "expected an object"),
        ("{", "cannot be read as JSON"),
        ('{"mask": "layers"}', "are not valid"),
        ('{"label_map": "1"}', r"layout\.json is not valid: --label-map: found '1'"),
        ('{"label_map": {"0": "a", "1": 5}}', r"layout\.json is not valid: --label-map: found 5"),
        ('{"label_map": [0, 1]}', "found 0; expected the name of a class in quotes"),
        ('{"table": "t.csv:a,b", "image": "a/*"}', "no such file exists"),
    ],
)
def test_a_layout_file_that_is_not_valid_is_refused(
    folders: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "layout.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read(folders, tmp_path / "layout.json")


def test_classes_in_a_layout_file_may_have_commas(folders: Path, tmp_path: Path) -> None:
    content = {"label_map": {"0": "background", "1": "liver, left", "2": "b", "3": "c=d"}}
    (tmp_path / "layout.json").write_text(json.dumps(content))
    spec = read(folders, tmp_path / "layout.json").spec
    assert spec.labels.names == ("background", "liver, left", "b", "c=d")


def test_choices_are_written_as_options(folders: Path) -> None:
    given = {"image": ["a/{case}.png"], "label_map": ["0=background,#804080=road"], "mask": None}
    with pytest.raises(DatasetError, match="values as well as colours"):
        layout_options(folders, given)
    given["label_map"] = ["#000000=background,#804080=road"]
    text = format_options(layout_options(folders, given))
    assert text == "--image 'a/{case}.png' --label-map 0:0:0=background,128:64:128=road"


def test_a_table_without_splits_takes_the_parts_of_the_paths(tmp_path: Path) -> None:
    parts = ["train", "train", "train", "test"]
    for number, part in enumerate(parts):
        put_photo(tmp_path / f"data/{part}/images/c{number}.png", number)
        write_picture(labels(number), tmp_path / f"data/{part}/labels/c{number}.png")
    rows = [
        [f"{part}/{kind}/c{n}.png" for kind in ("images", "labels")] for n, part in enumerate(parts)
    ]
    put_table(tmp_path / "data", "all.csv", [["image", "label"], *rows])
    for given in ({}, {"table": "all.csv:image,label"}):
        spec = read(tmp_path / "data", **given).spec
        assert [case.name for case in spec.cases] == ["c0", "c1", "c2"]
        assert [case.name for case in spec.test_cases] == ["c3"]


@pytest.mark.parametrize("column", [2, 3])
def test_rows_that_contradict_each_other_are_refused(listed: Path, column: int) -> None:
    other = list(ROWS[4])
    other[column] = "train" if column == 3 else 1.0
    put_table(listed, "meta/t.csv", [*ROWS, other])
    with pytest.raises(DatasetError, match=r"tables list the image a/x3\.png with the"):
        read(listed, table="meta/t.csv:scan,truth,who,use")


def test_a_label_of_a_table_that_is_not_an_image_is_refused(listed: Path) -> None:
    (listed / "shapes.json").write_text("{}")
    put_table(listed, "t.csv", [["i", "l"], ["a/x0.png", "shapes.json"]])
    with pytest.raises(DatasetError, match="tables list label images"):
        read(listed, table="t.csv:i,l")


def test_a_file_without_shapes_is_named(folders: Path) -> None:
    (folders / "other.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"no shapes of an image were found in other\.json"):
        read(folders, label=["other.json"])


@pytest.mark.parametrize(
    "given",
    [
        {"mask": "values"},
        {"image": ["images/{case}.png"], "label": ["labels/{case}.png"]},
        {"table": "t.csv:i,l"},
    ],
)
def test_choices_keep_test_cases_and_groups_of_a_dataset_json(
    folders: Path, given: dict[str, object]
) -> None:
    pairs = [{"image": f"images/c{n}.png", "label": f"labels/c{n}.png"} for n in range(4)]
    content = {
        "labels": {"background": 0, "a": 1, "b": 2, "c": 3},
        "training": pairs[:2],
        "validation": [pairs[2]],
        "test": [pairs[3]],
        "groups": {"c0": "A", "c1": "A"},
    }
    (folders / "dataset.json").write_text(json.dumps(content))
    put_table(folders, "t.csv", [["i", "l"], *[list(pair.values()) for pair in pairs]])
    recognition = read(folders, **given)
    spec = recognition.spec
    assert [(case.name, case.group) for case in spec.cases] == [
        ("c0", "A"),
        ("c1", "A"),
        ("c2", None),
    ]
    assert [case.name for case in spec.test_cases] == ["c3"]
    assert [fold.validation for fold in spec.splits] == [("c2",)]
    assert str(recognition.facts[1]).endswith(
        "3 cases, of which 1 is held out as the validation part, 1 test case"
    )
    assert case_names(folders, spec.options).test == {"c3"}


def test_test_cases_chosen_in_addition_to_listed_ones_are_counted(folders: Path) -> None:
    pairs = [{"image": f"images/c{n}.png", "label": f"labels/c{n}.png"} for n in range(4)]
    content = {"labels": {"background": 0, "a": 1, "b": 2, "c": 3}}
    content |= {"training": pairs[:3], "test": pairs[3:]}
    (folders / "dataset.json").write_text(json.dumps(content))
    notes = read(folders, test=["images/c0.png"]).notes
    assert notes[0].startswith("1 test case in dataset.json is not used")
    assert notes[1] == "with those of --test, there are 2 test cases"


def test_a_table_that_names_two_classes_alike_is_not_used(folders: Path) -> None:
    (folders / "classes.txt").write_text("1: cell\n2: cell\n3: wall\n")
    assert any("classes.txt is not used" in note for note in read(folders).notes)
