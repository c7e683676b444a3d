"""The numbers at the top of a report, and its last sentence."""

from collections.abc import Callable
from pathlib import Path

from autoseg.core.errors import AutosegError, case_error_message
from autoseg.core.progress import Progress
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.report import Report
from autoseg.evaluation import table
from autoseg.reporting.blocks import Fact

REPORT_NAME = "report.html"
"""Name of the report in a work folder, and in a folder of predictions."""

MOST_NAMES = 8

FOOTER = (
    "Written by autoseg report. The file contains everything that it shows and can be sent as it "
    "is; it shows names and pictures of cases."
)


def write_or_warn(write: Callable[[], Path], progress: Progress) -> None:
    """Write a report after another command; an error does not change the command's result.

    Args:
        write: Writes the report and returns its path.
        progress: Receives the path, or the error as a warning.
    """
    try:
        path = write()
    except (AutosegError, OSError) as error:
        message = case_error_message(error)
        progress.say(f"warning: the report could not be written: {message}")
    else:
        progress.say(f"Report: {path}")


def dataset_facts(fingerprint: Fingerprint, report: Report | None) -> tuple[Fact, ...]:
    """Return the numbers of a dataset, and the Dice of its held-out cases if there are scores."""
    channels, classes = fingerprint.channel_names, fingerprint.labels.names[1:]
    facts = [
        Fact("cases", str(len(fingerprint.cases)), f"{fingerprint.num_axes}-D"),
        Fact("channels", str(len(channels)), _listed(channels)),
        Fact("classes", str(len(classes)), _listed(classes)),
    ]
    return (*facts, *([] if report is None else score_facts(report)))


def score_facts(report: Report) -> tuple[Fact, ...]:
    """Return the mean Dice of scored cases, if it is defined, and their number."""
    dice = report.foreground.dice
    facts = [Fact("scored cases", str(len(report.cases)))]
    if dice.value is not None:
        interval = "" if dice.low is None else f"95 % interval {dice.low:.3f}–{dice.high:.3f}"
        facts.append(Fact("mean Dice", f"{dice.value:.3f}", interval))
    return tuple(facts)


def metric_titles(report: Report) -> dict[str, str]:
    """Return the titles of the metrics of a report, with their units."""
    return {metric: table.title(metric, report.distance_unit) for metric in report.metrics}


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
