"""Choose between trained configurations and their pairs, by their scores on held-out cases."""

from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.core.text import counted
from autoseg.documents.report import Report
from autoseg.documents.selection import Candidate, Estimate
from autoseg.evaluation.bootstrap import difference, estimate, fewest_cases, score_table

EQUAL_DICE = 0.001
"""Means closer than this count as equal: another seed of the same training moves them by more."""

FEWEST_CASES = 6
"""With fewer cases no difference is beyond noise: five that all agree have a two-sided sign test of
2 · 0.5⁵ = 6 %."""


@dataclass(frozen=True)
class Contender:
    """What may be chosen.

    Attributes:
        members: Names of its configurations; one, or a pair.
        report: Its scores on the held-out cases; all contenders have the same cases.
        seconds_per_case: Time to predict one, all members; None if not known.
        memory_gib: Predicted memory of the largest member's training step.
    """

    members: tuple[str, ...]
    report: Report
    seconds_per_case: float | None = None
    memory_gib: float | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return " + ".join(self.members)

    @property
    def dice(self) -> float:
        """Mean over classes of the mean over cases; -1 where it is nowhere defined."""
        value = self.report.foreground.dice.value
        return -1.0 if value is None else value


@dataclass(frozen=True)
class SelectedContender:
    """The chosen contender.

    Attributes:
        contender: Which.
        reason: Why, in one sentence with the numbers that decided.
    """

    contender: Contender
    reason: str


def leaderboard(contenders: Sequence[Contender]) -> tuple[Candidate, ...]:
    """Return all contenders with their confidence intervals, best Dice first."""
    return tuple(
        Candidate(
            members=contender.members,
            dice=estimate(score_table(contender.report, "dice")),
            hd95_mm=estimate(score_table(contender.report, "hd95_mm")),
            nsd=estimate(score_table(contender.report, "nsd")),
            seconds_per_case=contender.seconds_per_case,
            memory_gib=contender.memory_gib,
            num_cases=_num_cases(contender),
            distance_unit=contender.report.distance_unit,
        )
        for contender in sorted(contenders, key=_rank)
    )


def choose(contenders: Sequence[Contender]) -> SelectedContender:
    """Return which contender to predict with.

    Of the single configurations the one with the best mean Dice; of those within `EQUAL_DICE` of it
    the fastest. A pair predicts twice, so it is chosen only if it gains at least `EQUAL_DICE` over
    the best single configuration and the 95 % interval of that gain, of paired draws of the cases,
    excludes 0.

    Args:
        contenders: At least one of them a single configuration.

    Source: nnU-Net (Isensee et al. 2021) takes the best mean Dice of singles and pairs alike.
    """
    singles = sorted((entry for entry in contenders if len(entry.members) == 1), key=_rank)
    pairs = sorted((entry for entry in contenders if len(entry.members) > 1), key=_rank)
    best = singles[0]
    gains = [(pair, gain(best, pair)) for pair in pairs]
    beyond = [entry for entry in gains if _is_beyond_noise(entry[1], _fewest_cases(best))]
    if beyond:
        return _pair_choice(*beyond[0], best)
    reason = _reason_for_single(singles) + _reason_against_pairs(gains, best)
    return SelectedContender(_simplest(singles), f"{reason}.")


def gain(first: Contender, second: Contender) -> Estimate:
    """Return by how much the second one's mean Dice is larger, with its interval."""
    return difference(score_table(first.report, "dice"), score_table(second.report, "dice"))


def _fewest_cases(contender: Contender) -> int:
    """Return how many cases have the class that the fewest have."""
    return fewest_cases(score_table(contender.report, "dice"))


def _is_beyond_noise(gained: Estimate, num_cases: int) -> bool:
    if gained.value is None or gained.low is None or num_cases < FEWEST_CASES:
        return False
    return gained.value >= EQUAL_DICE and gained.low > 0


def _simplest(singles: Sequence[Contender]) -> Contender:
    """Return the fastest of the configurations that are as good as the first, the best."""
    best = singles[0]
    equal = [entry for entry in singles if entry.dice > best.dice - EQUAL_DICE]
    return min(equal, key=lambda entry: (_seconds(entry), -entry.dice))


def _reason_for_single(singles: Sequence[Contender]) -> str:
    best, chosen = singles[0], _simplest(singles)
    cases = counted(_num_cases(best), "scored case")
    if len(singles) == 1:
        return f"{best.name} is the only configuration to compare: Dice {_dice(best)} over {cases}"
    if chosen is best:
        others = ", ".join(f"{entry.name} {_dice(entry)}" for entry in singles[1:])
        return (
            f"{best.name} has the best Dice of the single configurations over {cases}: "
            f"{_dice(best)}, before {others}"
        )
    return (
        f"{chosen.name} is as good as {best.name} (Dice {_dice(chosen)} and {_dice(best)} over "
        f"{cases}; less than {EQUAL_DICE} counts as equal) and faster "
        f"({_seconds(chosen):.2g} against {_seconds(best):.2g} s per case)"
    )


def _reason_against_pairs(gains: Sequence[tuple[Contender, Estimate]], best: Contender) -> str:
    if not gains:
        return ""
    pair, gained = gains[0]
    if gained.value is None or gained.value < EQUAL_DICE:
        return f"; no pair is better by {EQUAL_DICE} or more"
    if _fewest_cases(best) < FEWEST_CASES:
        return (
            f"; {pair.name} has {gained.value:+.3f}, but with fewer than {FEWEST_CASES} cases of "
            "each class no difference can be told from noise"
        )
    return f"; {pair.name} predicts with both for {_interval(gained)}, which may be noise"


def _pair_choice(pair: Contender, gained: Estimate, best: Contender) -> SelectedContender:
    reason = (
        f"{pair.name} has Dice {_dice(pair)} over {counted(_num_cases(best), 'scored case')}, "
        f"{_interval(gained)} against {best.name}, the best single configuration: beyond noise."
    )
    return SelectedContender(pair, reason)


def _rank(contender: Contender) -> tuple[float, int, float, str]:
    """Return what contenders are sorted by: best Dice first, of equals the simpler."""
    return -contender.dice, len(contender.members), _seconds(contender), contender.name


def _seconds(contender: Contender) -> float:
    seconds = contender.seconds_per_case
    return float("inf") if seconds is None else seconds


def _num_cases(contender: Contender) -> int:
    return len(contender.report.cases)


def _dice(contender: Contender) -> str:
    value = contender.report.foreground.dice.value
    return "undefined" if value is None else f"{value:.3f}"


def _interval(gained: Estimate) -> str:
    return f"{gained.value:+.3f} (95 % interval {gained.low:+.3f} to {gained.high:+.3f})"
