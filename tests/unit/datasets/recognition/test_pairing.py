from collections.abc import Sequence
from pathlib import PurePosixPath

import pytest

from autoseg.datasets.recognition.inventory import Item
from autoseg.datasets.recognition.pairing import Pairing, pair_named
from autoseg.datasets.recognition.roles import assign_roles, name_items
from autoseg.datasets.recognition.tokens import Part


def items(*paths: str) -> list[Item]:
    found = []
    for text in sorted(paths):
        path = PurePosixPath(text)
        ending = ".nii.gz" if text.endswith(".nii.gz") else path.suffix
        found.append(Item(path, path.name.removesuffix(ending), ending))
    return found


def pair(*paths: str, labels: Sequence[str] = ("mask", "seg", "label", "gt", ".png")) -> Pairing:
    """Pair paths; those with one of the given texts hold labels."""

    def look_like_labels(group: Sequence[Item]) -> bool:
        return all(any(text in item.path.as_posix() for text in labels) for item in group)

    return pair_named(assign_roles(name_items(items(*paths)), look_like_labels))


def pairs(found: Pairing) -> list[tuple[list[str], list[str]]]:
    return [
        (
            [entry.item.path.as_posix() for files in case.images.values() for entry in files],
            [entry.item.path.as_posix() for files in case.labels.values() for entry in files],
        )
        for case in found.cases
    ]


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/{0}.png", "masks/{0}.png"),
        ("images/scan{0}.png", "labels/scan{0}_label.png"),
        ("Image/P{0}.jpg", "GroundTruth/P{0}_seg.png"),
        ("P{0}/image.nii.gz", "P{0}/mask.nii.gz"),
        ("P{0}/ct.nii.gz", "P{0}/seg.nii.gz"),
        ("volume-{0}.nii.gz", "segmentation-{0}.nii.gz"),
        ("batch 1/volume-{0}.nii.gz", "batch 1/segmentation-{0}.nii.gz"),
        ("train/P{0}/image/P{0}.nii.gz", "train/P{0}/label/P{0}.nii.gz"),
        ("raw/sub-{0}/sub-{0}_ct.nii.gz", "derivatives/sub-{0}/sub-{0}_seg.nii.gz"),
        ("set/stills/{0}_7.tif", "set/Labeled/{0}_7_L.png"),
        ("folder/{0}.bmp", "folder/{0}.png"),
        ("x{0}.jpg", "x{0}_1.png"),
    ],
)
def test_images_and_labels_of_one_id_are_a_case(image: str, label: str) -> None:
    ids = ("001", "002", "013", "104")
    files = [text.format(number) for number in ids for text in (image, label)]
    found = pair(*files)
    assert pairs(found) == [([image.format(n)], [label.format(n)]) for n in ids]
    assert not found.unlabelled
    assert not found.orphans


def test_leading_zeros_do_not_matter_if_nothing_else_fits() -> None:
    found = pair(
        *(f"in/raw{n:04d}.tif" for n in range(12)), *(f"out/mask{n}.png" for n in range(12))
    )
    assert (["in/raw0007.tif"], ["out/mask7.png"]) in pairs(found)
    assert len(found.cases) == 12


def test_files_of_several_channels_belong_to_one_case() -> None:
    files = [f"c{n}/c{n}_{name}.nii.gz" for n in ("01", "02") for name in ("t1", "flair", "seg")]
    found = pair(*files)
    assert [len(case.images) for case in found.cases] == [2, 2]
    assert {key for case in found.cases for key in case.images} == {("t1",), ("flair",)}


def test_a_file_per_class_belongs_to_the_case_of_its_folder() -> None:
    names = ("liver", "spleen")
    files = [f"s{n}/segmentations/{name}.nii.gz" for n in ("0001", "0002") for name in names]
    found = pair(*files, "s0001/ct.nii.gz", "s0002/ct.nii.gz")
    assert [sorted(case.labels) for case in found.cases] == [[("liver",), ("spleen",)]] * 2


def test_equal_names_in_different_parts_are_different_cases() -> None:
    files = [
        f"{part}/{kind}/1.png" for part in ("train", "val", "test") for kind in ("images", "masks")
    ]
    found = pair(*files, labels=("masks",))
    assert {case.part for case in found.cases} == {Part.TRAINING, Part.VALIDATION, Part.TEST}


def test_images_without_labels_and_labels_without_images_are_told_apart() -> None:
    files = [f"images/{n}.jpg" for n in range(5)] + [f"masks/{n}.png" for n in range(1, 6)]
    found = pair(*files)
    assert len(found.cases) == 4
    assert [case.key for case in found.unlabelled] == [("0",)]
    assert [case.key for case in found.orphans] == [("5",)]


def test_contents_outweigh_names() -> None:
    """Files called masks hold intensities here, and those without a role hold the labels."""
    files = [f"in/mask{n}.png" for n in range(4)] + [f"out/{n}.png" for n in range(4)]
    found = pair(*files, labels=("out/",))
    assert (["in/mask2.png"], ["out/2.png"]) in pairs(found)


def test_two_images_of_the_same_tokens_are_not_guessed_at() -> None:
    files = [f"{folder}/{n}.nii.gz" for folder in ("images", "scans", "labels") for n in range(3)]
    assert not pair(*files, labels=("labels/",)).cases


def test_nothing_is_paired_if_names_share_no_token() -> None:
    files = [f"images/a{n}b.jpg" for n in "xyz"] + [f"masks/q{n}w.png" for n in "rst"]
    assert not pair(*files).cases
