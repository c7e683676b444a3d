"""What is wrong with single cases, and how a list of it reads."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class CaseFault:
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


def listed(faults: Iterable[CaseFault]) -> str:
    """Return the faults case by case, one line each under the name of the case."""
    by_case: dict[str, list[CaseFault]] = {}
    for fault in faults:
        by_case.setdefault(fault.case, []).append(fault)
    lines = []
    for case in sorted(by_case):
        lines.append(f"  {case}")
        lines.extend(f"    - {fault.sentence}" for fault in by_case[case])
    return "\n".join(lines)
