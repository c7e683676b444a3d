"""Choose between trained configurations and pairs of them by their scores on held-out cases."""

from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.core.formatting import format_count, format_value
from autoseg.documents.report import Report
from autoseg.documents.selection import Candidate, Estimate
from autoseg.evaluation.bootstrap import difference, estimates, fewest_cases, score_table

EQUAL_DICE = 0.001
"""Smaller differences of mean Dice count as equal: another seed changes the mean by more."""

FEWEST_CASES = 6
"""With fewer cases no difference is significant: five cases that all agree have p = 2 · 0.5⁵ = 6 %
in a two-sided sign test."""


@dataclass(frozen=True)
class ScoredCandidate:
    """A configuration, or a pair of configurations, with its scores.

    Attributes:
        members: Names of the configurations, one or two.
        report: Scores on the held-out cases; all candidates share the same cases.
        seconds_per_case: Time to predict one case with all members; None if unknown.
        memory_gib: Predicted memory of a training step of the largest member.
    """

    members: tuple[str, ...]
    report: Report
    seconds_per_case: float | None = None
    memory_gib: float | None = None

    @property
    def name(self) -> str:
        """Display name."""
        return " + ".join(self.members)

    @property
    def dice(self) -> float:
        """Mean over classes of the mean Dice over cases; -1 if it is undefined."""
        value = self.report.foreground.dice.value
        return -1.0 if value is None else value


@dataclass(frozen=True)
class SelectedCandidate:
    """The chosen candidate.

    Attributes:
        candidate: The candidate.
        reason: The reason, one sentence with the decisive numbers.
    """

    candidate: ScoredCandidate
    reason: str


def leaderboard(candidates: Sequence[ScoredCandidate]) -> tuple[Candidate, ...]:
    """Return all candidates with their confidence intervals, best Dice first."""
    return tuple(
        Candidate(
            members=candidate.members,
            dice=estimates(score_table(candidate.report, "dice")).overall,
            hd95_mm=estimates(score_table(candidate.report, "hd95_mm")).overall,
            nsd=estimates(score_table(candidate.report, "nsd")).overall,
            seconds_per_case=candidate.seconds_per_case,
            memory_gib=candidate.memory_gib,
            num_cases=len(candidate.report.cases),
            distance_unit=candidate.report.distance_unit,
        )
        for candidate in sorted(candidates, key=_rank)
    )


def choose(candidates: Sequence[ScoredCandidate]) -> SelectedCandidate:
    """Choose the candidate to predict with.

    The default choice is the single configuration with the best mean Dice, or the fastest one
    within `EQUAL_DICE` of it. A pair takes the time of two predictions. It is chosen only if it
    gains at least `EQUAL_DICE` over the best single configuration and the 95 % interval of the gain
    (paired bootstrap) excludes 0.

    Args:
        candidates: Candidates, at least one of them a single configuration.

    Source: nnU-Net (Isensee et al. 2021) takes the best mean Dice of singles and pairs alike.
    """
    ranked = sorted(candidates, key=_rank)
    singles = [entry for entry in ranked if len(entry.members) == 1]
    best = singles[0]
    gains = [(entry, gain(best, entry)) for entry in ranked if len(entry.members) > 1]
    significant = [entry for entry in gains if _is_significant(entry[1], _fewest_cases(best))]
    if significant:
        return _pair_choice(*significant[0], best)
    reason = _reason_for_single(singles) + _reason_against_pairs(gains, best)
    return SelectedCandidate(_fastest_of_best(singles), f"{reason}.")


def gain(first: ScoredCandidate, second: ScoredCandidate) -> Estimate:
    """Estimate the difference in mean Dice, second minus first."""
    return difference(score_table(first.report, "dice"), score_table(second.report, "dice"))


def _fewest_cases(candidate: ScoredCandidate) -> int:
    """Return the smallest number of cases that define the Dice of a class."""
    return fewest_cases(score_table(candidate.report, "dice"))


def _is_significant(gained: Estimate, num_cases: int) -> bool:
    if gained.value is None or gained.low is None or num_cases < FEWEST_CASES:
        return False
    return gained.value >= EQUAL_DICE and gained.low > 0


def _fastest_of_best(singles: Sequence[ScoredCandidate]) -> ScoredCandidate:
    """Return the fastest configuration within `EQUAL_DICE` of the first one, which is the best."""
    best = singles[0]
    equal = [entry for entry in singles if entry.dice > best.dice - EQUAL_DICE]
    return min(equal, key=lambda entry: (_seconds(entry), -entry.dice))


def _reason_for_single(singles: Sequence[ScoredCandidate]) -> str:
    best, chosen = singles[0], _fastest_of_best(singles)
    cases = _scored_cases(best)
    if len(singles) == 1:
        return f"{best.name} is the only configuration to compare: Dice {_dice(best)} over {cases}"
    if chosen is best:
        others = ", ".join(f"{entry.name} {_dice(entry)}" for entry in singles[1:])
        return (
            f"{best.name} has the best Dice of the single configurations over {cases}: "
            f"{_dice(best)}, ahead of {others}"
        )
    return (
        f"{chosen.name} is as good as {best.name} (Dice {_dice(chosen)} and {_dice(best)} over "
        f"{cases}; less than {EQUAL_DICE} counts as equal) and faster "
        f"({_seconds(chosen):.2g} against {_seconds(best):.2g} s per case)"
    )


def _reason_against_pairs(
    gains: Sequence[tuple[ScoredCandidate, Estimate]], best: ScoredCandidate
) -> str:
    if not gains:
        return ""
    pair, gained = gains[0]
    if gained.value is None or gained.value < EQUAL_DICE:
        return f"; no pair is better by {EQUAL_DICE} or more"
    if _fewest_cases(best) < FEWEST_CASES:
        return (
            f"; {pair.name} gains {gained.value:+.3f}, but with fewer than {FEWEST_CASES} cases of "
            "each class no difference is significant"
        )
    return f"; {pair.name} predicts twice and gains {_interval(gained)}, which may be noise"


def _pair_choice(
    pair: ScoredCandidate, gained: Estimate, best: ScoredCandidate
) -> SelectedCandidate:
    reason = (
        f"{pair.name} has Dice {_dice(pair)} over {_scored_cases(best)}, "
        f"{_interval(gained)} against {best.name}, the best single configuration. The interval "
        "excludes 0."
    )
    return SelectedCandidate(pair, reason)


def _rank(candidate: ScoredCandidate) -> tuple[float, int, float, str]:
    """Sort key: best Dice first, then fewer members, shorter prediction time, and the name."""
    return -candidate.dice, len(candidate.members), _seconds(candidate), candidate.name


def _seconds(candidate: ScoredCandidate) -> float:
    seconds = candidate.seconds_per_case
    return float("inf") if seconds is None else seconds


def _scored_cases(candidate: ScoredCandidate) -> str:
    return format_count(len(candidate.report.cases), "scored case")


def _dice(candidate: ScoredCandidate) -> str:
    value = candidate.report.foreground.dice.value
    return "undefined" if value is None else format_value(value)


def _interval(gained: Estimate) -> str:
    return f"{gained.value:+.3f} (95 % interval {gained.low:+.3f} to {gained.high:+.3f})"
