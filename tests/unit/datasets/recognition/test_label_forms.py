"""How label files store the classes: what is distinguished, and what is refused with an option."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image
from scipy.ndimage import gaussian_filter
from synthetic import write_picture

from autoseg.core.errors import DatasetError
from autoseg.core.mask_form import MaskForm
from autoseg.datasets.inspection import inspect_case
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.recognition import Recognition
from autoseg.datasets.recognition.contents import content_of
from autoseg.documents.dataset import LayoutOptions

SHAPE = (40, 60)
CASES = ("c1", "c2", "c3", "c4", "c5", "c6")


def boxes(*places: tuple[int, int, int], size: int = 8) -> np.ndarray:
    """Squares of values at rows and columns."""
    labels = np.zeros(SHAPE, np.uint8)
    for value, row, column in places:
        labels[row : row + size, column : column + size] = value
    return labels


def blob(value: int, seed: int, column: int = 5, size: int = 8) -> np.ndarray:
    return boxes((value, 3 + 4 * seed, column + seed), size=size)


def put(root: Path, pattern: str, make: Callable[[int], np.ndarray], cases=CASES) -> None:
    for case in cases:
        write_picture(make(CASES.index(case)), root / pattern.format(case))


def plan(root: Path, mask: MaskForm | None = None) -> Recognition:
    return recognise(root, LayoutOptions(mask=mask), label_maps=root.parent / "maps")


def voxels(recognition: Recognition, case: int = 0) -> tuple[int, ...]:
    spec = recognition.spec
    return inspect_case(spec.cases[case], spec).class_voxels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    put(
        tmp_path / "data",
        "images/{}.png",
        lambda _: rng.integers(0, 256, (*SHAPE, 3), np.uint8),
    )
    return tmp_path / "data"


def test_a_class_map_with_high_values_is_no_blurred_mask(root: Path) -> None:
    values = (*range(1, 9), 255)
    put(
        root,
        "masks/{}.png",
        lambda seed: boxes(
            *((v, 2 + 9 * (n // 5), 2 + seed + 10 * (n % 5)) for n, v in enumerate(values)),
            (255, 22, 3),
            (255, 30, 12),
            (255, 22, 22),
            (255, 30, 32),
            (255, 22, 42),
        ),
    )
    labels = plan(root).spec.labels
    assert (*labels.values, labels.ignore) == (0, *values)


def blurred(seed: int, sigma: float = 1.0, size: int = 17) -> np.ndarray:
    return gaussian_filter(blob(255, seed, size=size).astype(float), sigma).astype(np.uint8)


def test_a_blurred_mask_is_thresholded(root: Path) -> None:
    put(root, "masks/{}.png", lambda seed: blurred(seed, 0.7))
    assert plan(root).spec.labels.values == (0, 255)


def test_a_soft_mask_needs_a_choice(root: Path) -> None:
    put(root, "masks/{}.png", lambda seed: blurred(seed, 1, 14))
    with pytest.raises(DatasetError, match=r"(?s)--mask threshold.*--mask values"):
        plan(root)
    recognition = plan(root, "threshold")
    assert recognition.spec.labels.values == (0, 255)
    sentences = (*recognition.spec.inferred, *recognition.notes)
    assert any("--mask threshold: values above" in sentence for sentence in sentences)
    assert not any("JPEG" in sentence for sentence in sentences)


def test_a_mask_with_several_classes_is_no_mask_of_one(root: Path) -> None:
    put(root, "masks/{}_stem.png", lambda seed: blob(1, seed, 5))
    put(root, "masks/{}_leaf.png", lambda seed: blob(1, seed, 30))
    write_picture(boxes((1, 2, 30), (2, 20, 30)), root / "masks/c2_leaf.png")
    recognition = plan(root, "classes")
    (issue,) = recognition.issues
    assert issue.case == "c2"
    assert "more than two values, 0, 1, 2" in issue.sentence


def test_predictions_do_not_replace_labels(root: Path) -> None:
    put(root, "labels_manual/{}.png", lambda seed: blob(1, seed))
    put(root, "predictions/{}.png", lambda seed: blob(1, seed) + blob(2, seed, 30))
    put(root, "masks_pred/{}.png", lambda seed: blob(1, seed, 6))
    recognition = plan(root)
    assert recognition.spec.labels.values == (0, 1)
    assert recognition.spec.cases[0].labels == root / "labels_manual/c1.png"


def test_masks_that_repeat_classes_of_a_map_are_left_out(root: Path) -> None:
    put(root, "organ_labels/{}.png", lambda seed: blob(1, seed) + blob(2, seed, 20))
    put(root, "whole_labels/{}.png", lambda seed: blob(1, seed) + blob(1, seed, 20))
    assert plan(root).spec.labels.values == (0, 1, 2)


def test_masks_of_something_else_than_the_classes_of_a_map_are_refused(root: Path) -> None:
    put(root, "organ_labels/{}.png", lambda seed: blob(1, seed) + blob(2, seed, 20))
    put(root, "lesion_labels/{}.png", lambda seed: blob(1, seed, 40))
    with pytest.raises(DatasetError, match=r"--label 'lesion_labels/\{case\}.png'"):
        plan(root)


def test_annotations_of_some_cases_by_others_are_refused(root: Path) -> None:
    put(root, "masks/{}.png", lambda seed: blob(255, seed))
    put(root, "masks/{}_smith.png", lambda seed: blob(255, seed, 8), CASES[2:4])
    with pytest.raises(DatasetError, match="--mask classes if each kind of file is a class"):
        plan(root)
    assert plan(root, "classes").spec.labels.names == ("background", "foreground", "smith")


def test_versions_are_no_classes(root: Path) -> None:
    put(root, "masks/{}.png", lambda seed: blob(255, seed))
    put(root, "masks/{}_corrected.png", lambda seed: blob(255, seed, 40), CASES[:2])
    with pytest.raises(DatasetError, match=r"2 files: --label 'masks/\{case\}_corrected.png'"):
        plan(root)


def test_nested_and_disjoint_masks_are_classes(root: Path) -> None:
    put(root, "masks/{}_disc.png", lambda seed: blob(255, seed, 5, size=12))
    put(root, "masks/{}_cup.png", lambda seed: blob(255, seed, 6, size=6))
    put(root, "masks/{}_fovea.png", lambda seed: blob(255, seed, 40))
    recognition = plan(root)
    assert recognition.spec.labels.names == ("background", "cup", "disc", "fovea")
    assert voxels(recognition)[1:] == (36, 144 - 36, 64)


def test_a_form_of_one_file_per_case_needs_one_file_per_case(root: Path) -> None:
    put(root, "masks/{}_stem.png", lambda seed: blob(1, seed, 5))
    put(root, "masks/{}_leaf.png", lambda seed: blob(1, seed, 30))
    with pytest.raises(DatasetError, match="--mask objects if each file is an object"):
        plan(root, "values")
    assert plan(root, "objects").spec.labels.names == ("background", "object")
    assert plan(root).spec.labels.names == ("background", "leaf", "stem")


def test_a_class_that_others_cover_is_refused(root: Path) -> None:
    put(root, "masks/{}_disc.png", lambda seed: blob(255, seed))
    put(root, "masks/{}_copy.png", lambda seed: blob(255, seed))
    with pytest.raises(DatasetError, match="other classes cover all voxels of the class"):
        plan(root, "classes")


def organs(seed: int) -> np.ndarray:
    places = ((2, 2), (3, 26), (4, 48), (24, 10), (25, 36))
    shift = seed % 3
    number = 4 if seed in (1, 4) else 5
    return boxes(*((n + 1, r + shift, c + shift) for n, (r, c) in enumerate(places[:number])))


@pytest.mark.parametrize(("mask", "values"), [("values", 6), ("instances", 2)])
def test_numbers_at_similar_places_need_a_choice(root: Path, mask: MaskForm, values: int) -> None:
    put(root, "masks/{}.png", organs)
    with pytest.raises(DatasetError, match=r"(?s)--mask values.*--mask instances"):
        plan(root)
    assert plan(root, mask).spec.labels.num_classes == values


def test_numbers_at_mirrored_places_need_a_choice(root: Path) -> None:
    put(root, "masks/{}.png", lambda seed: organs(seed)[:, :: -1 if seed % 2 else 1])
    with pytest.raises(DatasetError, match=r"(?s)--mask values.*--mask instances"):
        plan(root)


def test_places_are_compared_in_the_same_orientation(tmp_path: Path) -> None:
    labels = np.stack([organs(0)] * 3)
    paths = [tmp_path / "stored.nii.gz", tmp_path / "turned.nii.gz"]
    for path, step in zip(paths, (1, -1), strict=True):
        image = SimpleITK.GetImageFromArray(labels[:, ::step, ::step])
        image.SetDirection((step, 0, 0, 0, step, 0, 0, 0, 1))
        SimpleITK.WriteImage(image, str(path))
    first, second = (content.centres for path in paths if (content := content_of(path)))
    assert all(np.allclose(first[number], second[number]) for number in range(1, 6))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "1 liver\n2 spleen\n3 aorta\n4 colon\n5 bladder\n"),
        (
            "dataset.json",
            '{"labels": ["background", "liver", "spleen", "aorta", "colon", "bladder"]}',
        ),
    ],
)
def test_named_numbers_are_classes(root: Path, name: str, text: str) -> None:
    put(root, "masks/{}.png", organs)
    (root / name).write_text(text)
    assert plan(root).spec.labels.names[1:] == ("liver", "spleen", "aorta", "colon", "bladder")


def test_numbers_at_unrelated_places_are_objects(root: Path) -> None:
    def objects(seed: int) -> np.ndarray:
        if seed == 0:
            return boxes()
        places = [(4 * (k // 6), 10 * (k % 6)) for k in range(0, 60, 2)]
        order = np.random.default_rng(seed).permutation(len(places))[: 4 + seed]
        return boxes(*((n + 1, *places[k]) for n, k in enumerate(order)), size=3)

    put(root, "masks/{}.png", objects)
    recognition = plan(root)
    assert recognition.spec.labels.names == ("background", "object")
    assert voxels(recognition, 1)[1] == 5 * 9


def test_palettes_in_another_order_give_classes_by_colour(root: Path) -> None:
    colours = {1: (255, 0, 0), 2: (0, 255, 0)}
    (root / "masks").mkdir()
    for seed, case in enumerate(CASES):
        labels = blob(1, seed) + 2 * blob(1, seed, 30, size=6)
        order = (1, 2) if seed % 2 else (2, 1)
        numbers = np.where(labels > 0, np.array([0, *np.argsort(order) + 1])[labels], 0)
        picture = Image.fromarray(numbers.astype(np.uint8), mode="P")
        picture.putpalette([0, 0, 0, *colours[order[0]], *colours[order[1]]])
        picture.save(root / f"masks/{case}.png")
    recognition = plan(root)
    assert recognition.spec.labels.names == ("background", "#00ff00", "#ff0000")
    assert voxels(recognition, 0)[1:] == voxels(recognition, 1)[1:] == (36, 64)


def test_a_single_case_does_not_show_objects(root: Path) -> None:
    for image in sorted((root / "images").iterdir())[1:]:
        image.unlink()
    for number in range(1, 5):
        path = root / f"masks/c1_bone_L{number}.png"
        write_picture(boxes((255, 2, 12 * number)), path)
    with pytest.raises(DatasetError, match="--mask classes"):
        plan(root)
    assert plan(root, "classes").spec.labels.num_classes == 5
    assert plan(root, "objects").spec.labels.num_classes == 2


def test_ids_of_files_do_not_hide_their_classes(root: Path) -> None:
    put(root, "masks/{}.png", lambda _: boxes(), ())
    for seed, case in enumerate(CASES):
        write_picture(blob(255, seed), root / f"masks/{case}_liver_9a3f0{seed}71b2c.png")
        write_picture(blob(255, seed, 30), root / f"masks/{case}_tumor_4b1d9{seed}22e7a.png")
    recognition = plan(root)
    assert recognition.spec.labels.names == ("background", "liver", "tumor")
    assert voxels(recognition)[1:] == (64, 64)


def test_objects_of_several_classes_are_refused(root: Path) -> None:
    for seed, case in enumerate(CASES):
        for number, word in enumerate(("liver", "liver", "tumor")):
            path = root / f"masks/{case}_{word}_{seed}{number}a7b3c9d2.png"
            write_picture(blob(255, seed, 5 + 14 * number), path)
    with pytest.raises(DatasetError, match=r"12 files: --label 'masks/\{case\}_liver_\*.png'"):
        plan(root)


@pytest.mark.parametrize("words", [("AB", "CD", "EF", "GH", "IJ", "KL"), tuple("7892534")])
def test_one_label_file_per_case_is_one_series(root: Path, words: tuple[str, ...]) -> None:
    for seed, (case, word) in enumerate(zip(CASES, words, strict=False)):
        write_picture(blob(1, seed), root / f"masks/{case}_note{word}.png")
    spec = plan(root).spec
    assert spec.labels.num_classes == 2
    assert len(spec.cases) == len(CASES)


def test_one_label_file_per_case_of_several_kinds_is_refused(root: Path) -> None:
    put(root, "masks/{}_liver.png", lambda seed: blob(1, seed), CASES[:3])
    put(root, "masks/{}_kidney.png", lambda seed: blob(1, seed), CASES[3:])
    with pytest.raises(DatasetError, match=r"(?s)_kidney.*_liver.*--mask classes.*--mask values"):
        plan(root)
    assert plan(root, "classes").spec.labels.names == ("background", "kidney", "liver")
    assert plan(root, "values").spec.labels.values == (0, 1)


def test_the_opacity_of_a_colour_is_left_out(root: Path) -> None:
    colours = np.array([(0, 0, 0), (255, 0, 0), (0, 128, 64)], np.uint8)

    def painted(seed: int) -> np.ndarray:
        labels = blob(1, seed) + blob(2, seed, 30)
        opacity = np.full(SHAPE, 255, np.uint8) if seed % 2 else labels * 100 + 30
        return np.concatenate([colours[labels], opacity[..., None]], axis=-1)

    put(root, "masks/{}.png", painted)
    recognition = plan(root)
    assert recognition.spec.labels.names == ("background", "#008040", "#ff0000")
    assert voxels(recognition)[1:] == voxels(recognition, 1)[1:] == (64, 64)


def test_declared_labels_name_the_values_of_a_free_folder(root: Path) -> None:
    put(root, "masks/{}.png", lambda seed: blob(1, seed) + blob(2, seed, 20) + blob(9, seed, 40))
    text = '{"labels": {"background": 0, "all": [1, 2], "core": [2], "ignore": 9}, %s}'
    (root / "dataset.json").write_text(text % '"regions_class_order": [1, 2]')
    labels = plan(root).spec.labels
    assert [region.name for region in labels.regions] == ["all", "core"]
    assert labels.ignore == 9


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("label_info.json", '{"num_classes": 2, "version": 1}', ("label_1", "label_2")),
        ("label_info.json", '{"leaf": 1, "stem": 2, "root": 3}', ("label_1", "label_2")),
        ("label_info.json", '{"nothing": 0, "leaf": 1, "stem": 2, "r": 3}', ("leaf", "stem")),
        ("classes.csv", "value,name\n1,leaf\n2,stem\n", ("leaf", "stem")),
        ("labels.csv", "image,label\nc1.png,1\nc2.png,2\n", ("label_1", "label_2")),
    ],
)
def test_only_tables_of_classes_give_names(
    root: Path, name: str, text: str, names: tuple[str, ...]
) -> None:
    put(root, "masks/{}.png", lambda seed: blob(1, seed) + blob(2, seed, 30))
    (root / name).write_text(text)
    assert plan(root).spec.labels.names[1:] == names


def test_colours_without_black_need_a_background(root: Path) -> None:
    colours = np.array([(255, 255, 255), (255, 0, 0), (0, 128, 64)], np.uint8)
    put(root, "masks/{}.png", lambda seed: colours[blob(1, seed) + blob(2, seed, 30)])
    with pytest.raises(DatasetError, match="--label-map '255:255:255=#ffffff'"):
        plan(root)
    table = "name,r,g,b\nleaf,255,0,0\nstem,0,128,64\nbackground,255,255,255\n"
    (root / "class_dict.csv").write_text(table)
    recognition = plan(root)
    assert recognition.spec.labels.names == ("background", "leaf", "stem")
    assert voxels(recognition)[1:] == (64, 64)
    assert any("background is (255, 255, 255)" in note for note in recognition.notes)


def test_upright_lines_are_classes(root: Path) -> None:
    def lines(seed: int) -> np.ndarray:
        labels = np.zeros(SHAPE, np.uint8)
        for value in range(1, 7):
            labels[:, 4 + seed + 8 * value] = value
        return labels

    put(root, "masks/{}.png", lines)
    assert plan(root).spec.labels.num_classes == 7


def test_soft_masks_are_thresholded_if_the_user_says_so(root: Path) -> None:
    put(root, "masks/{}.png", lambda seed: blurred(seed, 4))
    assert plan(root, "threshold").spec.labels.values == (0, 1)


def test_converted_test_cases_need_names_of_their_own(root: Path) -> None:
    for folder in ("", "test/"):
        put(root, folder + "images/{}.png", lambda seed: blob(200, seed))
        put(root, folder + "labels/{}.png", lambda seed: blob(1, seed))
    options = LayoutOptions(label_map={"0": "background", "1": "a", "2": "a"})
    with pytest.raises(DatasetError, match="training and test cases have the same name: c1"):
        recognise(root, options, label_maps=root.parent / "label_maps")
