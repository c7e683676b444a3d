from pathlib import Path, PurePosixPath

import pytest

from autoseg.core.errors import DatasetError
from autoseg.datasets.recognition.class_tables import find_class_table
from autoseg.datasets.recognition.inventory import take_inventory
from autoseg.datasets.recognition.lists import listed_pairs, listed_parts
from autoseg.datasets.recognition.tokens import Part


def put(root: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def put_images(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_a_table_of_paths_gives_pairs_groups_and_parts(tmp_path: Path) -> None:
    put_images(tmp_path, "a/1.png", "a/2.png", "b/x.png", "b/y.png")
    table = "img;mask;patient;split\na/1.png;b/x.png;p1;train\na/2.png;b/y.png;p2;test\n"
    put(tmp_path, pairs_DOT_csv=table)
    found = listed_pairs(take_inventory(tmp_path))
    assert [(str(pair.image), str(pair.label)) for pair in found.pairs] == [
        ("a/1.png", "b/x.png"),
        ("a/2.png", "b/y.png"),
    ]
    assert [(pair.group, pair.part) for pair in found.pairs] == [
        ("p1", Part.TRAINING),
        ("p2", Part.TEST),
    ]


def test_a_table_without_paths_gives_no_pairs(tmp_path: Path) -> None:
    put_images(tmp_path, "a/1.png")
    put(tmp_path, ages_DOT_csv="id,age\n1,40\n")
    assert listed_pairs(take_inventory(tmp_path)).pairs == ()


def test_a_table_of_names_gives_parts_and_groups(tmp_path: Path) -> None:
    put(tmp_path, meta_DOT_tsv="case\tsubject\tsplit\nc1\ts1\ttrain\nc2\ts1\tval\nc3\ts2\ttest\n")
    found = listed_parts(take_inventory(tmp_path), ["c1", "c2", "c3"])
    assert found.parts == {"c1": Part.TRAINING, "c2": Part.VALIDATION, "c3": Part.TEST}
    assert found.groups == {"c1": "s1", "c2": "s1", "c3": "s2"}


def test_lists_of_names_give_parts(tmp_path: Path) -> None:
    put(tmp_path, sets__train_DOT_txt="c1\nc2.png\n", sets__val_DOT_txt="images/c3.png\n")
    found = listed_parts(take_inventory(tmp_path), ["c1", "c2", "c3"])
    assert found.parts == {
        "c1": Part.TRAINING,
        "c2": Part.TRAINING,
        "c3": Part.VALIDATION,
    }


def test_lists_of_folders_give_parts(tmp_path: Path) -> None:
    put(tmp_path, sets__group_train_DOT_txt="p1\np2\n", sets__group_testing_DOT_txt="p3\n")
    names = ["p1_a", "p1_b", "p2_a", "p3_a"]
    folders = [["data", name[:2]] for name in names]
    found = listed_parts(take_inventory(tmp_path), names, folders)
    assert found.parts == {
        "p1_a": Part.TRAINING,
        "p1_b": Part.TRAINING,
        "p2_a": Part.TRAINING,
        "p3_a": Part.TEST,
    }


def test_lists_that_name_fewer_cases_give_way(tmp_path: Path) -> None:
    put(tmp_path, a__train_DOT_txt="c1\nc2\n", a__val_DOT_txt="c3\n", b__train_DOT_txt="c3\n")
    found = listed_parts(take_inventory(tmp_path), ["c1", "c2", "c3"])
    assert found.parts == {"c1": Part.TRAINING, "c2": Part.TRAINING, "c3": Part.VALIDATION}


def test_lists_of_several_folds_are_not_used(tmp_path: Path) -> None:
    texts = {"train1": "c1\n", "test1": "c2\n", "train2": "c2\n", "test2": "c1\n"}
    put(tmp_path, **{f"{name}_DOT_txt": text for name, text in texts.items()})
    found = listed_parts(take_inventory(tmp_path), ["c1", "c2"])
    assert found.parts == {}
    assert any("train2.txt" in note and "were not used" in note for note in found.notes)


def test_a_case_in_two_lists_of_one_kind_is_refused(tmp_path: Path) -> None:
    put(tmp_path, train_DOT_txt="c1\nc2\n", test_DOT_txt="c2\n")
    with pytest.raises(DatasetError, match=r"test.txt, train.txt put a case into several parts"):
        listed_parts(take_inventory(tmp_path), ["c1", "c2"])


@pytest.mark.parametrize(
    "table",
    [
        "train_split,test_split\nc1,c3\nc2,\n",
        "id,is_test\nc1,0\nc2,no\nc3,1\n",
        "id,Set\nc1,Development\nc2,training\nc3,Hold-out\n",
    ],
)
def test_columns_of_tables_give_parts(tmp_path: Path, table: str) -> None:
    put(tmp_path, meta_DOT_csv=table)
    found = listed_parts(take_inventory(tmp_path), ["c1", "c2", "c3"])
    assert [name for name, part in found.parts.items() if part is Part.TEST] == ["c3"]


def test_entries_that_name_no_part_are_noted(tmp_path: Path) -> None:
    put(tmp_path, meta_DOT_csv="id,split\nc1,train\nc2,abroad\n")
    found = listed_parts(take_inventory(tmp_path), ["c1", "c2"])
    assert found.parts == {"c1": Part.TRAINING}
    assert any("such as abroad; these cases are trained on" in note for note in found.notes)


def test_lists_have_names_with_compressed_endings(tmp_path: Path) -> None:
    put(tmp_path, train_DOT_txt="c1.nii.gz\n", test_DOT_txt="c.2\n")
    found = listed_parts(take_inventory(tmp_path), ["c1", "c.2"])
    assert found.parts == {"c1": Part.TRAINING, "c.2": Part.TEST}


def test_tables_of_windows_are_read(tmp_path: Path) -> None:
    (tmp_path / "who.csv").write_bytes("case;patient\nc1;Jürgen\nc2;Zoë\n".encode("cp1252"))
    found = listed_parts(take_inventory(tmp_path), ["c1", "c2"])
    assert found.groups == {"c1": "Jürgen", "c2": "Zoë"}


def test_only_a_column_of_ids_gives_groups(tmp_path: Path) -> None:
    put(tmp_path, who_DOT_csv="case,patient_age,subject group,patient_id\nc1,70,x,a\nc2,71,y,b\n")
    found = listed_parts(take_inventory(tmp_path), ["c1", "c2"])
    assert found.groups == {"c1": "x", "c2": "y"}
    put(tmp_path, who_DOT_csv="case,patient_age,PatientID\nc1,70,a\nc2,71,\n")
    found = listed_parts(take_inventory(tmp_path), ["c1", "c2"])
    assert found.groups == {"c1": "a"}
    assert found.group_sources == [PurePosixPath("who.csv")]
    put(tmp_path, who_DOT_csv="case,lesion,lesion_id\nc1,flat,a\nc2,flat,a\n")
    found = listed_parts(take_inventory(tmp_path), ["c1", "c2"])
    assert found.groups == {"c1": "a", "c2": "a"}


def test_a_table_with_an_overlong_field_is_not_read(tmp_path: Path) -> None:
    put(tmp_path, who_DOT_csv=f"case,text\nc1,{'x' * 200_000}\n")
    assert listed_parts(take_inventory(tmp_path), ["c1"]).groups == {}


def test_a_list_of_other_names_gives_no_parts(tmp_path: Path) -> None:
    put(tmp_path, train_DOT_txt="learning rate\nbatch size\n")
    assert listed_parts(take_inventory(tmp_path), ["c1", "c2"]).parts == {}


@pytest.mark.parametrize(
    ("name", "text", "values", "colours"),
    [
        ("labels.txt", '# IDX\n0 0 0 0 0 0 0 "Clear"\n1 255 0 0 1 1 1 "Left lung"\n',
         {0: "Clear", 1: "Left lung"}, {}),
        ("label_colors.txt", "0 0 0\t\tVoid\n128 64 128\tRoad\n", {},
         {(0, 0, 0): "Void", (128, 64, 128): "Road"}),
        ("class_dict.csv.txt", "Tree,0,128,0\nSky,128,128,128\n", {},
         {(0, 128, 0): "Tree", (128, 128, 128): "Sky"}),
        ("classes.txt", "0: background\n1: nucleus\n", {0: "background", 1: "nucleus"}, {}),
        ("labels.json", '{"background": 0, "liver": 1}', {0: "background", 1: "liver"}, {}),
        ("labels.json", '{"0": "background", "1": "liver"}', {0: "background", 1: "liver"}, {}),
        ("labels.json", "not json", {}, {}),
        ("notes.txt", "0: background\n1: nucleus\n", {}, {}),
    ],
)  # fmt: skip
def test_class_tables_are_read(
    tmp_path: Path,
    name: str,
    text: str,
    values: dict[int, str],
    colours: dict[tuple[int, ...], str],
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    table = find_class_table(tmp_path, [PurePosixPath(name)])
    assert (table.values, table.colours) == (values, colours)


def test_hidden_files_and_folders_of_archives_are_left_out(tmp_path: Path) -> None:
    put_images(tmp_path, "a.png", "._a.png", ".cache/b.png", "__MACOSX/c.png", "d/e.png")
    inventory = take_inventory(tmp_path)
    assert [item.path.as_posix() for item in inventory.items] == ["a.png", "d/e.png"]


def test_links_are_followed_once_and_broken_ones_are_listed(tmp_path: Path) -> None:
    put_images(tmp_path, "data/a.png")
    (tmp_path / "data" / "again").symlink_to(tmp_path)
    (tmp_path / "data" / "b.png").symlink_to(tmp_path / "missing.png")
    inventory = take_inventory(tmp_path)
    assert [item.path.as_posix() for item in inventory.items] == ["data/a.png"]
    assert [path.as_posix() for path in inventory.broken_links] == ["data/b.png"]


def test_the_name_of_a_table_of_pairs_is_the_part_of_its_pairs(tmp_path: Path) -> None:
    put_images(tmp_path, *(f"{folder}/{n}.png" for folder in "ab" for n in range(3)))
    rows = [f"a/{n}.png,b/{n}.png\n" for n in range(3)]
    put(tmp_path, train_DOT_csv="image,label\n" + rows[0] + rows[1])
    put(tmp_path, test_DOT_csv="image,label\n" + rows[2])
    parts = {pair.image.stem: pair.part for pair in listed_pairs(take_inventory(tmp_path)).pairs}
    assert parts == {"0": Part.TRAINING, "1": Part.TRAINING, "2": Part.TEST}


def test_tables_of_one_label_map_each_are_merged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [PurePosixPath(f"c{number}_dseg.tsv") for number in range(5)]
    for name in names:
        (tmp_path / name).write_text("index\tname\n1\tliver\n")
    read, counted = Path.read_text, []
    monkeypatch.setattr(
        Path, "read_text", lambda path, **given: counted.append(path) or read(path, **given)
    )
    assert find_class_table(tmp_path, names).values == {}
    assert len(counted) == len(names)
