"""Issues of single cases, and their formatting as a list."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoseg.core.formatting import format_cases


@dataclass(frozen=True)
class CaseIssue:
    """One issue of one case.

    Attributes:
        case: Name of the case.
        cause: A sentence: what was found and what was expected.
        advice: A sentence: what to do next; empty if it follows from the cause.
    """

    case: str
    cause: str
    advice: str = ""

    @property
    def sentence(self) -> str:
        """The cause followed by the advice."""
        return f"{self.cause} {self.advice}".rstrip()


def format_issues(issues: Iterable[CaseIssue], num_cases: int | None = None) -> str:
    """Format issues as a list, grouped by cases, with those of many cases first.

    Sentences that differ only in the name of the case are shown once, with a `*` for the name.

    Args:
        issues: Issues of any cases.
        num_cases: Number of cases in the dataset, to report "all … cases"; None if unknown.
    """
    by_sentence: dict[str, dict[str, str]] = {}
    for issue in issues:
        by_sentence.setdefault(_without_name(issue), {})[issue.case] = issue.sentence
    by_cases: dict[tuple[str, ...], list[str]] = {}
    for general, sentences in by_sentence.items():
        shown = general if len(sentences) > 1 else next(iter(sentences.values()))
        by_cases.setdefault(tuple(sorted(sentences)), []).append(shown)
    lines = []
    for cases in sorted(by_cases, key=lambda names: (-len(names), names)):
        is_all = len(cases) == num_cases and len(cases) > 1
        lines.append(f"  {f'all {len(cases)} cases' if is_all else format_cases(cases)}")
        lines.extend(f"    - {sentence}" for sentence in by_cases[cases])
    return "\n".join(lines)


def unusable_cases(issues: Sequence[CaseIssue], num_usable: int) -> str:
    """Return the message for cases that cannot be used, with the issues of each.

    Args:
        issues: Issues of these cases.
        num_usable: Number of the other cases.
    """
    num_bad = len({issue.case for issue in issues})
    num_cases = num_bad + num_usable
    if not num_usable:
        return f"None of the {num_bad} cases can be used:\n{format_issues(issues, num_cases)}"
    return (
        f"{num_bad} of {num_cases} cases cannot be used:\n{format_issues(issues, num_cases)}\n"
        "Correct them, or leave them out with --skip-bad-cases."
    )


def _without_name(issue: CaseIssue) -> str:
    """Return the sentence with a `*` for the case's name in names of files."""
    return re.sub(rf"(?<![\w.-]){re.escape(issue.case)}(?=[._])", "*", issue.sentence)
