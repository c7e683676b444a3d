"""The leaderboard can be read on a terminal and as a picture."""

import numpy as np
import pytest
from skimage import io

from autoseg.documents.selection import Candidate, Estimate, Selection
from autoseg.evaluation.leaderboard import draw_leaderboard
from autoseg.evaluation.table import leaderboard_rows

LONG = ("3d_fullres", "3d_cascade_fullres")


def candidate(members, dice, **fields):
    return Candidate(
        members=members,
        dice=Estimate(value=dice, low=dice - 0.0123, high=dice + 0.01),
        hd95_mm=Estimate(value=3.456),
        nsd=Estimate(value=None),
        **fields,
    )


@pytest.fixture
def selection():
    return Selection(
        members=("3d_fullres",),
        folds=((0,),),
        postprocessing=(),
        reason="",
        candidates=(
            candidate(LONG, 0.91),
            candidate(("3d_fullres",), 0.9, seconds_per_case=12.34, memory_gib=7.26),
        ),
    )


def test_rows_hold_means_and_intervals_and_mark_the_choice(selection):
    header, (first, second) = leaderboard_rows(selection)
    assert len(header) == len(first) == 6
    assert first[0] == "3d_fullres\n+ 3d_cascade_fullres"
    assert first[3:] == ("–", "–", "–")
    assert second == (
        "3d_fullres ←",
        "0.900\n0.888–0.910",
        "3.46",
        "–",
        "12.3",
        "7.26",
    )


def test_a_configuration_that_lacks_folds_comes_last_with_its_number_of_cases(selection):
    partial = candidate(("2d",), 0.95, num_cases=8)
    with_partial = selection.model_copy(update={"left_out": (partial,)})
    rows = leaderboard_rows(with_partial).rows
    assert [row[0] for row in rows[1:]] == ["3d_fullres ←", "2d\n(8 cases only)"]


def test_distances_between_pictures_are_in_pixels(selection):
    drawn = tuple(
        entry.model_copy(update={"distance_unit": "px"}) for entry in selection.candidates
    )
    assert leaderboard_rows(selection).header[2] == "HD95 mm"
    pictures = selection.model_copy(update={"candidates": drawn})
    assert leaderboard_rows(pictures).header[2] == "HD95 px"


def test_the_table_fits_on_a_terminal_of_80_columns(selection):
    header, rows = leaderboard_rows(selection)
    widths = [
        max(len(line) for cell in column for line in cell.split("\n"))
        for column in zip(header, *rows, strict=True)
    ]
    assert sum(widths) + 3 * len(widths) + 1 <= 80


def test_the_picture_grows_with_the_candidates_and_shows_the_choice_in_blue(selection, tmp_path):
    heights = []
    for count in (1, 2):
        few = selection.model_copy(update={"candidates": selection.candidates[-count:]})
        draw_leaderboard(few, tmp_path / f"{count}.png")
        picture = io.imread(tmp_path / f"{count}.png")[..., :3].astype(int)
        heights.append(picture.shape[0])
        assert np.any(np.abs(picture - (0x00, 0x77, 0xBB)).sum(axis=-1) < 30)
    assert heights[0] < heights[1]


def test_names_that_look_like_mathematics_are_drawn_as_they_are(selection, tmp_path):
    odd = candidate(("a_$b", "x$"), 0.5)
    draw_leaderboard(selection.model_copy(update={"candidates": (odd,)}), tmp_path / "odd.png")
    assert (tmp_path / "odd.png").is_file()
