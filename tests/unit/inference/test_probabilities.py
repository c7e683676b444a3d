"""Stored probabilities are exact to half a quantisation step, independent of the slabs."""

import gc
import tempfile

import blosc2
import numpy as np
import pytest
from full_disk import failing_library, fill_disk
from scipy.special import expit, softmax

from autoseg.core.case import InverseTransform
from autoseg.core.errors import CaseError, DiskError, DocumentError
from autoseg.inference import probabilities
from autoseg.inference.blending import LogitsSlab
from autoseg.inference.probabilities import (
    ARRAY_FILE,
    FULL,
    ProbabilityGrid,
    compress_probabilities,
    has_probabilities,
    open_probabilities,
    save_probabilities,
)


def grid_of(shape, *, num_outputs=3, is_regional=False):
    axes = len(shape)
    way = InverseTransform.uncropped(shape, (1.0,) * axes)
    return ProbabilityGrid(
        restoration=way, orders=(1,) * axes, num_outputs=num_outputs, is_regional=is_regional
    )


def logits_of(shape, num_outputs=3):
    rng = np.random.default_rng(5)
    return rng.normal(0, 3, (num_outputs, *shape)).astype(np.float32)


def slabs_of(logits, height):
    for start in range(0, logits.shape[1], height):
        yield LogitsSlab(start=start, logits=logits[:, start : start + height])


@pytest.mark.parametrize("height", [1, 3, 8, 11, 100])
@pytest.mark.parametrize("is_regional", [False, True])
def test_probabilities_are_right_to_half_a_step(height, is_regional):
    logits = logits_of((21, 7, 9))
    stored = compress_probabilities(
        slabs_of(logits, height), grid_of((21, 7, 9), is_regional=is_regional)
    )
    expected = expit(logits) if is_regional else softmax(logits, axis=0)
    assert np.abs(stored.planes(0, 21) / FULL - expected).max() <= 0.5 / FULL + 1e-6
    np.testing.assert_array_equal(stored.planes(5, 12), stored.planes(0, 21)[:, 5:12])


@pytest.mark.parametrize("height", [1, 4, 8])
def test_strips_of_rows_give_the_same(height):
    logits, grid = logits_of((21, 30, 9)), grid_of((21, 30, 9))
    strips = [
        LogitsSlab(start, logits[:, start : start + height, row : row + 13], row)
        for start in range(0, 21, height)
        for row in (0, 13, 26)
    ]
    found, expected = (
        compress_probabilities(strips, grid),
        compress_probabilities(slabs_of(logits, 21), grid),
    )
    np.testing.assert_array_equal(found.planes(0, 21), expected.planes(0, 21))
    with pytest.raises(ValueError, match=r"do not cover \d+ of 630 rows"):
        compress_probabilities(strips[:-1], grid)


def test_a_picture_has_one_plane():
    logits = logits_of((1, 30, 40))
    stored = compress_probabilities(slabs_of(logits, 1), grid_of((30, 40)))
    assert stored.planes(0, 1).shape == (3, 1, 30, 40)


def test_a_folder_gives_back_what_went_in_and_lets_the_slabs_pass(tmp_path):
    logits, grid = logits_of((21, 7, 9)), grid_of((21, 7, 9))
    folder = tmp_path / "probabilities" / "case"
    passed = []
    for slab in save_probabilities(slabs_of(logits, 4), grid, folder):
        assert not has_probabilities(folder)  # nothing half-written is seen
        passed.append(slab.logits)
    np.testing.assert_array_equal(np.concatenate(passed, axis=1), logits)
    stored = open_probabilities(folder)
    assert stored.grid == grid
    in_memory = compress_probabilities(slabs_of(logits, 21), grid)
    np.testing.assert_array_equal(stored.planes(0, 21), in_memory.planes(0, 21))


def test_what_does_not_become_small_goes_to_a_file_that_does_not_stay(tmp_path, monkeypatch):
    logits, grid = logits_of((21, 7, 9)), grid_of((21, 7, 9))
    expected = compress_probabilities(slabs_of(logits, 5), grid)
    assert expected.folder is None
    monkeypatch.setattr(probabilities, "LARGEST_IN_MEMORY", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stored = compress_probabilities(slabs_of(logits, 5), grid)
    assert [path.name for path in tmp_path.glob("autoseg_*/*")] == [ARRAY_FILE]
    np.testing.assert_array_equal(stored.planes(0, 21), expected.planes(0, 21))
    del stored
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_an_image_whose_networks_failed(tmp_path):
    slabs = save_probabilities(
        slabs_of(logits_of((21, 7, 9)), 4), grid_of((21, 7, 9)), tmp_path / "case"
    )
    next(slabs)
    slabs.close()
    assert list(tmp_path.iterdir()) == []


def test_missing_planes_are_an_error(tmp_path):
    short = slabs_of(logits_of((20, 7, 9)), 8)
    with pytest.raises(ValueError, match="do not cover 7 of 147 rows"):
        compress_probabilities(short, grid_of((21, 7, 9)))
    with pytest.raises(ValueError, match="do not cover 7 of 147 rows"):
        list(
            save_probabilities(
                slabs_of(logits_of((20, 7, 9)), 8), grid_of((21, 7, 9)), tmp_path / "case"
            )
        )
    assert not has_probabilities(tmp_path / "case")


def test_classes_that_are_nowhere_take_no_space():
    logits = np.full((50, 16, 64, 64), -20, dtype=np.float32)
    logits[0], logits[7, :, :20, :20] = 0, 9
    stored = compress_probabilities(slabs_of(logits, 8), grid_of((16, 64, 64), num_outputs=50))
    assert stored.array.schunk.cbytes < 0.01 * logits.size


def test_what_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(DocumentError, match=r"grid\.json does not exist"):
        open_probabilities(tmp_path)
    list(
        save_probabilities(
            slabs_of(logits_of((21, 7, 9)), 4), grid_of((21, 7, 9)), tmp_path / "case"
        )
    )
    (tmp_path / "case" / ARRAY_FILE).write_bytes(b"rubbish")
    with pytest.raises(CaseError, match=r"probabilities\.b2nd cannot be read"):
        open_probabilities(tmp_path / "case")


def test_damage_inside_of_probabilities_is_named(tmp_path):
    slabs = slabs_of(logits_of((21, 70, 90)), 4)
    list(save_probabilities(slabs, grid_of((21, 70, 90)), tmp_path / "case"))
    path = tmp_path / "case" / ARRAY_FILE
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8192] = bytes(8192)
    path.write_bytes(content)
    stored = open_probabilities(tmp_path / "case")
    with pytest.raises(CaseError, match=r"probabilities\.b2nd cannot be read .*Delete the folder"):
        stored.planes(0, 21)


def test_a_full_folder_of_temporary_files_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(probabilities, "LARGEST_IN_MEMORY", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(blosc2.NDArray, "copy", failing_library)
    fill_disk(monkeypatch)
    with pytest.raises(DiskError, match=f"No space left on device .*{tmp_path.name}/autoseg_"):
        compress_probabilities(slabs_of(logits_of((21, 7, 9)), 5), grid_of((21, 7, 9)))
