"""Charts: the option of the chart library has the values that are to be drawn."""

import numpy as np
import pytest

from autoseg.reporting.charts import (
    Axis,
    bar_chart,
    box_chart,
    heat_chart,
    interval_chart,
    line_chart,
    scatter_chart,
)


def test_a_box_has_quartiles_whiskers_and_outliers():
    values = [1.0, 2.0, 3.0, 4.0, 100.0]
    boxes, outliers = box_chart("t", {"a": values, "empty": []}, Axis("y")).option["series"]
    assert boxes["data"] == [[1.0, 2.0, 3.0, 4.0, 4.0]]
    assert outliers["data"] == [[0, 100.0]]


def test_points_without_a_value_are_not_drawn():
    chart = scatter_chart("t", {"a": [("one", 1, 2), ("two", None, 3)]}, (Axis("x"), Axis("y")))
    (series,) = chart.option["series"]
    assert series["data"] == [{"name": "one", "value": [1, 2]}]


def test_horizontal_marks_belong_to_the_first_series():
    chart = scatter_chart("t", {"a": [], "b": []}, (Axis("x"), Axis("y")), marks={"mean": 2.0})
    first, second = chart.option["series"]
    assert first["markLine"]["data"][0]["yAxis"] == 2.0
    assert "markLine" not in second


def test_chosen_lines_are_dashed():
    points = [(0, 1), (1, None), (2, 3)]
    lines = {"a": points, "b": points}
    chart = line_chart("t", lines, (Axis("x"), Axis("y")), dashed=frozenset({"b"}))
    styles = [series["lineStyle"]["type"] for series in chart.option["series"]]
    assert styles == ["solid", "dashed"]


def test_parts_of_bars_are_stacked():
    chart = bar_chart("t", ["one", "two"], {"a": [1, 2], "b": [3, 4]}, Axis("y"))
    assert {series["stack"] for series in chart.option["series"]} == {"all"}


def test_a_matrix_names_column_and_row_of_each_value():
    chart = heat_chart("t", (["r0", "r1"], ["c0", "c1"]), np.array([[1.0, 0.0], [0.25, 0.75]]))
    assert chart.option["series"][0]["data"] == [
        [0, 0, 1.0],
        [1, 0, 0.0],
        [0, 1, 0.25],
        [1, 1, 0.75],
    ]


def test_only_known_intervals_are_drawn():
    series = interval_chart("t", [("a", 0.5, 0.4, 0.6), ("b", 0.3, None, None)], Axis("x")).option[
        "series"
    ]
    assert [entry["type"] for entry in series] == ["line", "scatter"]
    assert series[0]["data"] == [[0.4, 0], [0.6, 0]]


@pytest.mark.parametrize(("names", "is_turned"), [(["a"] * 5, False), (["long name"] * 20, True)])
def test_labels_that_would_overlap_are_turned(names, is_turned):
    option = bar_chart("t", names, {"a": [1] * len(names)}, Axis("y")).option
    assert bool(option["xAxis"]["axisLabel"]["rotate"]) == is_turned
