"""What is wrong with single cases, and how a list of it reads."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from autoseg.core.text import cases_named


@dataclass(frozen=True)
class CaseIssue:
    """One thing that is wrong with one case.

    Attributes:
        case: Name of the case.
        cause: What was found and what was expected; a sentence.
        advice: What to do about it; a sentence, or empty where the cause says it.
    """

    case: str
    cause: str
    advice: str = ""

    @property
    def sentence(self) -> str:
        """Cause and advice."""
        return f"{self.cause} {self.advice}".rstrip()


def listed(issues: Iterable[CaseIssue], num_cases: int | None = None) -> str:
    """Return the issues under the names of their cases, what many cases share first, and once.

    Sentences that differ in the name of the case alone count as the same; it becomes a `*`.

    Args:
        issues: Of any cases.
        num_cases: How many the dataset has, so that "all" can be said; None if not known.
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
        lines.append(f"  {f'all {len(cases)} cases' if is_all else cases_named(cases)}")
        lines.extend(f"    - {sentence}" for sentence in by_cases[cases])
    return "\n".join(lines)


def _without_name(issue: CaseIssue) -> str:
    """Return the sentence with a `*` for the case's name where that begins a file's."""
    return re.sub(rf"(?<![\w.-]){re.escape(issue.case)}(?=[._])", "*", issue.sentence)
