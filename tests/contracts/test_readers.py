"""Every registered reader keeps the same promises; a new file is tested unasked."""

from pathlib import Path

import numpy as np
import pytest

from autoseg.core.case import Image
from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry, LengthUnit, canonical_orientation
from autoseg.readers import (
    READERS,
    knows_geometry,
    label_ending,
    read_header,
    read_labels,
    write_labels,
)
from autoseg.readers.names import reader_for

LABEL_ENDINGS = [ending for kind in READERS for ending in READERS[kind].label_endings]


def image_of(shape: tuple[int, ...], geometry: Geometry | None = None) -> Image:
    stored = geometry or Geometry.plain((2.0, 1.0, 0.5)[-len(shape) :])
    turn = canonical_orientation(stored)
    canonical = turn.apply(np.zeros((1, *shape), np.float32))
    return Image(
        voxels=np.ascontiguousarray(canonical),
        geometry=turn.apply_to_geometry(stored, shape),
        stored_geometry=stored,
        reorientation=turn,
    )


def test_every_ending_has_one_reader() -> None:
    endings = [ending for kind in READERS for ending in READERS[kind].endings]
    assert len(set(endings)) == len(endings)


@pytest.mark.parametrize("unit", ["mm", "µm", "nm"])
@pytest.mark.parametrize("ending", LABEL_ENDINGS)
def test_a_file_that_knows_its_geometry_has_the_one_that_was_written(
    ending: str, unit: LengthUnit, tmp_path: Path
) -> None:
    axes = reader_for(Path(f"x{ending}")).max_axes
    image = image_of((3, 5, 7)[-axes:], Geometry.plain((2.0, 0.7, 1 / 3)[-axes:], unit))
    write_labels(np.ones(image.shape, np.uint8), image, tmp_path / f"case{ending}")
    found = read_labels(tmp_path / f"case{ending}").geometry
    assert knows_geometry(tmp_path / f"case{ending}") == (axes == 3)
    if axes == 3:
        assert found.in_unit(unit).spacing == pytest.approx(image.geometry.spacing)
    else:
        assert found.spacing == (1.0, 1.0)
    is_world = reader_for(Path(f"x{ending}")).holds_world_geometry
    assert is_world or axes == 2 or found.unit == unit


@pytest.mark.parametrize("ending", LABEL_ENDINGS)
def test_labels_survive_writing_and_reading(ending: str, tmp_path: Path) -> None:
    axes = reader_for(Path(f"x{ending}")).max_axes
    image = image_of((3, 5, 7)[-axes:])
    values = np.random.default_rng(0).choice([0, 50, 200], image.shape).astype(np.uint8)
    path = tmp_path / "made" / f"case.v2{ending}"
    write_labels(values, image, path)
    np.testing.assert_array_equal(read_labels(path, like=image).values, values)
    assert read_header(path).shape == image.shape
    assert not list(path.parent.glob("*partial*"))


@pytest.mark.parametrize("kind", list(READERS))
def test_labels_of_any_image_have_an_ending_that_keeps_them(kind: str) -> None:
    for ending in READERS[kind].endings:
        assert label_ending(ending) in LABEL_ENDINGS


@pytest.mark.parametrize("kind", list(READERS))
def test_a_damaged_file_is_named(kind: str, tmp_path: Path) -> None:
    for ending in READERS[kind].endings:
        path = tmp_path / f"case{ending}"
        path.write_bytes(b"this is no image" * 100)
        for action in (read_header, read_labels):
            with pytest.raises(CaseError, match=path.name):
                action(path)
