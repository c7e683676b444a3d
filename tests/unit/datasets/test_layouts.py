import json
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from synthetic import write_picture, write_volume

from autoseg.core.errors import DatasetError
from autoseg.datasets.issues import format_issues
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.inference import FoundValues

VOLUME = np.zeros((3, 5, 7), np.uint8)
VOLUME[1, 2:4, 3] = 1
GREY = np.zeros((6, 9), np.uint8)
GREY[2:4, 3] = 255


def put_volume(*paths: Path) -> None:
    for path in paths:
        write_volume(VOLUME, path, spacing=(2.0, 1.0, 1.0))


def put_picture(*paths: Path, values: np.ndarray = GREY) -> None:
    for path in paths:
        write_picture(values, path)


def describe(root: Path, **entries: object) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(entries))


def raw_dataset(root: Path, **entries: object) -> Path:
    """An nnU-Net raw dataset of two cases with two channels."""
    for case in ("a_0001", "b"):
        put_volume(root / "imagesTr" / f"{case}_0000.nii.gz")
        put_volume(root / "imagesTr" / f"{case}_0001.nii.gz")
        put_volume(root / "labelsTr" / f"{case}.nii.gz")
    basic = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "lesion": 1},
        "file_ending": ".nii.gz",
    }
    describe(root, **(basic | entries))
    return root


def test_decathlon_pairs_are_read(volumes_dataset: Path) -> None:
    recognition = recognise(volumes_dataset)
    spec = recognition.spec
    assert (spec.layout, spec.name, spec.num_axes) == ("decathlon", "Task90_Balls", 3)
    assert spec.channel_names == ("MRI",)
    assert spec.labels.names == ("background", "bright", "dim")
    assert [case.name for case in spec.cases] == [f"ball_{index:02d}" for index in range(6)]
    assert (recognition.issues, recognition.notes) == ((), ())
    assert [str(fact) for fact in recognition.facts] == [
        "layout: decathlon, 3-D images",
        "cases: 6 cases",
        "example: ball_00: imagesTr/ball_00.nii.gz with labelsTr/ball_00.nii.gz",
        "channels: MRI, from dataset.json",
        "classes: 0=background, 1=bright, 2=dim, from dataset.json",
    ]
    assert spec.inferred == tuple(map(str, recognition.facts))


def test_a_decathlon_image_may_be_one_file_per_channel(tmp_path: Path) -> None:
    files = [tmp_path / "imagesTr" / f"p_000{index}.nii.gz" for index in range(2)]
    put_volume(*files, tmp_path / "labelsTr" / "p.nii.gz")
    describe(
        tmp_path,
        channel_names=["T1", "T2"],
        labels={"0": "background", "1": "lesion"},
        training=[
            {"image": [f"imagesTr/{file.name}" for file in files], "label": "labelsTr/p.nii.gz"}
        ],
    )
    (case,) = recognise(tmp_path).spec.cases
    assert (case.name, case.images) == ("p", tuple(files))


def test_a_decathlon_image_may_stand_on_disk_with_channel_numbers(tmp_path: Path) -> None:
    """The first nnU-Net wrote CASE.nii.gz into dataset.json for CASE_0000.nii.gz."""
    put_volume(tmp_path / "imagesTr" / "p_0000.nii.gz", tmp_path / "labelsTr" / "p.nii.gz")
    pair = {"image": "./imagesTr/p.nii.gz", "label": "./labelsTr/p.nii.gz"}
    describe(tmp_path, modality={"0": "CT"}, labels={"0": "background", "1": "x"}, training=[pair])
    (case,) = recognise(tmp_path).spec.cases
    assert (case.name, case.images[0].name) == ("p", "p_0000.nii.gz")


def test_files_of_one_name_in_several_folders_stay_apart(tmp_path: Path) -> None:
    pairs = []
    for patient in ("p1", "p2"):
        put_volume(tmp_path / patient / "image.nii.gz", tmp_path / patient / "labels.nii.gz")
        pairs.append({"image": f"{patient}/image.nii.gz", "label": f"{patient}/labels.nii.gz"})
    describe(tmp_path, modality={"0": "CT"}, labels={"0": "background", "1": "x"}, training=pairs)
    assert [case.name for case in recognise(tmp_path).spec.cases] == ["p1_image", "p2_image"]


def test_files_of_one_name_outside_the_dataset_get_names_that_folders_can_have(
    tmp_path: Path,
) -> None:
    for folder in ("first", "second"):
        put_volume(tmp_path / folder / "a.nii.gz", tmp_path / folder / "labels.nii.gz")
    pairs = [
        {"image": f"../{folder}/a.nii.gz", "label": f"../{folder}/labels.nii.gz"}
        for folder in ("first", "second")
    ]
    describe(tmp_path / "DS", labels={"background": 0, "x": 1}, training=pairs)
    recognition = recognise(tmp_path / "DS")
    assert [case.name for case in recognition.spec.cases] == ["first_a", "second_a"]
    assert recognition.issues == ()


def test_nnunet_channels_are_grouped_by_case(tmp_path: Path) -> None:
    recognition = recognise(raw_dataset(tmp_path / "Dataset001_X"))
    assert recognition.spec.layout == "nnunet_raw"
    assert recognition.issues == ()
    cases = recognition.spec.cases
    assert [case.name for case in cases] == ["a_0001", "b"]
    assert [path.name for path in cases[0].images] == [
        "a_0001_0000.nii.gz",
        "a_0001_0001.nii.gz",
    ]


def test_endings_in_capitals_are_those_of_the_dataset_and_others_are_named(tmp_path: Path) -> None:
    root = raw_dataset(tmp_path / "Dataset001_X")
    for name in ("imagesTr/b_0000", "imagesTr/b_0001", "labelsTr/b"):
        (root / f"{name}.nii.gz").rename(root / f"{name}.NII.GZ")
    put_volume(root / "imagesTr" / "d_0000.nrrd", root / "labelsTr" / "d.nrrd")
    recognition = recognise(root)
    assert [case.name for case in recognition.spec.cases] == ["a_0001", "b"]
    assert any("the file_ending in dataset.json is .nii.gz" in note for note in recognition.notes)
    assert any("d_0000.nrrd" in note for note in recognition.notes)


def test_nnunet_may_map_cases_to_files_elsewhere(tmp_path: Path) -> None:
    put_volume(tmp_path / "far" / "x.nii.gz", tmp_path / "far" / "y.nii.gz")
    root = tmp_path / "Dataset002_Y"
    describe(
        root,
        channel_names={"0": "CT"},
        labels={"background": 0, "liver": 1},
        file_ending=".nii.gz",
        dataset={
            "one": {"images": ["../far/x.nii.gz"], "label": str(tmp_path / "far" / "y.nii.gz")},
            "two": {"images": ["../far/gone.nii.gz"], "label": "../far/y.nii.gz"},
        },
    )
    recognition = recognise(root)
    assert [case.name for case in recognition.spec.cases] == ["one"]
    assert "gone.nii.gz, which does not exist" in format_issues(recognition.issues)


@pytest.mark.parametrize("name", ["../a", "site/a", ".a", ""])
def test_a_mapped_case_whose_name_leads_elsewhere_is_a_issue(name: str, tmp_path: Path) -> None:
    put_volume(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    files = {"images": ["a.nii.gz"], "label": "b.nii.gz"}
    describe(tmp_path, labels={"background": 0, "x": 1}, dataset={name: files, "good": files})
    recognition = recognise(tmp_path)
    assert [case.name for case in recognition.spec.cases] == ["good"]
    (issue,) = recognition.issues
    assert issue.case == name
    assert "not a valid folder name" in issue.sentence


def test_folders_alone_are_enough(pictures_dataset: Path) -> None:
    recognition = recognise(pictures_dataset)
    spec = recognition.spec
    assert (spec.layout, spec.num_axes, len(spec.cases)) == ("folders", 2, 6)
    assert spec.channel_names == ("channel_0", "channel_1", "channel_2")
    assert spec.labels.names == ("background", "label_255")
    assert spec.labels.values == (0, 255)
    told = " ".join(spec.inferred)
    for word in ("6 cases", "images/", ".png", "2-D", "3 without names", "255=label_255"):
        assert word in told


def test_images_and_labels_may_have_different_endings(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "one.jpg", tmp_path / "labels" / "one.png")
    put_picture(tmp_path / "images" / "two.bmp", tmp_path / "labels" / "two.tif")
    recognition = recognise(tmp_path)
    assert [case.name for case in recognition.spec.cases] == ["one", "two"]
    assert recognition.issues == ()


def test_a_number_at_the_end_is_no_channel_when_the_label_has_it_too(tmp_path: Path) -> None:
    for index in range(3):
        name = f"frame_{index:04d}.png"
        put_picture(tmp_path / "images" / name, tmp_path / "labels" / name)
    spec = recognise(tmp_path).spec
    assert [case.name for case in spec.cases] == ["frame_0000", "frame_0001", "frame_0002"]
    assert len(spec.channel_names) == 1


def test_stray_files_are_ignored(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "a.png", tmp_path / "labels" / "a.png")
    for stray in (".DS_Store", "._a.png", "Thumbs.db", "notes.txt", ".a.png", "a.json"):
        (tmp_path / "images" / stray).write_text("stray")
        (tmp_path / "labels" / stray).write_text("stray")
    (tmp_path / "images" / "folder.png").mkdir()
    recognition = recognise(tmp_path)
    assert len(recognition.spec.cases) == 1
    assert recognition.issues == ()


def test_every_incomplete_case_is_listed(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "good.png", tmp_path / "labels" / "good.png")
    put_picture(tmp_path / "images" / "lonely.png", tmp_path / "labels" / "orphan.png")
    put_picture(tmp_path / "images" / "twice.png", tmp_path / "images" / "twice.bmp")
    put_picture(tmp_path / "labels" / "twice.png")
    put_picture(tmp_path / "images" / "gap_0000.png", tmp_path / "images" / "gap_0002.png")
    put_picture(tmp_path / "labels" / "gap.png")
    recognition = recognise(tmp_path)
    assert [case.name for case in recognition.spec.cases] == ["good"]
    causes = {issue.case: issue.cause for issue in recognition.issues}
    assert causes.keys() == {"lonely", "orphan", "twice", "gap"}
    assert "no label file found for the image lonely.png" in causes["lonely"]
    assert "no image found for the label file orphan.png" in causes["orphan"]
    assert "twice.bmp, twice.png" in causes["twice"]
    assert "without a gap" in causes["gap"]


def test_missing_files_of_a_listed_case_are_issues(tmp_path: Path) -> None:
    put_volume(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    describe(
        tmp_path,
        modality={"0": "CT"},
        labels={"0": "background", "1": "x"},
        training=[
            {"image": "a.nii.gz", "label": "b.nii.gz"},
            {"image": "no.nii.gz", "label": "never.nii.gz"},
        ],
    )
    recognition = recognise(tmp_path)
    assert [case.name for case in recognition.spec.cases] == ["a"]
    assert {issue.case for issue in recognition.issues} == {"no"}
    assert len(recognition.issues) == 2


def test_a_case_that_is_listed_twice_is_a_issue(tmp_path: Path) -> None:
    put_volume(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", tmp_path / "c.nii.gz")
    twice = {"image": "a.nii.gz", "label": "b.nii.gz"}
    pairs = [twice, twice, {"image": "c.nii.gz", "label": "b.nii.gz"}]
    describe(tmp_path, modality={"0": "CT"}, labels={"0": "background", "1": "x"}, training=pairs)
    recognition = recognise(tmp_path)
    assert [case.name for case in recognition.spec.cases] == ["c"]
    assert "lists it 2 times" in recognition.issues[0].cause


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ({"background": 0, "organ": 200, "vessel": 50}, (0, 50, 200)),
        ({"0": "background", "200": "organ", "50": "vessel"}, (0, 50, 200)),
        ({"background": "0", "organ": "7"}, (0, 7)),
        ({"cell": 0, "background": 255}, (255, 0)),
        ({"inside": 0, "wall": 3}, (0, 3)),
    ],
    ids=["by name", "by value", "text values", "named background", "zero is background"],
)
def test_labels_start_with_the_background(
    labels: dict, values: tuple[int, ...], tmp_path: Path
) -> None:
    spec = recognise(raw_dataset(tmp_path, labels=labels)).spec
    assert spec.labels.values == values


def test_background_is_taken_from_the_files_when_it_is_not_declared(tmp_path: Path) -> None:
    spec = recognise(raw_dataset(tmp_path, labels={"lesion": 1})).spec
    assert spec.labels.names == ("background", "lesion")
    assert any("0=background, 1=lesion" in sentence for sentence in spec.inferred)


def test_a_dataset_whose_label_files_cannot_be_read_is_refused(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"no label file can be read.*a\.png"):
        recognise(tmp_path)


def numbered(root: Path, *largest: int) -> Path:
    """A dataset whose label files count from 0 to each of some numbers."""
    for index, end in enumerate(largest):
        values = np.arange(6 * 9).reshape(6, 9).clip(max=end).astype(np.uint8)
        put_picture(root / "images" / f"{index}.png")
        put_picture(root / "labels" / f"{index}.png", values=values)
    return root


def test_label_values_that_seem_to_number_objects_are_noted(tmp_path: Path) -> None:
    (note,) = recognise(numbered(tmp_path, 3, 12, 8)).notes
    assert "look like instance ids, not like classes" in note
    assert "up to 12" in note
    describe(tmp_path, labels={"background": 0, **{f"part {i}": i for i in range(1, 13)}})
    assert recognise(tmp_path).notes == ()


@pytest.mark.parametrize("largest", [(12, 12, 12), (3, 7)], ids=["all alike", "few"])
def test_other_label_values_are_classes(largest: tuple[int, ...], tmp_path: Path) -> None:
    assert recognise(numbered(tmp_path, *largest)).notes == ()


def test_values_of_which_any_may_be_missing_are_classes(tmp_path: Path) -> None:
    numbered(tmp_path, 12, 10)
    upper = (np.arange(6 * 9).reshape(6, 9) % 5 + 6).astype(np.uint8)
    put_picture(tmp_path / "labels" / "1.png", values=upper)
    assert recognise(tmp_path).notes == ()


def test_without_zero_the_lowest_value_is_background(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "a.png")
    put_picture(tmp_path / "labels" / "a.png", values=GREY // 255 + 7)
    labels = recognise(tmp_path).spec.labels
    assert (labels.values, labels.names) == ((7, 8), ("background", "label_8"))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"background": 0, "whole": [1, 2]}, r"no regions_class_order.*_order\": \[1\]"),
        ({"background": 0, "x": 1, "ignore": [2, 3]}, r"ignore label .* has the values \[2, 3\]"),
        ({"background": 0, "x": 1, "ignore": 1}, "ignore value 1 is also a class value"),
        ({"background": 0, "x": []}, "has no value"),
        ({"background": 0, "all": [0, 1]}, "of which 0 is the background"),
        ({"background": 0, "whole": [1, 2], "a": 1, "b": 1}, "value 1 twice"),
        ({"background": 0}, r"at least one class(.|\n)*Correct the labels in dataset.json"),
        ({"background": 0, "a": 1, "b": 1}, "value 1 twice"),
        ({"background": 0, "a": "b"}, "has no value"),
        ({"background": 0, "a": -1}, "greater than or equal to 0"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(
    labels: dict, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=f"(?s){words}"):
        recognise(raw_dataset(tmp_path, labels=labels))


REGIONS = {"background": 0, "whole": [1, 2, 7], "core": [2, 7], "tip": 7, "ignore": 9}


def test_regions_and_the_ignore_label_are_read_as_nnunet_writes_them(tmp_path: Path) -> None:
    labels = recognise(
        raw_dataset(tmp_path, labels=REGIONS, regions_class_order=[1, 2, 7])
    ).spec.labels
    assert labels.values == (0, 1, 2, 7)
    assert labels.names == ("background", "label 1", "label 2", "tip")
    assert [(region.name, region.values) for region in labels.regions] == [
        ("whole", (1, 2, 7)),
        ("core", (2, 7)),
        ("tip", (7,)),
    ]
    assert [region.written_as for region in labels.regions] == [1, 2, 7]
    assert labels.ignore == 9


def test_without_regions_the_ignore_label_is_no_class(tmp_path: Path) -> None:
    declared = {"0": "background", "1": "a", "2": "Ignore"}
    labels = recognise(raw_dataset(tmp_path, labels=declared)).spec.labels
    assert (labels.values, labels.regions, labels.ignore) == ((0, 1), (), 2)


def test_values_of_regions_count_from_zero_as_background(tmp_path: Path) -> None:
    declared = {"whole": [1, 2], "core": [2]}
    labels = recognise(
        raw_dataset(tmp_path, labels=declared, regions_class_order=[1, 2])
    ).spec.labels
    assert labels.names == ("background", "label 1", "core")


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (None, r"3 regions, but no regions_class_order.*\[1, 2, 7\]"),
        ([1, 2], r"3 regions, but regions_class_order \[1, 2\]"),
        ([1, 2, 8], r"has 8 for 'tip'; expected one of \[7\]"),
        ([1, 1, 7], r"has 1 for 'core'; expected one of \[2, 7\]"),
    ],
)
def test_regions_need_the_values_that_they_are_written_as(order, words: str, tmp_path) -> None:
    more = {} if order is None else {"regions_class_order": order}
    with pytest.raises(DatasetError, match=f"(?s){words}"):
        recognise(raw_dataset(tmp_path, labels=REGIONS, **more))


def test_object_numbers_are_not_taken_for_classes(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "a.png")
    numbers = np.arange(100, dtype=np.uint8).reshape(10, 10)
    put_picture(tmp_path / "labels" / "a.png", values=numbers)
    with pytest.raises(DatasetError, match=r"100 different values.*--mask instances"):
        recognise(tmp_path)


@pytest.mark.parametrize("beside", [True, False], ids=["groups.json", "dataset.json"])
def test_groups_come_from_either_json(beside: bool, tmp_path: Path) -> None:
    groups = {"a_0001": "anna", "elsewhere": "nobody", "b": 7}
    root = raw_dataset(tmp_path, **({} if beside else {"groups": groups}))
    if beside:
        (root / "groups.json").write_text(json.dumps(groups))
    assert [case.group for case in recognise(root).spec.cases] == ["anna", "7"]


def test_groups_of_cases_that_do_not_exist_are_mentioned(tmp_path: Path) -> None:
    groups = {"a_0001": "p", "b": "p", "b.nii.gz": "p"}
    (note,) = recognise(raw_dataset(tmp_path, groups=groups)).notes
    assert note.startswith("groups are declared for 1 names that are not cases: b.nii.gz.")
    assert recognise(raw_dataset(tmp_path, groups={"b": "p"})).notes == ()


def test_groups_beside_plain_folders_change_nothing_else(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "a.png", tmp_path / "labels" / "a.png")
    (tmp_path / "groups.json").write_text('{"a": "anna"}')
    spec = recognise(tmp_path).spec
    assert (spec.layout, spec.cases[0].group) == ("folders", "anna")


def test_two_dimensional_nifti_is_two_dimensional(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for folder in ("images", "labels"):
            write_volume(VOLUME[1:2], tmp_path / folder / f"{name}.nii.gz", spacing=(5.0, 1, 1))
    assert recognise(tmp_path).spec.num_axes == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{oops", "not valid JSON"),
        ("[1]", "one JSON object"),
        ('{"training": 3}', "training: "),
        ("[" * 10_000, "not valid JSON"),
        ('{"name": "\\ud800"}', "not valid JSON"),
        (f'{{"numTraining": {"9" * 5000}}}', "not valid JSON"),
        (f'{{"training": [{{"image": "{"9" * 5000}", "label": "a"}}]}}', "training.0.image"),
        (f'{{"training": [{{"image": "a", "label": "{"9" * 300}/b"}}]}}', "up to 255 bytes"),
        ('{"training": [], "labels": {"²": "liver"}}', "has no value"),
        (f'{{"labels": {{"{"9" * 5000}": "liver"}}}}', "has no value"),
    ],
)
def test_a_damaged_description_is_explained(content: str, words: str, tmp_path: Path) -> None:
    root = raw_dataset(tmp_path)
    (root / "dataset.json").write_text(content)
    with pytest.raises(DatasetError, match=words):
        recognise(root)


def test_channel_numbers_must_be_complete(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected 0 to 1"):
        recognise(raw_dataset(tmp_path, channel_names={"0": "T1", "2": "T2"}))


@pytest.mark.parametrize("key", ["²", "٣", "9" * 5000, "-0"])
def test_channel_numbers_are_decimal_digits(key: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected 0 to 1"):
        recognise(raw_dataset(tmp_path, channel_names={"0": "T1", key: "T2"}))


def test_an_unknown_folder_says_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(
        DatasetError, match=r"found files none.*images/case_1.nii.gz and labels/case_1"
    ):
        recognise(tmp_path)
    with pytest.raises(DatasetError, match="not a folder"):
        recognise(tmp_path / "nowhere")


def test_a_dataset_without_a_complete_case_is_refused(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "a.png", tmp_path / "labels" / "b.png")
    with pytest.raises(DatasetError, match=r"(?s)no case is complete.*no label file.*no image"):
        recognise(tmp_path)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "num_axes", "channels", "cases"),
    [
        ("Task04_Hippocampus", 3, 1, 200),
        ("VNC_ssTEM_3D", 3, 1, 12),
        ("OpenMS_MNI_4ch", 3, 4, 2),
        ("ISBI2012_EM_membrane", 2, 1, 24),
        ("DSB2018_nuclei_RGB", 2, 3, 100),
    ],
)
def test_real_datasets_are_recognised(
    name: str, num_axes: int, channels: int, cases: int, real_data: Path
) -> None:
    recognition = recognise(real_data / name)
    spec = recognition.spec
    assert (spec.num_axes, len(spec.channel_names), len(spec.cases)) == (num_axes, channels, cases)
    assert recognition.issues == ()


def test_a_listed_name_may_have_brackets_and_backslashes_but_no_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_volume(tmp_path / "imagesTr" / "p[1]_0000.nii.gz", tmp_path / "labelsTr" / "p[1].nii.gz")
    put_volume(tmp_path / "imagesTr" / "q.nii.gz", tmp_path / "labelsTr" / "q.nii.gz")
    put_volume(tmp_path / "imagesTr" / "r.nii.gz", tmp_path / "labelsTr" / "r.nii.gz")
    monkeypatch.setenv("WHERE", str(tmp_path / "imagesTr"))
    training = [
        {"image": "imagesTr/p[1].nii.gz", "label": "labelsTr/p[1].nii.gz"},
        {"image": "imagesTr\\q.nii.gz", "label": ".\\labelsTr\\q.nii.gz"},
        {"image": "$WHERE/r.nii.gz", "label": "labelsTr/r.nii.gz"},
    ]
    describe(tmp_path, labels={"background": 0, "x": 1}, training=training, test=None, groups=None)
    recognition = recognise(tmp_path)
    assert [case.name for case in recognition.spec.cases] == ["p[1]", "q"]
    assert [issue.case for issue in recognition.issues] == ["r"]
    assert "lists $WHERE/r.nii.gz, which does not exist" in recognition.issues[0].cause


def test_an_accent_pairs_however_it_is_written(tmp_path: Path) -> None:
    for kind, form in (("images", "NFC"), ("labels", "NFD")):
        put_volume(tmp_path / kind / normalize(form, "é.nii.gz"))
    recognition = recognise(tmp_path)
    assert [case.name for case in recognition.spec.cases] == [normalize("NFC", "é")]


def test_a_single_name_is_the_only_channel_and_a_list_names_the_labels(tmp_path: Path) -> None:
    put_volume(
        *(
            tmp_path / folder / f"{case}.nii.gz"
            for folder in ("imagesTr", "labelsTr")
            for case in "ab"
        )
    )
    pairs = [
        {"image": f"imagesTr/{case}.nii.gz", "label": f"labelsTr/{case}.nii.gz"} for case in "ab"
    ]
    describe(tmp_path, modality="CT", labels=["background", "tumour"], training=pairs)
    spec = recognise(tmp_path).spec
    assert spec.channel_names == ("CT",)
    assert (spec.labels.names, spec.labels.values) == (("background", "tumour"), (0, 1))


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    put_volume(tmp_path / "images" / "a.nii.gz", tmp_path / "labels" / "a.nii.gz")
    describe(tmp_path, labels={"0": "background", "1": "tumour", "2": "tumour"})
    with pytest.raises(DatasetError, match="distinct names; found 'tumour' twice"):
        recognise(tmp_path)


def test_listed_validation_cases_are_held_out(tmp_path: Path) -> None:
    put_volume(*(tmp_path / folder / f"{case}.nii.gz" for folder in ("i", "l") for case in "abcd"))
    pairs = [{"image": f"i/{case}.nii.gz", "label": f"l/{case}.nii.gz"} for case in "abcd"]
    describe(
        tmp_path,
        labels={"background": 0, "x": 1},
        training=pairs[:2],
        validation=pairs[2:3],
        testing=pairs[3:],
    )
    spec = recognise(tmp_path).spec
    assert [(fold.train, fold.validation) for fold in spec.splits] == [(("a", "b"), ("c",))]
    assert [case.name for case in spec.cases] == ["a", "b", "c"]
    assert [case.name for case in spec.test_cases] == ["d"]


def test_listed_folds_are_used(tmp_path: Path) -> None:
    put_volume(*(tmp_path / folder / f"{case}.nii.gz" for folder in ("i", "l") for case in "abc"))
    pairs = [
        {"image": f"i/{case}.nii.gz", "label": f"l/{case}.nii.gz", "fold": number % 2}
        for number, case in enumerate("abc")
    ]
    describe(tmp_path, labels={"background": 0, "x": 1}, training=pairs)
    folds = recognise(tmp_path).spec.splits
    assert [(fold.train, fold.validation) for fold in folds] == [
        (("b",), ("a", "c")),
        (("a", "c"), ("b",)),
    ]


def test_a_listed_case_without_a_fold_is_always_trained_on(tmp_path: Path) -> None:
    put_volume(*(tmp_path / folder / f"{case}.nii.gz" for folder in ("i", "l") for case in "abc"))
    pairs = [{"image": f"i/{case}.nii.gz", "label": f"l/{case}.nii.gz"} for case in "abc"]
    listed = [pairs[0] | {"fold": 0}, pairs[1] | {"fold": 1}, pairs[2]]
    describe(tmp_path, labels={"background": 0, "x": 1}, training=listed)
    folds = recognise(tmp_path).spec.splits
    assert [(fold.train, fold.validation) for fold in folds] == [
        (("b", "c"), ("a",)),
        (("a", "c"), ("b",)),
    ]
    describe(
        tmp_path,
        labels={"background": 0, "x": 1},
        training=[pair | {"fold": 0} for pair in pairs],
        validation=[{"image": "i/d.nii.gz"}],
    )
    recognition = recognise(tmp_path)
    assert recognition.spec.splits == ()
    assert any("1 entries of validation in dataset.json have" in n for n in recognition.notes)


def test_a_link_to_a_missing_file_is_a_case_with_an_issue(tmp_path: Path) -> None:
    for case in "ab":
        put_picture(tmp_path / "images" / f"{case}.png", tmp_path / "labels" / f"{case}.png")
    for folder in ("images", "labels"):
        (tmp_path / folder / "c.png").symlink_to(tmp_path / "gone.png")
    assert [case.name for case in recognise(tmp_path).spec.cases] == ["a", "b", "c"]


def test_masks_of_1_and_of_8_bits_are_one_class(tmp_path: Path) -> None:
    put_picture(*(tmp_path / "images" / f"{case}.png" for case in "abc"))
    put_picture(tmp_path / "labels" / "a.png", tmp_path / "labels" / "b.png")
    put_picture(tmp_path / "labels" / "c.png", values=GREY // 255)
    spec = recognise(tmp_path, label_maps=tmp_path / "maps").spec
    assert spec.labels.values == (0, 1)
    assert {case.labels.parent.parent.name for case in spec.cases} == {"maps"}


@pytest.mark.parametrize("bright", [255, 65535])
def test_files_of_1_and_of_a_brighter_value_are_masks_unless_one_has_both(bright: int) -> None:
    files = ((0, 1), (0, bright))
    assert FoundValues((0, 1, bright), files).are_masks_of_two_depths
    assert not FoundValues((0, 1, bright), (*files, (0, 1, bright))).are_masks_of_two_depths
