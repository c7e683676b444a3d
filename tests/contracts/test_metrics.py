"""Every registered metric keeps the same promises; a new file is tested without a new test."""

import math

import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.errors import UnknownComponent
from autoseg.documents.report import Report
from autoseg.documents.store import load, save
from autoseg.evaluation.cases import Measurement, score_case
from autoseg.evaluation.class_scores import mask_scores
from autoseg.evaluation.metrics import ALL_METRICS, DEFAULT_METRICS, METRICS, TABLE_METRICS
from autoseg.evaluation.summary import build_report
from autoseg.evaluation.table import case_rows, report_rows, title

SPACINGS = {"2d": (0.8, 1.2), "3d": (2.5, 0.8, 1.2)}
SHAPES = {"2d": (60, 50), "3d": (24, 30, 28)}
POWERS = {"none": 0, "length": 1, "volume": 3}


@pytest.fixture(params=METRICS)
def name(request):
    return request.param


@pytest.fixture(params=SPACINGS)
def axes(request):
    return request.param


def blobs(axes, seed, level=0.0):
    """Return a smooth random mask of several objects that touch the image border."""
    noise = np.random.default_rng(seed).normal(size=SHAPES[axes])
    smooth = ndimage.gaussian_filter(noise, 3)
    return smooth > level * smooth.std()


def value(name, prediction, reference, axes, *, spacing=None, tolerance_mm=1.5):
    scores = mask_scores(
        prediction,
        reference,
        spacing=spacing or SPACINGS[axes],
        tolerance_mm=tolerance_mm,
        metrics=(name,),
    )
    return scores.metric(name)


def is_undefined(name, axes):
    """Return whether any pair of masks leaves the metric undefined."""
    return METRICS[name].needs_probabilities or (axes == "2d" and METRICS[name].unit == "volume")


def test_identical_masks_have_the_best_value(name, axes):
    mask = blobs(axes, 0)
    best = 1 if METRICS[name].better == "higher" else 0
    found = value(name, mask, mask.copy(), axes)
    assert found == (None if is_undefined(name, axes) else best)


def test_different_masks_have_a_worse_finite_value(name, axes):
    first, second = blobs(axes, 0), blobs(axes, 1, level=0.5)
    found = value(name, first, second, axes)
    if is_undefined(name, axes):
        assert found is None
        return
    assert math.isfinite(found)
    assert found < 1 if METRICS[name].better == "higher" else found != 0
    if METRICS[name].better != "nearest zero":
        assert found >= 0


def test_swapping_the_masks_changes_only_metrics_that_are_not_symmetric(name, axes):
    if is_undefined(name, axes):
        return
    pairs = [(blobs(axes, seed, level=1.0), blobs(axes, seed + 9, level=0.3)) for seed in range(4)]
    there = [value(name, first, second, axes) for first, second in pairs]
    back = [value(name, second, first, axes) for first, second in pairs]
    assert (there == pytest.approx(back)) == METRICS[name].is_symmetric


@pytest.mark.parametrize("is_missed", [True, False], ids=["missed", "spurious"])
def test_one_empty_mask_is_undefined_or_not_good(name, axes, is_missed):
    some, empty = blobs(axes, 0), np.zeros(SHAPES[axes], dtype=bool)
    found = value(name, *((empty, some) if is_missed else (some, empty)), axes)
    if found is not None:
        assert math.isfinite(found)
        assert found == 0 if METRICS[name].better == "higher" else found != 0


def test_two_empty_masks_are_undefined(name, axes):
    empty = np.zeros(SHAPES[axes], dtype=bool)
    assert value(name, empty, empty, axes) is None


def test_only_metrics_with_a_unit_or_with_distances_depend_on_the_voxel_size(name, axes):
    masks = blobs(axes, 0), blobs(axes, 1, level=0.4)
    flat = (SPACINGS[axes][0] / 9, *SPACINGS[axes][1:])
    found = value(name, *masks, axes), value(name, *masks, axes, spacing=flat)
    depends = METRICS[name].unit != "none" or METRICS[name].depends_on_spacing
    assert (found[0] != found[1]) == (depends and not is_undefined(name, axes))


def test_a_larger_unit_scales_values_by_the_power_of_their_unit(name, axes):
    masks = blobs(axes, 0), blobs(axes, 1, level=0.4)
    tenfold = tuple(10 * size for size in SPACINGS[axes])
    found = value(name, *masks, axes)
    scaled = value(name, *masks, axes, spacing=tenfold, tolerance_mm=15.0)
    if found is None:
        assert scaled is None
    else:
        assert scaled == pytest.approx(found * 10 ** POWERS[METRICS[name].unit])


def test_a_metric_appears_in_reports_and_tables(name, tmp_path):
    labels = [blobs("3d", seed).astype(np.uint8) for seed in (0, 1)]
    case = score_case(
        "a", *labels, spacing=SPACINGS["3d"], measurement=Measurement(metrics=(name,))
    )
    report = build_report([case])
    assert report.metrics == (name,)
    save(report, tmp_path / "report.json")
    assert load(Report, tmp_path / "report.json", made_by="autoseg evaluate") == report
    measured = report.cases[0].classes[0].metric(name)
    assert report.foreground.metric(name).value == measured
    assert report_rows(report, (name,)).header[1] == title(name, "mm")
    assert (case_rows(report, (name,)).rows[0][2] == "–") == (measured is None)


def test_the_command_offers_a_metric_of_label_maps(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["evaluate", "--help"]).output
    listed = [line.split()[0] for line in shown[shown.index("Metrics:") :].splitlines()[1:] if line]
    assert (name in listed) == (not METRICS[name].needs_probabilities)
    assert max(map(len, shown.splitlines())) <= 80
    refused = CliRunner().invoke(app, ["evaluate", "a", "b", "--metrics", "dise"]).output
    words = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in refused)
    assert (name in words.split()) == (not METRICS[name].needs_probabilities)


def test_only_metrics_on_request_are_expensive_or_need_probabilities(name):
    on_request = METRICS[name].cost == "expensive" or METRICS[name].needs_probabilities
    assert (name in DEFAULT_METRICS) == (not on_request)
    assert name in ALL_METRICS


def test_an_unknown_metric_is_answered_with_all_names(name):
    mask = np.ones((3, 3), dtype=bool)
    with pytest.raises(UnknownComponent, match=rf"\b{name}\b"):
        value("dise", mask, mask, "2d")


def test_metrics_of_the_default_table_come_first():
    assert ALL_METRICS[:3] == TABLE_METRICS == ("dice", "hd95_mm", "nsd")
    assert sorted(ALL_METRICS) == list(METRICS)
