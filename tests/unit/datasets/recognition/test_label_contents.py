"""What the contents of label files say: numbers in colours, soft edges, void, the background."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import gaussian_filter, zoom
from synthetic import write_picture, write_volume

from autoseg.core.errors import DatasetError
from autoseg.datasets.inspection import inspect_case
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.recognition import Recognition
from autoseg.datasets.recognition.contents import Content
from autoseg.documents.dataset import LayoutOptions, MaskForm

SHAPE = (40, 60)
CASES = ("c1", "c2", "c3", "c4", "c5", "c6")


def boxes(*places: tuple[int, int, int], size: int = 8, background: int = 0) -> np.ndarray:
    """Squares of values at rows and columns."""
    labels = np.full(SHAPE, background, np.uint8)
    for value, row, column in places:
        labels[row : row + size, column : column + size] = value
    return labels


def put(root: Path, pattern: str, make: Callable[[int], np.ndarray], cases=CASES) -> None:
    for case in cases:
        write_picture(make(CASES.index(case)), root / pattern.format(case))


def plan(root: Path, mask: MaskForm | None = None, labels: str = "") -> Recognition:
    options = LayoutOptions(mask=mask, labels=(labels,) if labels else ())
    return recognise(root, options, label_maps=root.parent / "maps")


def voxels(recognition: Recognition, case: int = 0) -> tuple[int, ...]:
    spec = recognition.spec
    return inspect_case(spec.cases[case], spec).class_voxels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    put(tmp_path / "data", "images/{}.png", lambda _: rng.integers(0, 256, (*SHAPE, 3), np.uint8))
    return tmp_path / "data"


def objects(seed: int) -> np.ndarray:
    places = [(4 * (k // 6), 10 * (k % 6)) for k in range(0, 60, 2)]
    order = np.random.default_rng(seed).permutation(len(places))[: 4 + seed]
    return boxes(*((n + 1, *places[k]) for n, k in enumerate(order)), size=3)


@pytest.mark.parametrize("channel", [0, 2])
def test_numbers_of_objects_may_be_in_one_colour(root: Path, channel: int) -> None:
    def coloured(seed: int) -> np.ndarray:
        picture = np.full((*SHAPE, 4), 255, np.uint8)
        picture[..., :3] = 0
        picture[..., channel] = objects(seed)
        return picture

    put(root, "masks/{}.png", coloured)
    recognition = plan(root)
    assert recognition.spec.labels.names == ("background", "object")
    assert voxels(recognition)[1] == 4 * 9


def test_numbers_of_objects_may_take_two_colours() -> None:
    numbers = np.arange(1, 601).reshape(20, 30).repeat(4, axis=0).repeat(4, axis=1)
    colours = np.stack([numbers % 256, numbers // 256, 0 * numbers]).astype(np.uint8)
    content = Content(colours)
    assert content.num_objects == 600
    assert content.looks_like_labels


def test_small_values_in_one_colour_are_classes(root: Path) -> None:
    def coloured(seed: int) -> np.ndarray:
        labels = boxes((4, 3, seed), (9, 20, 30 + seed))
        return np.stack([labels, 0 * labels, 0 * labels], axis=-1)

    put(root, "masks/{}.png", coloured)
    recognition = plan(root)
    assert recognition.spec.labels.values == (0, 4, 9)
    assert voxels(recognition)[1:] == (64, 64)


def test_a_fourth_axis_of_label_maps_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((3, 6, 20, 20), np.uint8)
    for frame in range(3):
        labels[frame, 2:4, 4 + frame : 12, 5:15] = 1 + frame % 2
    for case in CASES:
        image = rng.normal(size=labels.shape).astype(np.float32)
        for name, values in (("", image), ("_gt", labels)):
            frames = [SimpleITK.GetImageFromArray(frame) for frame in values]
            (tmp_path / "data").mkdir(exist_ok=True)
            path = tmp_path / f"data/{case}{name}.nii.gz"
            SimpleITK.WriteImage(SimpleITK.JoinSeries(frames), str(path))
    with pytest.raises(DatasetError, match="a fourth axis of 3 label maps that differ"):
        plan(tmp_path / "data")


def test_disjoint_masks_in_channels_are_classes_without_a_background(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for case in CASES:
        liver, spleen = (np.zeros((6, 20, 20), np.uint8) for _ in range(2))
        liver[2:4, 4:12, 5:10], spleen[2:4, 4:12, 12:15] = 1, 1
        write_volume(
            rng.normal(size=liver.shape), tmp_path / f"data/img/{case}.nii.gz", spacing=(1.0,) * 3
        )
        (tmp_path / "data/lab").mkdir(exist_ok=True)
        layers = [SimpleITK.GetImageFromArray(mask) for mask in (liver, spleen)]
        path = tmp_path / f"data/lab/{case}_label.nii.gz"
        SimpleITK.WriteImage(SimpleITK.JoinSeries(layers), str(path))
    for mask in (None, "onehot"):
        recognition = plan(tmp_path / "data", mask)
        assert recognition.spec.labels.names == ("background", "label_1", "label_2")
        assert voxels(recognition)[1:] == (2 * 8 * 5, 2 * 8 * 3)


def test_channels_of_a_fourth_axis_are_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[2:4, 4:12, 5:15] = 1
    for case in CASES:
        frames = [SimpleITK.GetImageFromArray(rng.normal(size=labels.shape)) for _ in range(4)]
        (tmp_path / "data/images").mkdir(parents=True, exist_ok=True)
        path = tmp_path / f"data/images/{case}.nii.gz"
        SimpleITK.WriteImage(SimpleITK.JoinSeries(frames), str(path))
        write_volume(labels, tmp_path / f"data/labels/{case}.nii.gz", spacing=(1.0, 1.0, 1.0))
    sentence = "channels: 4 without names, from the fourth axis of the files"
    assert sentence in plan(tmp_path / "data").spec.inferred


def test_a_few_levels_along_edges_need_a_choice(root: Path) -> None:
    def soft(seed: int) -> np.ndarray:
        smooth = gaussian_filter(boxes((1, 5, 10 + seed), size=20).astype(float), 1)
        return (np.rint(smooth * 5) * 51).astype(np.uint8)

    put(root, "masks/{}.png", soft)
    with pytest.raises(DatasetError, match=r"6 from 0 to 255.*--mask threshold.*--mask values"):
        plan(root)
    assert plan(root, "threshold").spec.labels.values == (0, 255)


def test_thin_classes_are_no_soft_edges(root: Path) -> None:
    def rims(seed: int) -> np.ndarray:
        labels = boxes((128, 4, 10 + seed), size=20)
        labels[6:22, 12 + seed : 28 + seed] = 255
        return labels

    put(root, "masks/{}.png", rims)
    assert plan(root).spec.labels.values == (0, 128, 255)


def test_colours_that_were_resized_are_refused(root: Path) -> None:
    def resized(seed: int) -> np.ndarray:
        small = boxes((255, 2, 2 + seed), size=12)[: SHAPE[0] // 2, : SHAPE[1] // 2]
        red = np.clip(zoom(small.astype(float), 2, order=1), 0, 255).astype(np.uint8)
        return np.stack([red, np.roll(red, 15, 1), 0 * red], axis=-1)

    put(root, "masks/{}.png", resized)
    with pytest.raises(DatasetError, match="lie along edges alone"):
        plan(root)


def test_a_bright_picture_is_no_blurred_mask() -> None:
    rng = np.random.default_rng(0)
    picture = np.clip(rng.normal(245, 4, SHAPE), 0, 255).astype(np.uint8)
    picture[10:20, 10:20] = rng.integers(0, 30, (10, 10))
    assert not Content(picture[None]).looks_like_labels


@pytest.mark.parametrize(
    ("inside", "rim", "edge", "values"),
    [(0, 128, 255, (255, 0, 128)), (1, 3, 2, (2, 1, 3)), (0, 0, 255, (255, 0))],
)
def test_the_value_along_the_edges_is_the_background(
    root: Path, inside: int, rim: int, edge: int, values: tuple[int, ...]
) -> None:
    def nested(seed: int) -> np.ndarray:
        labels = boxes((rim, 6, 10 + seed), size=24, background=edge)
        labels[12:24, 16 + seed : 28 + seed] = inside
        return labels

    put(root, "masks/{}.png", nested)
    recognition = plan(root)
    assert recognition.spec.labels.values == values
    assert recognition.spec.labels.names[0] == "background"
    assert any("fills the edges" in note for note in recognition.notes)


@pytest.mark.parametrize(("lowest", "others"), [(0, (5,)), (2, (5, 6))])
def test_scenes_keep_0_or_the_lowest_value_as_background(
    root: Path, lowest: int, others: tuple[int, ...]
) -> None:
    def scene(seed: int) -> np.ndarray:
        labels = boxes((3, 12, 20 + seed), size=16, background=others[seed % len(others)])
        labels[:, : 6 + seed] = lowest
        return labels

    put(root, "masks/{}.png", scene)
    assert plan(root).spec.labels.values == (lowest, 3, *others)


def void_map(seed: int, values: tuple[int, ...], void: int) -> np.ndarray:
    labels = boxes(*((v, 4, 14 * n + seed) for n, v in enumerate(values))).astype(np.int32)
    labels[-4:] = void
    return labels


@pytest.mark.parametrize(
    ("values", "void", "ignore"),
    [((1, 2), 255, 255), ((1,), 65535, 65535), ((1,), 255, None), ((1, 5), 255, None)],
)
def test_a_value_next_to_numbers_without_a_gap_is_void(
    root: Path, values: tuple[int, ...], void: int, ignore: int | None
) -> None:
    put(root, "masks/{}.png", lambda seed: void_map(seed, values, void).astype(np.uint16))
    labels = plan(root).spec.labels
    assert labels.ignore == ignore
    assert labels.values == ((0, *values) if ignore else (0, *values, void))


def test_minus_1_is_void(root: Path) -> None:
    for seed, case in enumerate(CASES):
        labels = void_map(seed, (1,), -1 if seed else 0).astype(np.int16)
        write_picture(labels, root / f"masks/{case}.tif")
    recognition = plan(root)
    assert (recognition.spec.labels.values, recognition.spec.labels.ignore) == ((0, 1), 65535)
    assert voxels(recognition, 1) == (40 * 60 - 64 - 4 * 60, 64)
    for case in CASES:
        write_picture(np.full(SHAPE, -1, np.int16), root / f"masks/{case}.tif")
    with pytest.raises(DatasetError, match="negative values such as -1"):
        plan(root)


def test_minus_1_next_to_values_with_a_gap_is_refused(root: Path) -> None:
    for seed, case in enumerate(CASES):
        labels = void_map(seed, (2,), -1).astype(np.int16)
        write_picture(labels, root / f"masks/{case}.tif")
    with pytest.raises(DatasetError, match="-1 for voxels without annotation only next to 0, 1"):
        plan(root)


def test_a_table_names_void(root: Path) -> None:
    put(root, "masks/{}.png", lambda seed: void_map(seed, (1, 3), 7).astype(np.uint8))
    (root / "classes.txt").write_text("1: leaf\n3: stem\n7: Don't care\n")
    labels = plan(root).spec.labels
    assert (labels.names, labels.ignore) == (("background", "leaf", "stem"), 7)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "ColorTable.ctbl",
            "# Color\n0 Background 0 0 0 0\n1 leaf 221 130 10 255\n2 stem 1 2 3 255",
        ),
        ("color-map.txt", "0 void 0 0 0\n1 leaf 108 64 20\n2 stem 0 102 0\n"),
        (
            "classes.json",
            '[{"png_index": 1, "class_name": "leaf"}, {"png_index": 2, "class_name": "stem"}]',
        ),
        ("machine_color.json", '{"leaf": [1, 1, 1], "stem": [2, 2, 2]}'),
        ("gtruth_codes.tsv", "label\tGT_code\nbackground\t0\nleaf\t1\nstem\t2\n"),
    ],
)
def test_tables_of_other_programs_name_values(root: Path, name: str, text: str) -> None:
    put(root, "masks/{}.png", lambda seed: boxes((1, 3, seed), (2, 3, 30 + seed)))
    (root / name).write_text(text)
    assert plan(root).spec.labels.names == ("background", "leaf", "stem")


def test_a_table_of_cvat_names_colours(root: Path) -> None:
    colours = np.array([(0, 0, 0), (250, 50, 83), (52, 209, 183)], np.uint8)
    put(root, "masks/{}.png", lambda seed: colours[boxes((1, 3, seed), (2, 3, 30 + seed))])
    text = (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nleaf:250,50,83::\nstem:52,209,183::\n"
    )
    (root / "labelmap.txt").write_text(text)
    assert plan(root).spec.labels.names == ("background", "leaf", "stem")


def test_tables_that_contradict_each_other_are_refused(root: Path) -> None:
    put(root, "masks/{}.png", lambda seed: boxes((1, 3, seed), (2, 3, 30 + seed)))
    for folder, names in (("a", ("leaf", "stem")), ("b", ("stem", "leaf"))):
        (root / folder).mkdir()
        (root / folder / "classes.txt").write_text("1: {}\n2: {}\n".format(*names))
    with pytest.raises(DatasetError, match=r"names 1 leaf, but b/classes.txt names it stem"):
        plan(root)


def test_a_field_of_view_is_left_out_although_the_masks_have_a_number(root: Path) -> None:
    view = np.zeros(SHAPE, np.uint8)
    view[4:36, 5:55] = 255
    put(root, "manual1/{}.png", lambda seed: boxes((255, 8, 8 + seed)))
    put(root, "mask/{}_mask.png", lambda _: view)
    assert plan(root).spec.cases[0].labels == root / "manual1/c1.png"


def test_masks_that_repeat_colours_of_a_map_are_left_out(root: Path) -> None:
    colours = np.array([(0, 0, 0), (0, 0, 255), (255, 255, 0)], np.uint8)
    put(root, "masks/{}.png", lambda seed: colours[boxes((1, 3, seed), (2, 3, 30 + seed))])
    put(root, "masks/HD/{}.png", lambda seed: boxes((255, 3, seed)), CASES[:3])
    put(root, "masks/FV/{}.png", lambda seed: boxes((255, 3, 30 + seed)), CASES[:3])
    assert plan(root).spec.labels.names == ("background", "#0000ff", "#ffff00")


def test_parts_with_numbers_next_to_masks_with_a_word_are_refused(root: Path) -> None:
    put(root, "masks/{}_lesion.png", lambda seed: boxes((255, 3, seed), size=20))
    put(root, "masks/{}_R1.png", lambda seed: boxes((255, 4, 1 + seed), size=4), CASES[:4])
    put(root, "masks/{}_R2.png", lambda seed: boxes((255, 12, 4 + seed), size=4), CASES[:3])
    with pytest.raises(DatasetError, match=r"6 files: --label 'masks/\{case\}_lesion.png'"):
        plan(root)


def test_drawings_next_to_numbered_objects_are_refused(root: Path) -> None:
    colours = np.array([(0, 0, 0), (0, 0, 63), (0, 63, 127)], np.uint8)
    put(root, "masks/{}_instance.png", objects)
    put(root, "masks/{}_color.png", lambda seed: colours[objects(seed) % 3])
    with pytest.raises(DatasetError, match=r"(?s)_color.png.*_instance.png"):
        plan(root)


def test_label_maps_of_parts_of_an_image_are_merged_if_the_user_says_so(root: Path) -> None:
    for number in (1, 2, 3):
        put(
            root,
            "masks/{}" + f"_{number}.png",
            lambda seed, n=number: (
                boxes((20, 4, 15 * n + seed)) + boxes((20, 6, 15 * n + 2), size=3)
            ),
        )
    with pytest.raises(DatasetError, match="or use all: --mask values if all files hold the same"):
        plan(root)
    recognition = plan(root, "values")
    assert recognition.spec.labels.values == (0, 20, 40)
    assert voxels(recognition)[1:] == (3 * 55, 3 * 9)


def test_jpegs_of_several_levels_are_named(root: Path) -> None:
    put(root, "masks/{}.jpg", lambda seed: boxes((120, 3, seed), (240, 3, 30 + seed)))
    with pytest.raises(
        DatasetError, match=r"6 files named as labels, such as masks/c1.jpg, are JPE"
    ):
        plan(root)
