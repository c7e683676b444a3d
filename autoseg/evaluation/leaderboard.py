"""Draw the leaderboard of a selection: one dot with its interval per candidate and metric."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoseg.core.atomic_write import atomic_write
from autoseg.core.formatting import format_count
from autoseg.documents.selection import Candidate, Estimate, Selection
from autoseg.evaluation import table

CHOSEN_COLOUR, OTHER_COLOUR = "#0077bb", "#888888"
"""Paul Tol's vibrant blue, and grey."""


def draw_leaderboard(selection: Selection, path: Path) -> None:
    """Write a PNG with one row per candidate, one column per metric, and 95 % intervals as bars.

    Configurations that lack folds are drawn at the bottom with hollow dots, because they were
    scored on other cases.

    Args:
        selection: The selection; its candidates are drawn from best to worst, the chosen one blue.
        path: Output file; an existing file is replaced.
    """
    candidates = (*selection.candidates, *selection.left_out)
    figure = Figure(figsize=(11, 1.6 + 0.4 * len(candidates)), layout="constrained")
    columns = figure.subplots(1, 3, sharey=True)
    shown = (
        ("Dice", [candidate.dice for candidate in candidates]),
        (
            f"{table.title('hd95_mm', candidates[0].distance_unit)} (less is better)",
            [candidate.hd95_mm for candidate in candidates],
        ),
        ("NSD", [candidate.nsd for candidate in candidates]),
    )
    for axes, (title, estimates) in zip(columns, shown, strict=True):
        axes.set_title(title)
        axes.grid(axis="x", color="0.9")
        for row, (candidate, estimate) in enumerate(zip(candidates, estimates, strict=True)):
            is_chosen = candidate.members == selection.members
            colour = CHOSEN_COLOUR if is_chosen else OTHER_COLOUR
            _draw(axes, row, estimate, colour, is_hollow=candidate in selection.left_out)
    columns[0].set_yticks(
        range(len(candidates)), [_label(entry, selection) for entry in candidates], parse_math=False
    )
    columns[0].set_ylim(len(candidates) - 0.5, -0.5)
    figure.supxlabel("mean over classes of the mean over scored cases, 95 % interval", fontsize=9)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _draw(axes: Axes, row: int, estimate: Estimate, colour: str, *, is_hollow: bool) -> None:
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=3, alpha=0.4)
    face = "white" if is_hollow else colour
    axes.plot([estimate.value], [row], "o", color=colour, markerfacecolor=face)


def _label(candidate: Candidate, selection: Selection) -> str:
    remarks = []
    if candidate.seconds_per_case is not None:
        remarks.append(f"{candidate.seconds_per_case:.2g} s per case")
    if candidate in selection.left_out and candidate.num_cases is not None:
        remarks.append(f"{format_count(candidate.num_cases, 'case')} only")
    return f"{candidate.name} ({', '.join(remarks)})" if remarks else candidate.name
