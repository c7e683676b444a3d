"""HDF5: axes, voxel sizes, paths inside of files, and links that are not followed."""

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import CaseError, MissingPackage
from autoseg.readers import (
    ending_of,
    exists,
    images_in,
    knows_geometry,
    label_ending,
    names,
    read_header,
    read_image,
    read_labels,
    stem_of,
    storage_of,
)

h5py = pytest.importorskip("h5py", reason="the extra `hdf5`")

VOLUME = np.arange(6 * 20 * 24, dtype=np.uint16).reshape(6, 20, 24)


def write(path: Path, **datasets: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file[name.replace("__", "/")] = data
    return path


def test_a_dataset_is_read_by_its_path_with_its_voxel_size(tmp_path: Path) -> None:
    path = write(tmp_path / "case_1.h5", volumes__raw=VOLUME, label=VOLUME > 9)
    with h5py.File(path, "a") as file:
        file["volumes/raw"].attrs["element_size_um"] = (0.5, 0.1, 0.1)
    image = read_image((path / "volumes/raw",))
    np.testing.assert_array_equal(image.voxels[0], VOLUME)
    assert image.geometry.spacing == (0.5, 0.1, 0.1)
    assert read_header(path / "label").shape == (6, 20, 24)
    assert set(np.unique(read_labels(path / "label").values)) == {0, 1}
    assert knows_geometry(path / "volumes/raw")
    assert not knows_geometry(path / "label")


def test_names_of_paths_in_a_container_are_those_of_the_container(tmp_path: Path) -> None:
    path = write(tmp_path / "case_1.hdf5", raw=VOLUME) / "group/raw"
    assert (stem_of(path), ending_of(path)) == ("case_1", ".hdf5")
    assert storage_of(path) == (tmp_path / "case_1.hdf5",)
    assert label_ending(".hdf5") == ".tif"
    assert exists(path)
    assert not exists(tmp_path / "case_2.hdf5/raw")


def test_a_file_in_a_folder_named_like_a_container_keeps_its_format() -> None:
    assert ending_of(Path("data.h5/case_1.nii.gz")) == ".nii.gz"


def test_the_only_image_of_a_file_needs_no_path(tmp_path: Path) -> None:
    locations, names_of_cells = np.zeros((50, 3)), np.array([b"cell"] * 9)
    path = write(tmp_path / "a.h5", exported_data=VOLUME, points=locations, names=names_of_cells)
    assert images_in(path) == ("exported_data",)
    np.testing.assert_array_equal(read_image((path,)).voxels[0], VOLUME)
    write(path, raw=VOLUME, other=VOLUME)
    with pytest.raises(CaseError, match=r"holds 2 images, a\.h5/other, a\.h5/raw; expected one"):
        read_image((path,))


def test_a_missing_dataset_is_named_with_those_that_exist(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", raw=VOLUME, label=VOLUME)
    with pytest.raises(CaseError, match=r"a\.h5/nuclei does not exist.*label, raw"):
        read_image((path / "nuclei",))


@pytest.mark.parametrize(
    ("shape", "channels", "space"),
    [
        ((20, 24), 1, (20, 24)),
        ((6, 20, 24), 1, (6, 20, 24)),
        ((20, 24, 3), 3, (20, 24)),
        ((3, 20, 24), 1, (3, 20, 24)),
        ((2, 6, 20, 24), 2, (6, 20, 24)),
        ((6, 20, 24, 3), 3, (6, 20, 24)),
        ((1, 1, 6, 20, 24), 1, (6, 20, 24)),
        ((6, 20, 24, 1), 1, (6, 20, 24)),
    ],
)
def test_channels_are_the_shortest_axis_at_an_end(
    shape: tuple[int, ...], channels: int, space: tuple[int, ...], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.h5", x=np.zeros(shape, np.uint8))
    assert read_header(path).num_channels == channels
    assert read_header(path).shape == space
    assert read_image((path,)).voxels.shape == (channels, *space)


@pytest.mark.parametrize(
    "shape", [(6, 3, 20, 24), (3, 20, 24, 12), (20, 24, 20, 24), (2, 3, 6, 20, 24)]
)
def test_ambiguous_axes_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", x=np.zeros(shape, np.uint8))
    with pytest.raises(CaseError, match="unclear which are z, y and x"):
        read_header(path)


def test_axis_tags_name_the_axes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", x=np.moveaxis(VOLUME, 0, 2)[None, ..., None])
    with h5py.File(path, "a") as file:
        tags = {"axes": [{"key": key, "typeFlags": 2} for key in "tyxzc"]}
        file["x"].attrs["axistags"] = json.dumps(tags)
    np.testing.assert_array_equal(read_image((path,)).voxels[0], VOLUME)


def test_several_points_in_time_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", x=VOLUME)
    with h5py.File(path, "a") as file:
        file["x"].attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "tyx"]})
    with pytest.raises(CaseError, match="6 points in time; expected one"):
        read_image((path,))


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "secret.h5", raw=VOLUME)
    (tmp_path / "secret.bin").write_bytes(bytes(VOLUME.nbytes))
    path = write(tmp_path / "a.h5", own=VOLUME)
    layout = h5py.VirtualLayout(shape=VOLUME.shape, dtype=VOLUME.dtype)
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "raw", shape=VOLUME.shape)
    with h5py.File(path, "a") as file:
        file["linked"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "raw")
        file["alias"] = h5py.SoftLink("/own")
        file.create_virtual_dataset("virtual", layout)
        external = [(str(tmp_path / "secret.bin"), 0, VOLUME.nbytes)]
        file.create_dataset("outside", VOLUME.shape, VOLUME.dtype, external=external)
    assert images_in(path) == ("outside", "own", "virtual")
    for name in ("linked", "alias"):
        with pytest.raises(CaseError, match="does not exist"):
            read_image((path / name,))
    for name in ("virtual", "outside"):
        with pytest.raises(CaseError, match="stored in another file, which is not read"):
            read_image((path / name,))


def test_a_marker_of_voxels_without_a_label_is_refused(tmp_path: Path) -> None:
    labels = np.full((6, 20, 24), 2**64 - 1, np.uint64)
    labels[2:4] = 7
    path = write(tmp_path / "a.h5", labels=labels)
    with pytest.raises(CaseError, match="18446744073709551615, which usually marks voxels without"):
        read_labels(path)


def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.h5", raw=VOLUME)
    monkeypatch.setattr(names, "find_spec", {"zarr": True}.get)
    with pytest.raises(MissingPackage, match=r'pip install "autoseg\[hdf5\]"'):
        read_image((path,))


def test_one_voxel_size_is_that_of_all_axes_and_another_number_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", raw=VOLUME)
    with h5py.File(path, "a") as file:
        file["raw"].attrs["voxel_size"] = 0.4
    assert read_image((path,)).geometry.spacing == (0.4, 0.4, 0.4)
    with h5py.File(path, "a") as file:
        file["raw"].attrs["voxel_size"] = (0.5, 0.4)
    with pytest.raises(CaseError, match=r"voxel_size has 2 entries; expected one .* z, y, x"):
        read_image((path,))


def test_the_axes_of_ilastik_have_the_voxel_size_unless_it_is_0(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", raw=VOLUME)
    for depth, spacing in ((2.0, (0.3, 0.4, 2.0)), (0.0, (1.0, 1.0, 1.0))):
        tags = [
            {"key": key, "resolution": size} for key, size in (("x", depth), ("z", 0.3), ("y", 0.4))
        ]
        with h5py.File(path, "a") as file:
            file["raw"].attrs["axistags"] = json.dumps({"axes": tags})
        assert read_image((path,)).geometry.spacing == spacing
        assert knows_geometry(path) == (depth > 0)
