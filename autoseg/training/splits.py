"""Split the cases of a dataset into folds, keeping groups (patients) together."""

from collections.abc import Mapping

from autoseg.core.random import generator
from autoseg.documents.splits import Fold, Splits

NUM_FOLDS = 5
"""Source: Isensee et al., Nature Methods 18 (2021), Methods, "Cross-validation"."""

SPLIT_SEED = 12345


def make_splits(cases: tuple[str, ...], groups: Mapping[str, str | None]) -> Splits:
    """Split cases into up to five folds, with a fixed seed.

    Groups are shuffled and added one by one to the fold with the fewest cases. Fewer than five
    groups give one fold per group (leave one out). A single group is used for both training and
    validation, which works, but the score is meaningless.

    Args:
        cases: Names of all cases.
        groups: Group of each case; a case with None (or no entry) is its own group.
    """
    members: dict[str, list[str]] = {}
    for name in sorted(cases):
        members.setdefault(groups.get(name) or f"case:{name}", []).append(name)
    names = sorted(members)
    if len(names) == 1:
        everything = tuple(sorted(cases))
        reason = "a single case or group: validated on the training cases, scores are meaningless"
        return Splits(
            seed=SPLIT_SEED, reason=reason, folds=(Fold(train=everything, validation=everything),)
        )
    num_folds = min(NUM_FOLDS, len(names))
    held_out = _deal(members, names, num_folds)
    folds = tuple(
        Fold(
            train=tuple(sorted(set(cases) - set(validation))), validation=tuple(sorted(validation))
        )
        for validation in held_out
    )
    return Splits(seed=SPLIT_SEED, reason=_reason(len(cases), len(names), num_folds), folds=folds)


def _deal(members: Mapping[str, list[str]], names: list[str], num_folds: int) -> list[list[str]]:
    order = generator(SPLIT_SEED, "splits").permutation(len(names))
    held_out: list[list[str]] = [[] for _ in range(num_folds)]
    shuffled = [names[index] for index in order]
    for name in sorted(shuffled, key=lambda group: -len(members[group])):  # stable, large first
        min(held_out, key=len).extend(members[name])
    return held_out


def _reason(num_cases: int, num_groups: int, num_folds: int) -> str:
    if num_groups < NUM_FOLDS:
        unit = "cases" if num_groups == num_cases else "groups"
        return f"only {num_groups} {unit}: each fold holds out one of them"
    grouped = f" in {num_groups} groups kept together" if num_groups < num_cases else ""
    return f"{num_cases} cases{grouped}, shuffled with seed {SPLIT_SEED}, {num_folds} folds"
