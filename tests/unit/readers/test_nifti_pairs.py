"""NIfTI and Analyze 7.5 as a pair of files, `case.hdr` and `case.img`."""

import struct
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_volume

from autoseg.core.errors import CaseError
from autoseg.datasets.recognition.inventory import take_inventory
from autoseg.readers import (
    is_image_name,
    knows_geometry,
    label_ending,
    read_header,
    read_image,
    read_labels,
    storage_of,
)

VALUES = np.arange(120, dtype=np.int16).reshape(4, 5, 6)


def analyze(path: Path, voxels: np.ndarray, order: str = "<", frames: int = 1) -> None:
    """Write voxels `z y x` of int16 as Analyze 7.5, with the sizes 1, 2, 3 along x, y, z."""
    header = bytearray(348)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, 4, *reversed(voxels.shape[-3:]), frames, 1, 1, 1)
    struct.pack_into(f"{order}2h", header, 70, 4, 16)
    struct.pack_into(f"{order}4f", header, 76, 0, 1, 2, 3)
    struct.pack_into(f"{order}f", header, 112, 0.5)  # a scale of SPM, which is not part of Analyze
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(header))
    stored = voxels.astype(f"{order}i2").tobytes()
    path.with_suffix(".IMG" if path.suffix == ".HDR" else ".img").write_bytes(stored)


@pytest.mark.parametrize(("name", "order"), [("a.hdr", "<"), ("A.HDR", ">")])
def test_analyze_has_sizes_and_its_default_axes(tmp_path: Path, name: str, order: str) -> None:
    path = tmp_path / name
    analyze(path, VALUES, order)
    image = read_image((path,))
    assert image.stored_geometry.spacing == (3.0, 2.0, 1.0)
    assert np.diag(image.stored_geometry.direction).tolist() == [1.0, -1.0, 1.0]
    assert np.array_equal(image.voxels[0], VALUES[:, ::-1])
    assert read_header(path).shape == VALUES.shape
    assert not knows_geometry(path)
    assert image.forms is None


def test_labels_in_analyze_lie_voxel_by_voxel_on_an_image_of_another_format(tmp_path: Path) -> None:
    turned = np.diag([1.0, 1.0, -1.0])
    write_volume(VALUES, tmp_path / "a.nii.gz", spacing=(3.0, 2.0, 1.0), direction=turned)
    analyze(tmp_path / "a.hdr", VALUES)
    image = read_image((tmp_path / "a.nii.gz",))
    assert np.array_equal(
        read_labels(tmp_path / "a.hdr", like=image).values, image.voxels[0].astype(int)
    )


def test_a_nifti_pair_has_the_geometry_of_its_header(tmp_path: Path) -> None:
    for name in ("a.hdr", "a.nii"):
        write_volume(VALUES, tmp_path / name, spacing=(3.0, 2.0, 1.0), origin=(1.0, 2.0, 3.0))
    pair, single = (read_image((tmp_path / name,)) for name in ("a.hdr", "a.nii"))
    assert pair.geometry == single.geometry
    assert np.array_equal(pair.voxels, single.voxels)
    assert knows_geometry(tmp_path / "a.hdr")
    assert storage_of(tmp_path / "a.hdr")[1:] == (tmp_path / "a.img",)


def test_a_truncated_pair_is_found(tmp_path: Path) -> None:
    analyze(tmp_path / "a.hdr", VALUES)
    (tmp_path / "a.img").write_bytes((tmp_path / "a.img").read_bytes()[:-2])
    with pytest.raises(CaseError, match="it is truncated after 238 of 240 bytes"):
        read_image((tmp_path / "a.hdr",))


def test_a_pair_is_one_item_and_other_headers_are_none(tmp_path: Path) -> None:
    analyze(tmp_path / "a.hdr", VALUES)
    analyze(tmp_path / "B.HDR", VALUES)
    for name in ("envi.hdr", "envi.img", "alone.img", "light.hdr"):
        (tmp_path / name).write_text("ENVI\nsamples = 3\n")
    inventory = take_inventory(tmp_path)
    assert [item.path.name for item in inventory.items] == ["B.HDR", "a.hdr"]
    assert inventory.unread == {".hdr": 2, ".img": 2}
    assert [is_image_name(tmp_path / name) for name in ("a.hdr", "a.img", "light.hdr")] == [
        True,
        False,
        False,
    ]
    assert label_ending(".hdr") == ".nii.gz"


def test_a_fourth_axis_is_reported(tmp_path: Path) -> None:
    analyze(tmp_path / "a.hdr", np.zeros((2, *VALUES.shape)), frames=2)
    write_volume(VALUES, tmp_path / "b.nii", spacing=(3.0, 2.0, 1.0))
    assert read_header(tmp_path / "a.hdr").has_fourth_axis
    assert read_header(tmp_path / "a.hdr").num_channels == 2
    assert not read_header(tmp_path / "b.nii").has_fourth_axis
