from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autoseg.core.geometry import (
    Geometry,
    axis_directions,
    canonical_orientation,
    coarsen_spacing,
    tilt_degrees,
)

PERMUTATIONS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


@st.composite
def orientations(draw: st.DrawFn) -> Geometry:
    """Draw a geometry whose axes are any permutation and flip of the world's, a little oblique."""
    order = draw(st.sampled_from(PERMUTATIONS))
    signs = draw(st.tuples(*[st.sampled_from((1.0, -1.0))] * 3))
    direction = np.zeros((3, 3))
    for world, axis in enumerate(order):
        direction[world, axis] = signs[world]
    angle = draw(st.floats(-0.3, 0.3))
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    spacing = draw(st.tuples(*[st.floats(0.3, 5.0)] * 3))
    return Geometry(
        spacing=spacing,
        origin=draw(st.tuples(*[st.floats(-200.0, 200.0)] * 3)),
        direction=tuple(tuple(row) for row in (turn @ direction).tolist()),
    )


def world_position(geometry: Geometry, index: tuple[int, ...]) -> np.ndarray:
    scaled = np.array(index) * np.array(geometry.spacing)
    return np.array(geometry.origin) + np.array(geometry.direction) @ scaled


@given(orientations(), arrays(np.int16, st.tuples(*[st.integers(1, 5)] * 3)))
def test_reorienting_and_putting_back_is_the_identity(geometry, voxels) -> None:
    turn = canonical_orientation(geometry)
    assert (turn.invert(turn.apply(voxels)) == voxels).all()


@given(orientations(), st.tuples(*[st.integers(2, 5)] * 3))
def test_a_voxel_keeps_its_place_in_the_world(geometry, shape) -> None:
    index = np.arange(np.prod(shape)).reshape(shape)
    turn = canonical_orientation(geometry)
    turned, turned_geometry = turn.apply(index), turn.apply_to_geometry(geometry, shape)
    for position in ((0, 0, 0), tuple(size - 1 for size in turned.shape)):
        stored = np.unravel_index(turned[position], shape)
        expected = world_position(geometry, stored)
        assert world_position(turned_geometry, position) == pytest.approx(expected)


@given(orientations())
def test_canonical_axes_run_along_the_world(geometry) -> None:
    turn = canonical_orientation(geometry)
    turned = turn.apply_to_geometry(geometry, (4, 5, 6))
    assert (np.diag(turned.direction) > 0.7).all()


def test_pictures_stay_as_they_are() -> None:
    turn = canonical_orientation(Geometry.plain((1.0, 1.0)))
    assert turn.axes == (0, 1)
    assert turn.flips == (False, False)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"spacing": (2.0, 1.0, 1.0000001)}, None),
        ({"spacing": (2.0, 1.0, 1.1)}, "spacing"),
        ({"origin": (0.0, 0.0, 0.001)}, None),
        ({"origin": (0.0, 0.0, 5.0)}, "origin"),
        ({"direction": ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))}, "direction"),
    ],
)
def test_only_differences_beyond_the_tolerance_count(changes, expected) -> None:
    first = Geometry.plain((2.0, 1.0, 1.0))
    second = Geometry(**{**vars(first), **changes})
    found = first.difference(second, (10, 20, 20))
    assert found is None if expected is None else expected in found


@given(orientations())
def test_every_orientation_has_its_letters_and_the_canonical_one_is_spl(geometry: Geometry) -> None:
    letters = axis_directions(geometry)
    opposite = letters.translate(str.maketrans("IAR", "SPL"))
    assert sorted(opposite) == ["L", "P", "S"]
    turn = canonical_orientation(geometry)
    canonical = turn.apply_to_geometry(geometry, (4, 5, 6))
    assert axis_directions(canonical) == "SPL"
    assert "".join(opposite[axis] for axis in turn.axes) == "SPL"
    assert tilt_degrees(canonical) == pytest.approx(tilt_degrees(geometry), abs=1e-6)


def test_letters_name_where_each_stored_axis_runs() -> None:
    direction = ((0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    stored = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), direction)
    assert axis_directions(stored) == "PLI"
    assert tilt_degrees(stored) == 0
    assert axis_directions(Geometry.plain((1.0, 1.0))) == ""


@pytest.mark.parametrize("degrees", [0.0, 12.0, 44.0])
def test_the_tilt_is_the_angle_of_a_rotation(degrees: float) -> None:
    angle = np.radians(degrees)
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    direction = ((1.0, 0.0, 0.0), (0.0, cosine, -sine), (0.0, sine, cosine))
    oblique = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), direction)
    assert tilt_degrees(oblique) == pytest.approx(degrees, abs=1e-4)


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.0, (5.0, 1.0, 1.5)), (1.2, (5.0, 1.2, 1.5)), (2.0, (5.0, 2.0, 2.0)), (6.0, (6.0,) * 3)],
)
def test_the_finest_axes_are_coarsened_first(factor, expected):
    assert coarsen_spacing((5.0, 1.0, 1.5), factor) == pytest.approx(expected)


def test_lengths_in_different_units_are_converted_before_they_are_compared() -> None:
    cells = replace(Geometry.plain((0.5, 0.5), "µm"), origin=(2.0, 4.0))
    same = replace(Geometry.plain((5e-4, 5e-4)), origin=(0.002, 0.004))
    assert cells.difference(same, (20, 20)) is None
    assert same.difference(cells, (20, 20)) is None
    difference = cells.difference(Geometry.plain((0.5, 0.5)), (20, 20))
    assert difference == "spacing (0.5, 0.5) µm against (0.5, 0.5) mm"
    shifted = replace(same, origin=(2.0, 4.0))
    assert cells.difference(shifted, (20, 20)) == "origin (2, 4) µm against (2, 4) mm"
