"""Whole folders of small images: which labels are taken, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import write_picture, write_volume

from autoseg.core.errors import DatasetError
from autoseg.datasets.inspection import inspect_case
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.recognition import Recognition
from autoseg.documents.dataset import LayoutOptions

SHAPE = (24, 32)
CASES = ("c1", "c2", "c3", "c4")


def photo(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), np.uint8)


def classes(seed: int, values: tuple[int, ...] = (1, 2)) -> np.ndarray:
    """Rectangles of some values, at places that depend on the seed."""
    labels = np.zeros(SHAPE, np.uint8)
    for place, value in enumerate(values):
        row, column = 1 + (5 * seed + 9 * place) % 14, 2 + (7 * seed + 11 * place) % 20
        labels[row : row + 7, column : column + 8] = value
    return labels


def put_photos(root: Path, pattern: str = "images/{}.png") -> None:
    for seed, case in enumerate(CASES):
        write_picture(photo(seed), root / pattern.format(case))


def put_labels(root: Path, pattern: str, make: Callable[[int], np.ndarray] = classes) -> None:
    for seed, case in enumerate(CASES):
        write_picture(make(seed), root / pattern.format(case))


def found(root: Path, tmp_path: Path, options: LayoutOptions | None = None) -> Recognition:
    maps = tmp_path / "maps"
    return recognise(root, options or LayoutOptions(), label_maps=maps)


def voxels(recognition: Recognition, case: int = 0) -> tuple[int, ...]:
    spec = recognition.spec
    return inspect_case(spec.cases[case], spec).class_voxels


def counts(labels: np.ndarray, *values: int) -> tuple[int, ...]:
    return tuple(int(np.sum(labels == value)) for value in values)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "dataset"


def test_label_values_are_taken_as_they_are(root: Path, tmp_path: Path) -> None:
    put_photos(root)
    put_labels(root, "masks/{}.png")
    recognition = found(root, tmp_path)
    assert [case.name for case in recognition.spec.cases] == list(CASES)
    assert recognition.spec.labels.values == (0, 1, 2)
    assert recognition.spec.cases[0].labels == root / "masks/c1.png"
    assert voxels(recognition) == counts(classes(0), 0, 1, 2)
    assert not (tmp_path / "maps").exists()


def test_masks_that_were_saved_as_jpeg_are_thresholded(root: Path, tmp_path: Path) -> None:
    put_photos(root)
    for seed, case in enumerate(CASES):
        path = root / f"masks/{case}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(classes(seed, (255,))).save(path, quality=60)
    recognition = found(root, tmp_path)
    assert recognition.spec.labels.names == ("background", "foreground")
    assert voxels(recognition) == pytest.approx(counts(classes(0, (255,)), 0, 255), rel=0.05)
    assert any("above 127.5 are foreground" in note for note in recognition.notes)


def test_colours_are_classes_with_the_names_of_a_table(root: Path, tmp_path: Path) -> None:
    put_photos(root)
    palette = np.array([(0, 0, 0), (255, 0, 0), (0, 128, 64)], np.uint8)
    put_labels(root, "masks/{}.png", lambda seed: palette[classes(seed)])
    (root / "label_colours.txt").write_text("0 0 0 nothing\n255 0 0 road\n0 128 64 tree\n")
    recognition = found(root, tmp_path)
    assert recognition.spec.labels.names == ("nothing", "road", "tree")
    assert voxels(recognition) == counts(classes(0), 0, 1, 2)


def test_colours_without_a_table_are_named_by_their_code(root: Path, tmp_path: Path) -> None:
    put_photos(root)
    palette = np.array([(0, 0, 0), (255, 0, 0), (0, 128, 64)], np.uint8)
    put_labels(root, "masks/{}.png", lambda seed: palette[classes(seed)])
    recognition = found(root, tmp_path)
    assert recognition.spec.labels.names == ("background", "#008040", "#ff0000")
    assert voxels(recognition) == counts(classes(0), 0, 2, 1)


def test_a_colour_that_the_table_lacks_is_refused(root: Path, tmp_path: Path) -> None:
    put_photos(root)
    palette = np.array([(0, 0, 0), (255, 0, 0), (9, 9, 200)], np.uint8)
    put_labels(root, "masks/{}.png", lambda seed: palette[classes(seed)])
    (root / "label_colours.txt").write_text("0 0 0 nothing\n255 0 0 road\n")
    with pytest.raises(DatasetError, match=r"label_colours.txt lacks, for example \(9, 9, 200\)"):
        found(root, tmp_path)


def test_a_file_per_class_gives_one_label_map(root: Path, tmp_path: Path) -> None:
    for seed, case in enumerate(CASES):
        write_picture(photo(seed), root / case / "photo.png")
        for name, value in (("stem", 2), ("leaf", 1)):
            if (case, name) != ("c3", "stem"):
                mask = np.where(classes(seed) == value, 255, 0).astype(np.uint8)
                write_picture(mask, root / case / "masks" / f"{name}.png")
    recognition = found(root, tmp_path)
    assert recognition.spec.labels.names == ("background", "leaf", "stem")
    assert voxels(recognition) == counts(classes(0), 0, 1, 2)
    assert voxels(recognition, 2)[2] == 0


def test_a_file_per_object_gives_one_class(root: Path, tmp_path: Path) -> None:
    for seed, case in enumerate(CASES):
        write_picture(photo(seed), root / case / "images" / f"{case}.png")
        for value in (1, 2):
            mask = np.where(classes(seed) == value, 255, 0).astype(np.uint8)
            write_picture(mask, root / case / "masks" / f"obj{seed}7{value}x.png")
    recognition = found(root, tmp_path)
    assert recognition.spec.labels.names == ("background", "object")
    assert voxels(recognition)[1] == int(np.sum(classes(0) > 0))


def test_maps_that_number_objects_give_one_class(root: Path, tmp_path: Path) -> None:
    def numbered(seed: int) -> np.ndarray:
        labels = np.zeros(SHAPE, np.uint8)
        for number, place in enumerate(np.random.default_rng(seed).permutation(16)[: 4 + seed]):
            row, column = 6 * (place // 4), 8 * (place % 4)
            labels[row : row + 4, column : column + 6] = number + 1
        return labels

    put_photos(root)
    put_labels(root, "masks/{}.png", numbered)
    recognition = found(root, tmp_path)
    assert recognition.spec.labels.names == ("background", "object")
    assert voxels(recognition)[1] == int(np.sum(numbered(0) > 0))


def test_labels_with_a_channel_per_class_are_read(root: Path, tmp_path: Path) -> None:
    volume = np.stack([classes(0)] * 3)
    for case in CASES:
        write_volume(
            np.random.default_rng(0).normal(size=volume.shape).astype(np.float32),
            root / f"images/{case}.nii.gz",
            spacing=(2.0, 1.0, 1.0),
        )
        onehot = np.stack([volume == value for value in range(3)], axis=-1).astype(np.uint8)
        import SimpleITK

        image = SimpleITK.GetImageFromArray(onehot, isVector=True)
        image.SetSpacing((1.0, 1.0, 2.0))
        (root / "labels").mkdir(exist_ok=True)
        SimpleITK.WriteImage(image, str(root / f"labels/{case}.nii.gz"))
    recognition = found(root, tmp_path)
    assert recognition.spec.labels.values == (0, 1, 2)
    assert voxels(recognition) == counts(volume, 0, 1, 2)


def test_annotations_of_several_people_are_refused_until_one_is_chosen(
    root: Path, tmp_path: Path
) -> None:
    put_photos(root, "{}.jpg")
    put_labels(root, "{}_first.png", lambda seed: classes(seed, (255,)))
    put_labels(root, "{}_second.png", lambda seed: np.roll(classes(seed, (255,)), 1, axis=0))
    with pytest.raises(DatasetError, match=r"--label '\{case\}_first.png'"):
        found(root, tmp_path)
    recognition = found(root, tmp_path, LayoutOptions(labels=("{case}_second.png",)))
    assert [case.labels.name for case in recognition.spec.cases][:2] == [
        "c1_second.png",
        "c2_second.png",
    ]
    assert recognition.spec.labels.num_classes == 2
    assert len(recognition.spec.channel_names) == 3


def test_masks_of_the_field_of_view_are_left_out(root: Path, tmp_path: Path) -> None:
    put_photos(root)
    put_labels(root, "manual/{}.png", lambda seed: classes(seed, (255,)))
    view = np.zeros(SHAPE, np.uint8)
    view[2:-2, 3:-3] = 255
    put_labels(root, "masks/{}_view.png", lambda _seed: view)
    recognition = found(root, tmp_path)
    assert recognition.spec.cases[0].labels == root / "manual/c1.png"
    assert any("masks/c1_view.png" in note for note in recognition.notes)


def test_parts_give_test_cases_and_a_split(root: Path, tmp_path: Path) -> None:
    for part, cases in (("train", CASES[:2]), ("val", CASES[2:3]), ("test", CASES[3:])):
        for case in cases:
            write_picture(photo(1), root / part / "images" / f"{case}.png")
            write_picture(classes(1), root / part / "masks" / f"{case}.png")
    spec = found(root, tmp_path).spec
    assert [case.name for case in spec.cases] == ["c1", "c2", "c3"]
    assert [case.name for case in spec.test_cases] == ["c4"]
    assert [(fold.train, fold.validation) for fold in spec.splits] == [(("c1", "c2"), ("c3",))]


def test_a_converted_label_map_is_made_once(root: Path, tmp_path: Path) -> None:
    put_photos(root)
    put_labels(
        root, "masks/{}.png", lambda seed: np.stack([classes(seed)] * 2 + [classes(seed) * 9], -1)
    )
    first = found(root, tmp_path).spec.cases[0].labels
    state = first.stat().st_mtime_ns
    assert found(root, tmp_path).spec.cases[0].labels.stat().st_mtime_ns == state
    write_picture(np.stack([classes(5)] * 2 + [classes(5) * 9], -1), root / "masks/c1.png")
    recognition = found(root, tmp_path)
    assert voxels(recognition) == counts(classes(5), 0, 1, 2)


def test_labels_that_need_a_conversion_need_a_work_folder(root: Path) -> None:
    put_photos(root)
    put_labels(
        root,
        "masks/{}.png",
        lambda seed: np.stack([classes(seed), classes(seed) * 5, classes(seed)], -1),
    )
    with pytest.raises(DatasetError, match="needs a work folder"):
        recognise(root)


def test_a_folder_of_images_alone_says_what_is_expected(root: Path, tmp_path: Path) -> None:
    put_photos(root, "{}.png")
    with pytest.raises(DatasetError, match=r"found files 4 \.png\. Expected image files and label"):
        found(root, tmp_path)


def test_damaged_dicom_files_are_counted(root: Path, tmp_path: Path) -> None:
    for number in range(3):
        (root / "series").mkdir(parents=True, exist_ok=True)
        (root / "series" / f"{number}.dcm").touch()
    with pytest.raises(DatasetError, match=r"found files 3 \.dcm\."):
        found(root, tmp_path)


def test_images_without_labels_are_counted(root: Path, tmp_path: Path) -> None:
    put_photos(root)
    put_labels(root, "masks/{}.png")
    write_picture(photo(9), root / "images/c9.png")
    assert any(
        "1 image without labels left out, for example images/c9.png" in note
        for note in found(root, tmp_path).notes
    )
