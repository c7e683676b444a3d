"""Zarr folders: OME-Zarr of both versions, plain arrays, and codecs that are not run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zarr_folders import write_array, write_json, write_ome

from autoseg.core.errors import CaseError, MissingPackage
from autoseg.readers import (
    images_in,
    knows_geometry,
    label_ending,
    names,
    read_header,
    read_image,
    read_labels,
    stem_of,
    storage_of,
    storage_state,
)

pytest.importorskip("zarr", reason="the extra `zarr`")

VOLUME = np.arange(6 * 20 * 24, dtype=np.uint16).reshape(6, 20, 24)


@pytest.mark.parametrize("version", [2, 3])
def test_an_image_of_ome_zarr_is_read_at_full_resolution(version: int, tmp_path: Path) -> None:
    root = tmp_path / "embryo.ome.zarr"
    stored = np.stack([VOLUME, VOLUME + 1])[None]
    sizes = {"z": (2.0, "micrometer"), "y": (500, "nanometer"), "x": (0.5, "micrometer")}
    write_ome(root, [stored, stored[..., ::2, ::2]], "tczyx", sizes, version=version)
    write_ome(root / "labels/nuclei", [VOLUME % 3], "zyx", sizes, version=version)
    assert images_in(root) == ("", "labels/nuclei")
    assert (stem_of(root), label_ending(".ome.zarr")) == ("embryo", ".tif")
    assert read_header(root).num_channels == 2
    assert read_header(root).shape == (6, 20, 24)
    image = read_image((root,))
    np.testing.assert_array_equal(image.voxels, stored[0])
    assert image.geometry.spacing == (2.0, 0.5, 0.5)
    labels = read_labels(root / "labels/nuclei", like=image)
    np.testing.assert_array_equal(labels.values, VOLUME % 3)
    np.testing.assert_array_equal(read_image((root / "0",)).voxels, stored[0])


def test_scales_of_all_levels_and_of_one_are_multiplied(tmp_path: Path) -> None:
    write_ome(tmp_path / "a.zarr", [VOLUME], "zyx", {"z": (2.0, "")})
    settings = json.loads((tmp_path / "a.zarr/.zattrs").read_text())
    overall = [{"type": "scale", "scale": [3, 0.25, 0.25]}, {"type": "identity"}]
    settings["multiscales"][0]["coordinateTransformations"] = overall
    write_json(tmp_path / "a.zarr/.zattrs", settings)
    assert read_image((tmp_path / "a.zarr",)).geometry.spacing == (6.0, 0.25, 0.25)


def test_a_scale_of_1_without_a_unit_is_an_unknown_voxel_size(tmp_path: Path) -> None:
    write_ome(tmp_path / "a.zarr", [VOLUME], "zyx", {})
    assert not knows_geometry(tmp_path / "a.zarr")
    write_ome(tmp_path / "b.zarr", [VOLUME], "zyx", {"x": (1.0, "millimeter")})
    assert knows_geometry(tmp_path / "b.zarr")


def test_axes_are_ordered_by_their_names(tmp_path: Path) -> None:
    write_ome(tmp_path / "a.zarr", [VOLUME.T], "xyz", {"z": (4.0, "")})
    image = read_image((tmp_path / "a.zarr",))
    np.testing.assert_array_equal(image.voxels[0], VOLUME)
    assert image.geometry.spacing == (4.0, 1.0, 1.0)


def test_several_points_in_time_are_refused(tmp_path: Path) -> None:
    write_ome(tmp_path / "a.zarr", [VOLUME], "tyx", {})
    with pytest.raises(CaseError, match="6 points in time; expected one"):
        read_image((tmp_path / "a.zarr",))


def test_plain_arrays_have_paths_and_voxel_sizes(tmp_path: Path) -> None:
    root = tmp_path / "em.zarr"
    write_json(root / ".zgroup", {"zarr_format": 2})
    for name in ("raw", "mito"):
        write_array(root / name, VOLUME)
        write_json(root / name / ".zattrs", {"resolution": [40, 4, 4], "units": ["nm"] * 3})
    write_array(root / "points", np.zeros((30, 3)))
    assert images_in(root) == ("mito", "raw")
    assert read_image((root / "raw",)).geometry.spacing == (40, 4, 4)
    with pytest.raises(CaseError, match=r"holds 2 images, em\.zarr/mito, em\.zarr/raw"):
        read_image((root,))


def test_a_change_of_any_chunk_is_noticed(tmp_path: Path) -> None:
    write_ome(tmp_path / "a.zarr", [VOLUME], "zyx", {})
    folder, metadata = storage_of(tmp_path / "a.zarr")[:2]
    assert (folder.name, metadata.name) == ("0", ".zgroup")
    before = storage_state(folder)
    chunk = folder / "0/0/0"
    chunk.write_bytes(chunk.read_bytes()[::-1])
    assert storage_state(folder) != before


class Attack:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path(Attack.target),))

    target = ""


def test_code_in_a_chunk_is_not_run(tmp_path: Path) -> None:
    pickle = pytest.importorskip("pickle")
    write_array(tmp_path / "a.zarr", VOLUME)
    settings = json.loads((tmp_path / "a.zarr/.zarray").read_text())
    write_json(tmp_path / "a.zarr/.zarray", settings | {"filters": [{"id": "pickle"}]})
    Attack.target = str(tmp_path / "run")
    (tmp_path / "a.zarr/0/0/0").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(CaseError, match="coded as pickle, which is not read"):
        read_image((tmp_path / "a.zarr",))
    assert not (tmp_path / "run").exists()


def test_arrays_outside_of_the_folder_are_not_read(tmp_path: Path) -> None:
    write_array(tmp_path / "secret", VOLUME)
    write_ome(tmp_path / "a.zarr", [VOLUME], "zyx", {})
    text = (tmp_path / "a.zarr/.zattrs").read_text()
    (tmp_path / "a.zarr/.zattrs").write_text(text.replace('"path": "0"', '"path": "../secret"'))
    with pytest.raises(CaseError, match=r"its array \.\./secret is missing"):
        read_image((tmp_path / "a.zarr",))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".zattrs", '{"multiscales": [{"axes": 3, "datasets": 7}]}'),
        (".zattrs", '{"multiscales": [{"datasets": []}]}'),
        (".zattrs", "[]"),
        (".zattrs", "{"),
        ("0/.zarray", "{}"),
    ],
)
def test_damaged_metadata_is_the_issue_of_its_case(file: str, text: str, tmp_path: Path) -> None:
    write_ome(tmp_path / "a.zarr", [VOLUME], "zyx", {})
    (tmp_path / "a.zarr" / file).write_text(text)
    with pytest.raises(CaseError, match=r"a\.zarr cannot be read"):
        read_image((tmp_path / "a.zarr",))
    assert storage_of(tmp_path / "a.zarr") == (tmp_path / "a.zarr",)


def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ome(tmp_path / "a.zarr", [VOLUME], "zyx", {})
    monkeypatch.setattr(names, "find_spec", {"h5py": True}.get)
    with pytest.raises(MissingPackage, match=r'pip install "autoseg\[zarr\]"'):
        read_image((tmp_path / "a.zarr",))
