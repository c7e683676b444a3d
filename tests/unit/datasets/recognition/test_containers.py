"""Images and labels inside of containers: HDF5 files and Zarr folders."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_picture
from zarr_folders import write_ome

from autoseg.core.errors import CaseError, DatasetError
from autoseg.datasets.containers import image_in, labels_in
from autoseg.datasets.inputs import find_inputs
from autoseg.datasets.inspection import case_paths, file_hashes, file_states
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.recognition import Recognition
from autoseg.documents.dataset import LayoutOptions
from autoseg.readers import names

h5py = pytest.importorskip("h5py", reason="the extra `hdf5`")
pytest.importorskip("zarr", reason="the extra `zarr`")

SHAPE = (6, 20, 24)


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4000, SHAPE, np.uint16)


def labels(seed: int, value: int = 1) -> np.ndarray:
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[1:4, 2 + seed % 5 : 12, 3 : 12 + seed % 11] = value
    return drawn


def put(path: Path, datasets: Mapping[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file[name] = data


def found(root: Path, tmp_path: Path, **options: tuple[str, ...]) -> Recognition:
    return recognise(root, LayoutOptions(**options), label_maps=tmp_path / "maps")


def pairs(recognition: Recognition) -> dict[str, tuple[str, ...]]:
    """Return the paths of images and labels of each case."""
    spec = recognition.spec
    return {
        case.name: tuple(
            path.relative_to(spec.root).as_posix() for path in (*case.images, case.labels)
        )
        for case in spec.cases
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dataset").mkdir()
    return tmp_path / "dataset"


def test_an_image_and_labels_in_one_file_are_a_case(root: Path, tmp_path: Path) -> None:
    for n in (1, 2, 3):
        put(root / f"ovule_{n}.h5", {"raw": image(n), "label": labels(n), "ids": np.arange(9)})
    put(root / "ovule_4.h5", {"raw": image(4)})
    recognition = found(root, tmp_path)
    assert pairs(recognition) == {
        f"ovule_{n}": (f"ovule_{n}.h5/raw", f"ovule_{n}.h5/label") for n in (1, 2, 3)
    }
    assert recognition.notes == ("1 image without labels left out, for example ovule_4.h5",)


def test_names_that_say_nothing_are_decided_by_contents(root: Path, tmp_path: Path) -> None:
    for n in (1, 2, 3):
        put(root / f"cells_{n}.hdf5", {"x": image(n), "y": labels(n)})
    assert pairs(found(root, tmp_path))["cells_2"] == ("cells_2.hdf5/x", "cells_2.hdf5/y")


def test_groups_of_one_file_are_cases(root: Path, tmp_path: Path) -> None:
    put(
        root / "train.h5",
        {f"case_{n}/raw": image(n) for n in (1, 2, 3)}
        | {f"case_{n}/seg": labels(n) for n in (1, 2, 3)},
    )
    assert pairs(found(root, tmp_path))["case_2"] == (
        "train.h5/case_2/raw",
        "train.h5/case_2/seg",
    )


def test_files_with_one_dataset_each_are_paired_by_their_names(root: Path, tmp_path: Path) -> None:
    for n in (1, 2, 3):
        put(root / f"im/im_{n:04d}.h5", {"main": image(n)})
        put(root / f"mito/mito_{n:04d}.h5", {"main": labels(n)})
    expected = {f"im_{n:04d}": (f"im/im_{n:04d}.h5", f"mito/mito_{n:04d}.h5") for n in (1, 2, 3)}
    assert pairs(found(root, tmp_path)) == expected
    for ending in ("h5", "h5/main"):
        patterns = {
            "images": (f"im/im_{{case}}.{ending}",),
            "labels": (f"mito/*_{{case}}.{ending}",),
        }
        assert pairs(found(root, tmp_path, **patterns)) == expected


def test_labels_of_several_kinds_are_refused_with_their_options(root: Path, tmp_path: Path) -> None:
    for n in "ABC":
        contents = {"clefts": labels(ord(n), 2) + labels(ord(n) + 1), "neurons": labels(3) * 3}
        put(
            root / f"sample_{n}.hdf",
            {"volumes/raw": image(ord(n))}
            | {f"volumes/labels/{name}": data for name, data in contents.items()},
        )
    with pytest.raises(DatasetError, match="label files of several kinds") as error:
        found(root, tmp_path)
    option = "sample_{case}.hdf/volumes/labels/clefts"
    assert f"--label '{option}'" in str(error.value)
    assert pairs(found(root, tmp_path, labels=(option,)))["sample_B"] == (
        "sample_B.hdf/volumes/raw",
        "sample_B.hdf/volumes/labels/clefts",
    )


def test_a_map_of_weights_is_not_a_channel(root: Path, tmp_path: Path) -> None:
    for n in (1, 2, 3):
        weights = image(n).astype(np.float32) / 7
        put(root / f"c{n}.h5", {"data": image(n), "label": labels(n), "weight": weights})
    recognition = found(root, tmp_path)
    assert pairs(recognition)["c1"] == ("c1.h5/data", "c1.h5/label")
    assert any("left out" in note and "weight" in note for note in recognition.notes)


def test_labels_are_found_inside_of_ome_zarr(root: Path, tmp_path: Path) -> None:
    sizes = {"z": (2.0, "micrometer")}
    for n in (1, 2, 3):
        folder = root / f"embryo_{n}.ome.zarr"
        write_ome(folder, [image(n)[None], image(n)[None, :, ::2]], "czyx", sizes)
        write_ome(folder / "labels/nuclei", [labels(n)], "zyx", sizes)
    recognition = found(root, tmp_path)
    assert pairs(recognition)["embryo_1"] == (
        "embryo_1.ome.zarr",
        "embryo_1.ome.zarr/labels/nuclei",
    )
    assert not recognition.notes
    with pytest.raises(DatasetError, match=r"embryo_1\.ome\.zarr is a Zarr folder"):
        found(root / "embryo_1.ome.zarr", tmp_path)


@pytest.mark.parametrize("folders", [("images", "labels"), ("raw", "nuclei_masks")])
def test_zarr_folders_are_paired_like_files(
    folders: tuple[str, str], root: Path, tmp_path: Path
) -> None:
    for n in (1, 2, 3):
        write_ome(root / folders[0] / f"pos{n}.zarr", [image(n)], "zyx", {})
        write_ome(root / folders[1] / f"pos{n}.zarr", [labels(n)], "zyx", {}, version=3)
    expected = tuple(f"{folder}/pos1.zarr" for folder in folders)
    assert pairs(recognise(root))["pos1"] == expected


def test_a_damaged_file_is_left_out_with_a_note(root: Path, tmp_path: Path) -> None:
    for n in (1, 2, 3):
        put(root / f"c{n}.h5", {"raw": image(n), "label": labels(n)})
    (root / "c3.h5").write_bytes((root / "c3.h5").read_bytes()[:900])
    recognition = found(root, tmp_path)
    assert list(pairs(recognition)) == ["c1", "c2"]
    assert "1 file that cannot be read left out, for example c3.h5" in recognition.notes


def test_without_the_package_only_its_files_are_not_recognised(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "find_spec", lambda _name: None)
    put(root / "c1.h5", {"raw": image(1), "label": labels(1)})
    write_ome(root / "a.zarr", [image(1)], "zyx", {})
    message = r"h5py, which is not installed. Install it with: pip install .autoseg\[hdf5\]"
    for options in ({}, {"images": ("{case}.h5/raw",)}):
        with pytest.raises(DatasetError, match=message):
            found(root, tmp_path, **options)
    for n in (1, 2, 3):
        photo = np.random.default_rng(n).integers(0, 256, (20, 24, 3), np.uint8)
        write_picture(photo, root / f"images/p{n}.png")
        write_picture(labels(n)[2], root / f"masks/p{n}.png")
    assert pairs(found(root, tmp_path))["p1"] == ("images/p1.png", "masks/p1.png")
    put(root / "images/p4.h5", {"raw": image(1)})
    issues = [case.issue for case in find_inputs(root / "images", num_channels=3)]
    assert issues[:3] == ["", "", ""]
    assert "autoseg[hdf5]" in issues[3]


def test_a_changed_file_is_noticed_once_for_image_and_labels(root: Path, tmp_path: Path) -> None:
    for n in (1, 2):
        put(root / f"c{n}.h5", {"raw": image(n), "label": labels(n)})
        write_ome(root / f"zarr/d{n}.zarr", [image(n)], "zyx", {})
    spec = found(root, tmp_path, images=("{case}.h5/raw",), labels=("{case}.h5/label",)).spec
    case = spec.cases[0]
    assert case_paths(case) == [root / "c1.h5"]
    zarr = case.model_copy(update={"images": (root / "zarr/d1.zarr",)})
    before, content = file_states(zarr, spec), file_hashes(zarr)
    (root / "zarr/d1.zarr/0/0/0/0").write_bytes(image(9).tobytes())
    assert file_states(zarr, spec) != before
    assert file_hashes(zarr) != content


def test_the_image_to_predict_is_chosen_by_the_names_in_a_file(root: Path) -> None:
    put(root / "a.h5", {"raw": image(1), "label": labels(1), "boundaries": image(2)})
    put(root / "b.h5", {"volume": image(1)})
    put(root / "c.h5", {"first": image(1), "second": image(2)})
    write_ome(root / "d.ome.zarr", [image(1)], "zyx", {})
    write_ome(root / "d.ome.zarr/labels/nuclei", [labels(1)], "zyx", {})
    cases = find_inputs(root, num_channels=1)
    assert [case.name for case in cases] == ["a", "b", "c", "d"]
    assert [case.images[0].relative_to(root).as_posix() for case in cases] == [
        "a.h5/raw",
        "b.h5",
        "c.h5",
        "d.ome.zarr",
    ]
    assert [bool(case.issue) for case in cases] == [False, False, True, False]
    assert "holds 2 images, c.h5/first, c.h5/second; expected one" in cases[2].issue
    for path in (root / "c.h5/second", root / "d.ome.zarr", root / "b.h5"):
        (case,) = find_inputs(path, num_channels=1)
        assert (case.images, case.issue) == ((path,), "")
    assert image_in(root / "d.ome.zarr") == root / "d.ome.zarr"
    assert labels_in(root / "d.ome.zarr") == root / "d.ome.zarr/labels/nuclei"
    assert labels_in(root / "a.h5") == root / "a.h5/label"
    with pytest.raises(CaseError, match="expected one"):
        labels_in(root / "c.h5")
    with pytest.raises(DatasetError, match=r"x\.h5/raw does not exist"):
        find_inputs(root / "x.h5/raw", num_channels=1)
