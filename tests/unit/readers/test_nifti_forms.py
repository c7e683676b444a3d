"""Where NIfTI images lie, by either form of their header."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_volume

from autoseg.readers import read_header, read_image, write_labels
from autoseg.readers.nifti_forms import NiftiForms

VALUES = np.arange(120, dtype=np.int16).reshape(4, 5, 6)


def with_sform(path: Path, rows: np.ndarray, code: int = 2) -> None:
    """Replace the sform of a NIfTI-1 file."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<h", content, 254, code)
    struct.pack_into("<12f", content, 280, *rows.ravel())
    path.write_bytes(gzip.compress(bytes(content)))


def nifti_2(path: Path, voxels: np.ndarray, rows: np.ndarray) -> None:
    """Write a NIfTI-2 file of int16 voxels with an sform alone."""
    header = bytearray(544)
    struct.pack_into("<i", header, 0, 540)
    struct.pack_into("<2h8q", header, 12, 4, 16, 3, *reversed(voxels.shape), 1, 1, 1, 1)
    struct.pack_into("<8d", header, 104, 1, *np.linalg.norm(rows[:, :3], axis=0), 1, 1, 1, 1)
    struct.pack_into("<q2d", header, 168, 544, 0, 0)
    struct.pack_into("<2i", header, 344, 0, 1)
    struct.pack_into("<12d", header, 400, *rows.ravel())
    path.write_bytes(bytes(header) + voxels.tobytes())


ROWS = np.array([[0, -2.0, 0, 3], [1.5, 0, 0, -4], [0, 0, 2.5, 5]])


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_outputs_keep_both_forms_if_they_disagree(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "a.nii.gz"
    write_volume(VALUES, path, spacing=(2.0, 1.0, 1.0), origin=(1.0, 2.0, 3.0))
    qform = NiftiForms.from_file(path).qform
    assert qform is not None
    moved = qform + np.array([[0, 0, 0, 5], [0, 0, 0, -7], [0, 0, 0, 9]])
    with_sform(path, moved)
    forms = NiftiForms.from_file(path)
    assert forms.disagree
    image = read_image((path,))
    labels = (image.voxels[0] > 60).astype(np.uint8)
    write_labels(labels, image, tmp_path / f"out{ending}")
    written = NiftiForms.from_file(tmp_path / f"out{ending}")
    assert written.codes == forms.codes
    np.testing.assert_allclose(written.qform, forms.qform, atol=1e-5)
    np.testing.assert_allclose(written.sform, forms.sform, atol=1e-5)
    assert written.is_kept_by(forms)
    again = read_image((tmp_path / f"out{ending}",))
    assert np.array_equal(again.voxels[0], labels)


def test_outputs_of_agreeing_forms_are_not_rewritten(tmp_path: Path) -> None:
    write_volume(VALUES, tmp_path / "a.nii.gz", spacing=(2.0, 1.0, 1.0))
    image = read_image((tmp_path / "a.nii.gz",))
    assert not image.forms.disagree
    write_labels((image.voxels[0] > 60).astype(np.uint8), image, tmp_path / "out.nii.gz")
    assert NiftiForms.from_file(tmp_path / "out.nii.gz").is_kept_by(image.forms)


def test_the_qform_is_what_simpleitk_reads(tmp_path: Path) -> None:
    turn = np.array([[0.0, -1, 0], [0.6, 0, -0.8], [0.8, 0, 0.6]])
    write_volume(
        VALUES, tmp_path / "a.nii", spacing=(2.0, 1.5, 1.0), origin=(1.0, 2.0, 3.0), direction=turn
    )
    image, forms = read_image((tmp_path / "a.nii",)), NiftiForms.from_file(tmp_path / "a.nii")
    stored = image.stored_geometry
    np.testing.assert_allclose(forms.geometry.spacing, stored.spacing, rtol=1e-5)
    np.testing.assert_allclose(forms.geometry.origin, stored.origin, atol=1e-5)
    np.testing.assert_allclose(forms.geometry.direction, stored.direction, atol=1e-5)
    np.testing.assert_allclose(forms.qform, forms.sform, atol=1e-5)


def test_nifti_2_is_read_like_nifti_1(tmp_path: Path) -> None:
    nifti_2(tmp_path / "two.nii", VALUES, ROWS)
    write_volume(VALUES, tmp_path / "one.nii.gz", spacing=(2.5, 2.0, 1.5))
    with_sform(tmp_path / "one.nii.gz", ROWS)
    image = read_image((tmp_path / "two.nii",))
    assert read_header(tmp_path / "two.nii").shape == VALUES.shape
    assert image.stored_geometry == NiftiForms.from_file(tmp_path / "one.nii.gz").geometry
    assert np.array_equal(image.reorientation.invert(image.voxels[0]), VALUES)
    write_labels((image.voxels[0] > 60).astype(np.uint8), image, tmp_path / "out.nii.gz")
    np.testing.assert_allclose(
        NiftiForms.from_file(tmp_path / "out.nii.gz").affine, ROWS, atol=1e-5
    )
