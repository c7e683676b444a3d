"""Flatten settings to parameters with stable names."""

import json
from collections.abc import Iterator, Mapping


def flat_parameters(value: object, name: str) -> dict[str, str]:
    """Return settings as texts by dotted names, such as `recipe.optimizer.learning_rate`.

    An entry of a list of components is named by its `kind`, so that names do not depend on the
    order of other components; a second one of a kind gets the suffix `_2`.

    Args:
        value: Settings in the types of JSON.
        name: Name of the settings; empty for none.
    """
    if isinstance(value, Mapping):
        parts = [(str(key), entry) for key, entry in value.items()]
    elif isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
        parts = list(_named(value))
    else:
        return {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}
    prefix = f"{name}." if name else ""
    return {
        key: text
        for part, each in parts
        for key, text in flat_parameters(each, prefix + part).items()
    }


def _named(entries: list[object]) -> Iterator[tuple[str, object]]:
    """Yield each entry of a list with its kind, or its position if it has none."""
    counts: dict[str, int] = {}
    for position, entry in enumerate(entries):
        kind = str(entry.get("kind", position)) if isinstance(entry, Mapping) else str(position)
        counts[kind] = counts.get(kind, 0) + 1
        yield kind if counts[kind] == 1 else f"{kind}_{counts[kind]}", entry
