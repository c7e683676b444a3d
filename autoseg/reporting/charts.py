"""Charts of reports, as ECharts describes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.reporting.blocks import Chart

Number = float | int | None
Point = tuple[Number, Number]
GRID = {"left": 70, "right": 30, "top": 40, "bottom": 55}
LEGEND = {"type": "scroll", "top": 0}

MOST_LETTERS = 110
"""Letters that fit below a chart in one line."""


@dataclass(frozen=True)
class Axis:
    """An axis of a chart.

    Attributes:
        name: Name with its unit.
        is_log: Whether the scale is logarithmic.
        least: First value; None to find out.
        most: Last value; None to find out.
    """

    name: str
    is_log: bool = False
    least: Number = None
    most: Number = None


def line_chart(
    title: str,
    lines: Mapping[str, Sequence[Point]],
    axes: tuple[Axis, Axis],
    *,
    note: str = "",
    dashed: frozenset[str] = frozenset(),
) -> Chart:
    """Draw lines.

    Args:
        title: Heading.
        lines: Points of each line, by its name.
        axes: Horizontal and vertical axis.
        note: Sentence below the heading.
        dashed: Names of dashed lines.
    """
    series = [
        {
            "name": name,
            "type": "line",
            "showSymbol": len(points) < 3,
            "data": points,
            "lineStyle": {"type": "dashed" if name in dashed else "solid", "width": 1.6},
        }
        for name, points in lines.items()
    ]
    return Chart(title, _with_axes(axes, series, tooltip={"trigger": "axis"}), note)


def scatter_chart(
    title: str,
    points: Mapping[str, Sequence[tuple[str, Number, Number]]],
    axes: tuple[Axis, Axis],
    *,
    note: str = "",
    marks: Mapping[str, float] | None = None,
) -> Chart:
    """Draw points with names.

    Args:
        title: Heading.
        points: Name, horizontal and vertical value of each point, by the name of its series.
        axes: Horizontal and vertical axis.
        note: Sentence below the heading.
        marks: Heights of horizontal lines, by their names.
    """
    series: list[dict[str, object]] = [
        {
            "name": name,
            "type": "scatter",
            "symbolSize": 7,
            "data": [
                {"name": case, "value": [across, up]}
                for case, across, up in entries
                if across is not None and up is not None
            ],
        }
        for name, entries in points.items()
    ]
    if marks and series:
        lines = [
            {
                "yAxis": height,
                "name": name,
                "label": {"formatter": name, "position": "insideEndTop"},
            }
            for name, height in marks.items()
        ]
        series[0]["markLine"] = {"symbol": "none", "data": lines}
    return Chart(title, _with_axes(axes, series, tooltip={"formatter": "{b}: {c}"}), note)


def box_chart(
    title: str, values: Mapping[str, Sequence[float]], axis: Axis, *, note: str = ""
) -> Chart:
    """Draw the distribution of values of several groups as boxes, and outliers as points.

    A box spans the quartiles; whiskers reach the furthest value within 1.5 interquartile ranges.

    Args:
        title: Heading.
        values: Values of each group, by its name.
        axis: Vertical axis.
        note: Sentence below the heading.
    """
    names = [name for name, group in values.items() if len(group)]
    boxes, outliers = [], []
    for place, name in enumerate(names):
        group = np.sort(np.asarray(values[name], np.float64))
        low, middle, high = np.percentile(group, (25, 50, 75))
        reach = 1.5 * (high - low)
        inside = group[(group >= low - reach) & (group <= high + reach)]
        boxes.append([float(edge) for edge in (inside[0], low, middle, high, inside[-1])])
        outliers += [[place, float(value)] for value in np.setdiff1d(group, inside)]
    series = [
        {"type": "boxplot", "data": boxes, "itemStyle": {"color": "rgba(0,119,187,0.25)"}},
        {"type": "scatter", "data": outliers, "symbolSize": 5},
    ]
    option = _categories(names, axis, series) | {"tooltip": {}}
    return Chart(title, option, note)


def bar_chart(
    title: str,
    names: Sequence[str],
    bars: Mapping[str, Sequence[Number]],
    axis: Axis,
    *,
    note: str = "",
) -> Chart:
    """Draw stacked bars.

    Args:
        title: Heading.
        names: Name of each bar.
        bars: Heights of the parts of each bar, by the name of the part.
        axis: Vertical axis.
        note: Sentence below the heading.
    """
    series = [
        {"name": part, "type": "bar", "stack": "all", "data": list(heights)}
        for part, heights in bars.items()
    ]
    option = _categories(names, axis, series) | {
        "legend": LEGEND,
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
    }
    return Chart(title, option, note)


def heat_chart(
    title: str, names: tuple[Sequence[str], Sequence[str]], values: np.ndarray, *, note: str = ""
) -> Chart:
    """Draw a matrix of shares in colours.

    Args:
        title: Heading.
        names: Names of rows and of columns.
        values: Shares from 0 to 1, shape (rows, columns).
        note: Sentence below the heading.
    """
    rows, columns = names
    data = [
        [column, row, round(float(values[row, column]), 4)]
        for row in range(len(rows))
        for column in range(len(columns))
    ]
    few = len(rows) <= 12
    series = [{"type": "heatmap", "data": data, "label": {"show": few}}]
    option = {
        "grid": GRID | {"left": 140, "bottom": 90},
        "xAxis": {
            "type": "category",
            "data": list(columns),
            "name": "predicted",
            "nameLocation": "middle",
            "nameGap": 45 if len(columns) < 12 else 75,
            **_turned(columns),
        },
        "yAxis": {
            "type": "category",
            "data": list(rows),
            "name": "reference",
            "nameLocation": "middle",
            "nameGap": 120,
            "inverse": True,
        },
        "visualMap": {
            "min": 0,
            "max": 1,
            "show": False,
            "inRange": {"color": ["#f4f6f8", "#7fb8dd", "#0077bb"]},
        },
        "tooltip": {},
        "series": series,
    }
    return Chart(title, option, note, height=min(900, 200 + 28 * len(rows)))


def interval_chart(
    title: str, rows: Sequence[tuple[str, float, float | None, float | None]], axis: Axis
) -> Chart:
    """Draw one value with its interval per row.

    Args:
        title: Heading.
        rows: Name, value, and bounds of the interval, from top to bottom.
        axis: Horizontal axis.
    """
    names = [name for name, *_ in rows]
    intervals = [
        {
            "type": "line",
            "data": [[low, place], [high, place]],
            "showSymbol": False,
            "silent": True,
            "lineStyle": {"width": 5, "opacity": 0.35, "color": "#0077bb"},
        }
        for place, (_, _, low, high) in enumerate(rows)
        if low is not None and high is not None
    ]
    dots = [{"name": name, "value": [value, place]} for place, (name, value, *_) in enumerate(rows)]
    series = [*intervals, {"type": "scatter", "data": dots, "symbolSize": 10}]
    option = {
        "grid": GRID | {"left": 190},
        "xAxis": _axis(axis),
        "yAxis": {"type": "category", "data": names, "inverse": True},
        "tooltip": {"formatter": "{b}: {c}"},
        "series": series,
    }
    return Chart(title, option, height=110 + 34 * len(rows))


def _axis(axis: Axis) -> dict[str, object]:
    made: dict[str, object] = {
        "type": "log" if axis.is_log else "value",
        "name": axis.name,
        "nameLocation": "middle",
        "nameGap": 32,
        "scale": True,
    }
    limits = {"min": axis.least, "max": axis.most}
    return made | {name: value for name, value in limits.items() if value is not None}


def _is_crowded(names: Sequence[str]) -> bool:
    """Return True if names below an axis would overlap."""
    return sum(map(len, names)) > MOST_LETTERS


def _turned(names: Sequence[str]) -> dict[str, object]:
    """Turn labels that would overlap."""
    rotate, interval = 40 if _is_crowded(names) else 0, 0 if len(names) < 60 else "auto"
    return {"axisLabel": {"rotate": rotate, "interval": interval}}


def _categories(names: Sequence[str], axis: Axis, series: Sequence[object]) -> dict[str, object]:
    return {
        "grid": GRID | ({"bottom": 100} if _is_crowded(names) else {}),
        "xAxis": {"type": "category", "data": list(names), **_turned(names)},
        "yAxis": _axis(axis) | {"nameGap": 50},
        "series": list(series),
    }


def _with_axes(
    axes: tuple[Axis, Axis], series: Sequence[object], *, tooltip: Mapping[str, object]
) -> dict[str, object]:
    return {
        "grid": GRID,
        "legend": LEGEND,
        "tooltip": dict(tooltip),
        "xAxis": _axis(axes[0]),
        "yAxis": _axis(axes[1]) | {"nameGap": 50},
        "series": list(series),
    }
