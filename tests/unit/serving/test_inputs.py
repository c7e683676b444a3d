"""The one image of a job: which files make it up, and which may not be read."""

from pathlib import Path

import numpy as np
import pytest
from synthetic import write_volume

from autoseg.core.errors import CaseError
from autoseg.serving.inputs import JobInput, find_case

HEADER = "ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\n"


def volume(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(np.zeros((3, 4, 5), np.int16), path, spacing=(1.0, 1.0, 1.0))
    return path


def test_files_are_channels_in_the_order_of_the_request(tmp_path):
    paths = tuple(volume(tmp_path / f"{name}.nii.gz") for name in ("t2", "t1"))
    assert find_case(JobInput(paths, tmp_path), 2).images == paths


def test_numbered_files_are_channels_in_the_order_of_their_numbers(tmp_path):
    paths = tuple(volume(tmp_path / f"case_000{number}.nii.gz") for number in (1, 0))
    assert find_case(JobInput(paths, tmp_path), 2).images == paths[::-1]


@pytest.mark.parametrize("num_channels", [1, 3])
def test_another_number_of_images_is_refused(tmp_path, num_channels):
    paths = tuple(volume(tmp_path / f"{name}.nii.gz") for name in "ab")
    with pytest.raises(CaseError, match="found 2 images"):
        find_case(JobInput(paths, tmp_path), num_channels)


def test_an_image_in_the_only_folder_of_a_zip_file_is_found(tmp_path):
    path = volume(tmp_path / "unpacked" / "study" / "case.mhd")
    found = find_case(JobInput((tmp_path / "unpacked",), tmp_path), 1)
    assert found.images == (path,)


@pytest.mark.parametrize(
    "fields",
    [
        "ElementDataFile = /etc/passwd\n",
        "ElementDataFile = ../voxels.raw\n",
        "ElementDataFile = ..\\voxels.raw\n",
        "ElementDataFile = ~/voxels.raw\n",
        "ElementDataFile = LIST 2\nslice.raw\n../slice.raw\n",
        "ElementDataFile = ../slice%03d.raw 1 2 1\n",
        "Comment = ElementDataFile = LOCAL\nElementDataFile = /etc/passwd\n",
    ],
)
def test_a_header_that_names_a_file_elsewhere_is_refused(tmp_path, fields):
    folder = tmp_path / "input"
    folder.mkdir()
    for place in (tmp_path, folder):
        (place / "voxels.raw").write_bytes(bytes(4))
    path = folder / "case.mhd"
    path.write_text(HEADER + fields)
    with pytest.raises(CaseError, match="another folder"):
        find_case(JobInput((path,), folder), 1)


def test_a_header_with_its_voxels_next_to_it_is_accepted(tmp_path):
    (tmp_path / "case.raw").write_bytes(bytes(4))
    path = tmp_path / "case.mhd"
    path.write_text(HEADER + "ElementDataFile = case.raw\n")
    assert find_case(JobInput((path,), tmp_path), 1).images == (path,)


def test_a_link_next_to_an_image_that_leads_elsewhere_is_refused(tmp_path):
    secret = volume(tmp_path / "secret.nii.gz")
    path = volume(tmp_path / "root" / "a.nii.gz")
    (path.parent / "b.nii.gz").symlink_to(secret)
    with pytest.raises(CaseError, match="link"):
        find_case(JobInput((path,), path.parent), 1)
