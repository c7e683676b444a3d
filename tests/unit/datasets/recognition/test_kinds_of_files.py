"""Whole folders with drawings, other images, numbered folders, batches and copies."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_picture, write_volume

from autoseg.core.errors import DatasetError
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.recognition import Recognition
from autoseg.documents.dataset import LayoutOptions

SHAPE = (24, 32)


def put_photos(root: Path, paths: Iterable[str]) -> None:
    for path in paths:
        seed = sum(map(ord, path))
        photo = np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), np.uint8)
        write_picture(photo, root / path)


def put_masks(root: Path, paths: Iterable[str]) -> None:
    for seed, path in enumerate(paths):
        mask = np.zeros(SHAPE, np.uint8)
        mask[2 + seed % 5 : 12, 3 : 12 + seed % 11] = 1
        write_picture(mask, root / path)


def put_volumes(root: Path, paths: Iterable[str], shape: tuple[int, ...] = (4, 8, 8)) -> None:
    for seed, path in enumerate(paths):
        volume = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        write_volume(volume, root / path, spacing=(1.0, 1.0, 1.0))


def put_segmentations(root: Path, paths: Iterable[str], width: int = 3) -> None:
    for path in paths:
        labels = np.zeros((4, 8, 8), np.uint8)
        labels[1:3, 2:5, 2 : 2 + width] = 1
        write_volume(labels, root / path, spacing=(1.0, 1.0, 1.0))


def found(root: Path, **options: tuple[str, ...]) -> Recognition:
    return recognise(root, LayoutOptions(**options), label_maps=root.parent / "maps")


def pairs(recognition: Recognition) -> list[tuple[list[str], str]]:
    """Return the images and labels of each case, relative to the dataset."""
    spec = recognition.spec
    return [
        (
            [path.relative_to(spec.root).as_posix() for path in case.images],
            case.labels.relative_to(spec.root).as_posix(),
        )
        for case in spec.cases
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "dataset"


@pytest.mark.parametrize("images", ["rawimages", "sheep"])
def test_a_drawing_of_the_labels_is_not_an_image(root: Path, images: str) -> None:
    put_photos(root, (f"{images}/{n}.png" for n in (1, 2, 3)))
    put_masks(root, (f"groundtruth/{n}.png" for n in (1, 2, 3)))
    put_photos(root, (f"drawn_groundtruth/{n}.png" for n in (1, 2, 3)))
    assert pairs(found(root))[0] == ([f"{images}/1.png"], "groundtruth/1.png")


def test_images_in_a_folder_that_is_named_as_labels_stay_images(root: Path) -> None:
    put_photos(root, (f"sheep_seg_cases/{n}.png" for n in (1, 2, 3)))
    put_masks(root, (f"{kind}_mask/{n}.png" for kind in ("wool", "horn") for n in (1, 2, 3)))
    recognition = found(root, labels=("wool_mask/{case}.png",))
    assert pairs(recognition)[0] == (["sheep_seg_cases/1.png"], "wool_mask/1.png")


def test_chosen_labels_are_the_only_ones(root: Path) -> None:
    put_photos(
        root, (f"{part}_image/{part[1]}{n}.png" for part in ("train", "test") for n in (1, 2))
    )
    for kind in ("line", "edge"):
        put_masks(
            root, (f"{part}_{kind}/{part[1]}{n}.png" for part in ("train", "test") for n in (1, 2))
        )
    with pytest.raises(DatasetError, match=r"--label '\*_line/\{case\}.png'"):
        found(root)
    recognition = found(root, labels=("*_line/{case}.png",))
    assert [labels for _, labels in pairs(recognition)] == [
        "train_line/r1.png",
        "train_line/r2.png",
    ]
    assert len(recognition.spec.test_cases) == 2


def test_files_without_a_word_are_images_if_those_with_one_have_another_grid(root: Path) -> None:
    names = [f"P{n}/{{}}_{kind}.nii" for n in (1, 2, 3) for kind in ("warm", "cold")]
    put_volumes(root, (name.format("raw/a") for name in names), shape=(2, 6, 6))
    put_volumes(root, (name.format("done/a") for name in names))
    put_segmentations(root, (f"P{n}/mask.nii" for n in (1, 2, 3)))
    recognition = found(root)
    assert pairs(recognition)[0] == (["P1/done/a_cold.nii", "P1/done/a_warm.nii"], "P1/mask.nii")


def test_labels_without_a_word_are_a_kind_next_to_masks(root: Path) -> None:
    put_volumes(root, (f"P{n}/{kind}.nii" for n in (1, 2, 3) for kind in ("warm", "cold")))
    put_segmentations(root, (f"P{n}/SKINmask.nii" for n in (1, 2, 3)), width=5)
    put_segmentations(root, (f"P{n}/lump.nii" for n in (1, 2, 3)))
    assert found(root).spec.labels.names == ("background", "lump", "skin")
    recognition = found(root, labels=("*/lump.nii",))
    assert pairs(recognition)[1] == (["P2/cold.nii", "P2/warm.nii"], "P2/lump.nii")


def test_the_number_of_a_listed_folder_is_not_the_id_of_a_case(root: Path) -> None:
    ids = ((2, 10), (2, 11), (3, 10))
    put_photos(root, (f"2_Fields_RGB/farm_{a}_{b}_RGB.png" for a, b in ids))
    put_photos(root, (f"1_Hills/hill_{a:02d}_{b:02d}.png" for a, b in ids))
    put_masks(root, (f"5_Labels_all/farm_{a}_{b}_label.png" for a, b in ids))
    images, labels = pairs(found(root))[0]
    assert (images, labels) == (
        ["2_Fields_RGB/farm_2_10_RGB.png"],
        "5_Labels_all/farm_2_10_label.png",
    )


def test_two_kinds_of_images_with_the_same_numbers_are_a_choice(root: Path) -> None:
    put_photos(root, (f"photos/farm2_{n}.png" for n in (5, 6, 7)))
    put_photos(root, (f"photos/hill_{n:02d}.png" for n in (5, 6, 7)))
    put_masks(root, (f"masks/herd_{n}.png" for n in (5, 6, 7)))
    with pytest.raises(DatasetError, match="two kinds of images have the numbers"):
        found(root)


def test_words_of_a_folder_tell_apart_the_files_in_it(root: Path) -> None:
    folders = [f"P{n}/2020-WARM-COLD walk-{n}" for n in (1, 2, 3)]
    put_volumes(root, (f"{folder}/{kind}.nii" for folder in folders for kind in ("COLD", "WARM")))
    put_segmentations(root, (f"{folder}/SEG.nii" for folder in folders))
    recognition = found(root)
    assert "channels: cold, warm, from the names of files" in recognition.spec.inferred


def test_ids_of_single_images_are_not_part_of_a_channel(root: Path) -> None:
    for n, number in ((1, 70605), (2, 70618), (3, 70703)):
        put_volumes(root, (f"{n}/X.{kind}.{number + k}.nii" for k, kind in enumerate(("A", "B"))))
        put_segmentations(root, [f"{n}/X.seg.{number + 9}.nii"])
    assert "channels: a, b, from the names of files" in found(root).spec.inferred


def test_folders_name_the_case_if_channels_and_labels_share_words(root: Path) -> None:
    put_volumes(root, (f"P{n}/r_{kind}.nii" for n in (1, 2, 3) for kind in ("warm", "cold")))
    put_segmentations(root, (f"P{n}/seg_warm_cold.nii" for n in (1, 2, 3)))
    assert pairs(found(root))[0] == (["P1/r_cold.nii", "P1/r_warm.nii"], "P1/seg_warm_cold.nii")


def test_words_of_roles_tell_apart_kinds_of_labels(root: Path) -> None:
    put_photos(root, (f"images/{n}.png" for n in (1, 2, 3)))
    put_masks(root, (f"v1/{kind}/{n}.png" for kind in ("labels", "masks") for n in (1, 2, 3)))
    with pytest.raises(DatasetError, match=r"--label 'v1/masks/\{case\}.png'"):
        found(root)


@pytest.mark.parametrize("size", [1, 2])
def test_the_same_images_in_two_folders_are_refused(root: Path, size: int) -> None:
    ramp = np.add.outer(np.arange(24), np.arange(32))
    for n in (1, 2, 3):
        photo = np.stack([ramp * n, ramp[::-1], ramp], -1).astype(np.uint8)
        write_picture(photo, root / f"big/Original/{n}.png")
        write_picture(photo[::size, ::size], root / f"small/Original/{n}.png")
        put_masks(root, [f"big/Truth/{n}.png"])
        write_picture(np.eye(24 // size, 32 // size, dtype=np.uint8), root / f"small/Truth/{n}.png")
    with pytest.raises(DatasetError, match="the same images are in two folders") as error:
        found(root)
    assert "--image 'small/Original/*.png' --label 'small/Truth/*.png'" in str(error.value)
    chosen = found(root, images=("big/Original/*.png",), labels=("big/Truth/*.png",))
    assert len(chosen.spec.cases) == 3


def test_a_folder_of_no_part_next_to_training_is_a_choice(root: Path) -> None:
    for folder, ids in (("training", (1, 2, 3)), ("abroad", (4, 5))):
        put_photos(root, (f"{folder}/images/{n}.png" for n in ids))
        put_masks(root, (f"{folder}/masks/{n}.png" for n in ids))
    with pytest.raises(DatasetError, match="3 cases in training, and 2 in abroad"):
        found(root)
    chosen = found(root, images=("training/images/*.png", "abroad/images/*.png"))
    assert len(chosen.spec.cases) == 5


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (("patient1_slice1", "patient1_slice2", "patient2_slice1"), ["patient_1", "patient_2"]),
        (("P1_L", "P1_R", "P2_L"), ["p1", "p2"]),
        (("ewe7_left", "ewe7_right", "ewe8_left"), ["ewe_7", "ewe_8"]),
        (("ewe7", "ewe7_flip", "ewe8"), ["7", "8"]),
        (("7_wool", "7_horn", "8_wool"), []),
        (("7", "8", "9"), []),
    ],
)
def test_names_of_cases_give_groups_if_a_word_says_it(
    root: Path, names: tuple[str, ...], groups: list[str]
) -> None:
    put_photos(root, (f"images/{name}.png" for name in names))
    put_masks(root, (f"masks/{name}.png" for name in names))
    recognition = found(root)
    assert sorted({case.group for case in recognition.spec.cases if case.group}) == groups
    is_noted = any("mark the beginning with {group}" in note for note in recognition.notes)
    assert is_noted == ("7_wool" in names)


def test_cases_in_two_folders_of_images_are_named_after_their_files(root: Path) -> None:
    put_photos(root, (f"images_part_{1 + n // 3}/EWE_{n:03d}.png" for n in range(1, 6)))
    put_masks(root, (f"masks/EWE_{n:03d}_mask.png" for n in range(1, 6)))
    rows = [f"h{n // 2},EWE_{n:03d}" for n in range(1, 6)]
    (root / "who.csv").write_text("\n".join(["lesion_id,image_id", *rows]) + "\n")
    cases = found(root).spec.cases
    assert [case.name for case in cases] == [f"EWE_{n:03d}" for n in range(1, 6)]
    assert [case.group for case in cases] == ["h0", "h1", "h1", "h2", "h2"]


@pytest.mark.parametrize("folders", [("Batch 1", "Batch 2"), ("1-200", "201-400")])
def test_batches_are_not_groups(root: Path, folders: tuple[str, str]) -> None:
    names = [f"{folders[n // 3]}/{n}" for n in range(1, 6)]
    put_photos(root, (f"{name}.img.png" for name in names))
    put_masks(root, (f"{name}.label.png" for name in names))
    assert {case.group for case in found(root).spec.cases} == {None}


def test_labels_with_frames_are_explained(root: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 3, (4, 8, 8, 6)).astype(np.int16)
    import SimpleITK

    for name in ("a_sa", "a_sa_gt", "b_sa", "b_sa_gt"):
        root.mkdir(exist_ok=True)
        image = SimpleITK.GetImageFromArray(frames, isVector=True)
        SimpleITK.WriteImage(image, str(root / f"{name}.nii.gz"))
    with pytest.raises(DatasetError, match=r"6 layers that differ.*add --mask onehot"):
        found(root)


def test_labels_in_the_test_part_alone_are_explained(root: Path) -> None:
    put_photos(root, (f"{part}/images/{n}.png" for part in ("train", "test") for n in (1, 2)))
    put_masks(root, (f"test/masks/{n}.png" for n in (1, 2)))
    with pytest.raises(DatasetError, match="all 2 cases with labels are in the test part"):
        found(root)
