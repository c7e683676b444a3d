"""Shapes that are drawn as label maps."""

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from autoseg.core.errors import CaseError
from autoseg.datasets.recognition.annotations.base import Annotation
from autoseg.datasets.recognition.annotations.coco import decoded_runs
from autoseg.datasets.recognition.annotations.drawing import draw, filled
from autoseg.datasets.recognition.annotations.shapes import (
    Polygon,
    Ring,
    Runs,
    Shape,
    ellipse,
    ring,
    runs_of,
)

SHAPE = (20, 30)
BOX = ring([(4, 2), (10, 2), (10, 8), (4, 8)])


def annotation(*shapes: Shape, **more: object) -> Annotation:
    return Annotation(size=SHAPE, shapes=list(shapes), **more)


def runs(*counts: int, **more: object) -> Shape:
    return Shape("x", runs=Runs(np.array(counts, np.int64), **more))


def wavy(random: np.random.Generator, centre: float, scale: float) -> Ring:
    angles = np.sort(random.uniform(0, 2 * np.pi, 9))
    radii = scale * random.uniform(4, 14, 9)
    return np.stack([centre + radii * np.cos(angles), centre + radii * np.sin(angles)], axis=1)


@pytest.mark.parametrize("seed", range(8))
def test_pixels_are_inside_if_their_centre_is(seed: int) -> None:
    outline = wavy(np.random.default_rng(seed), 14.3, 1.0)
    x, y = np.meshgrid(np.arange(SHAPE[1]) + 0.5, np.arange(SHAPE[0]) + 0.5)
    expected = Outline(outline).contains_points(np.stack([x.ravel(), y.ravel()], axis=1))
    assert np.array_equal(filled(outline, SHAPE), expected.reshape(SHAPE))


def test_holes_are_left_out_even_where_they_overlap_and_islands_are_kept() -> None:
    first, second = BOX * 0.5 + 3, BOX * 0.5 + 4
    island = ring([(7, 5), (8, 5), (8, 6), (7, 6)])
    shape = Shape("x", (Polygon(BOX * 2, (first, second)), Polygon(island)))
    drawn = draw(annotation(shape), {"x": 1}, SHAPE) > 0
    outer = filled(BOX * 2, SHAPE) & ~(filled(first, SHAPE) | filled(second, SHAPE))
    assert np.array_equal(drawn, outer | filled(island, SHAPE))


def test_polygons_higher_than_a_strip_are_drawn_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outline = wavy(np.random.default_rng(1), 11.0, 1.0)
    whole = draw(annotation(Shape("x", (Polygon(outline, (BOX,)),))), {"x": 1}, SHAPE)
    monkeypatch.setattr(
        "autoseg.datasets.recognition.annotations.drawing.STRIP_PIXELS", 3 * SHAPE[1]
    )
    strips = draw(annotation(Shape("x", (Polygon(outline, (BOX,)),))), {"x": 1}, SHAPE)
    assert np.array_equal(whole, strips)
    assert whole.any()


def test_shapes_beyond_the_image_are_cut_off() -> None:
    shapes = [Shape("x", (Polygon(BOX + shift),)) for shift in (-6, 20, 100)]
    drawn = draw(annotation(*shapes), {"x": 1}, SHAPE)
    assert np.count_nonzero(drawn) == 4 * 2


def test_later_shapes_cover_earlier_ones_and_background_erases() -> None:
    shapes = [Shape(name, (Polygon(BOX),)) for name in ("x", "y")]
    assert set(np.unique(draw(annotation(*shapes), {"x": 1, "y": 2}, SHAPE))) == {0, 2}
    shapes.append(Shape("Background", (Polygon(BOX),)))
    assert not draw(annotation(*shapes), {"x": 1, "y": 2}, SHAPE).any()


def test_an_ellipse_has_its_area_and_direction() -> None:
    drawn = filled(ellipse((15, 10), (8, 3), 90), SHAPE)
    assert np.count_nonzero(drawn) == pytest.approx(np.pi * 24, rel=0.05)
    assert drawn.any(axis=1).sum() > drawn.any(axis=0).sum()


@pytest.mark.parametrize("counts", [[2, 3, 15, 2, 578], "23?Oca0"])
def test_run_lengths_go_down_the_columns(counts: list[int] | str) -> None:
    counts = decoded_runs(counts) if isinstance(counts, str) else counts
    assert counts == [2, 3, 15, 2, 578]
    drawn = draw(annotation(runs(*counts, is_by_column=True)), {"x": 4}, SHAPE)
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:5, 0] = expected[0:2, 1] = 4
    assert np.array_equal(drawn, expected)


@pytest.mark.parametrize("corner", [(3, 4), (-2, -1), (15, 27), (40, 40), (-40, 3)])
def test_masks_of_a_part_are_put_in_their_place(corner: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random((8, 6)) > 0.5
    drawn = draw(annotation(Shape("x", runs=runs_of(mask, corner))), {"x": 1}, SHAPE)
    expected = np.zeros((100, 100), bool)
    expected[40 + corner[0] : 48 + corner[0], 40 + corner[1] : 46 + corner[1]] = mask
    assert np.array_equal(drawn > 0, expected[40:60, 40:70])


@pytest.mark.parametrize("counts", [(4, 6), (700, -100), (10**12,), (2**62, 2**62, 2**62, 2**62)])
def test_run_lengths_of_another_size_are_refused_before_they_are_unpacked(
    counts: tuple[int, ...],
) -> None:
    with pytest.raises(CaseError, match=r"add up to -?\d+ pixels, but it has 600"):
        draw(annotation(runs(*counts)), {"x": 1}, SHAPE)


def test_annotations_of_an_image_of_another_size_are_refused() -> None:
    drawn = Annotation(size=(40, 60), shapes=[Shape("x", (Polygon(BOX),))])
    with pytest.raises(CaseError, match=r"has 40 × 60 pixels, but the image has 20 × 30"):
        draw(drawn, {"x": 1}, SHAPE)
    drawn = Annotation(shapes=[Shape("x", (Polygon(BOX * 5),))])
    with pytest.raises(
        CaseError, match=r"reach to row 40 and column 50, but the image has 20 × 30"
    ):
        draw(drawn, {"x": 1}, SHAPE)
