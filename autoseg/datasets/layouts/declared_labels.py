"""The labels of a `dataset.json`: classes, regions made of several values, and what to ignore."""

from dataclasses import dataclass

from pydantic import ValidationError

from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelScheme, Region
from autoseg.datasets.layouts.description import Description
from autoseg.documents.store import explain

BACKGROUND = "background"
IGNORE = "ignore"
"""Names that mean something; capitals do not matter."""


@dataclass(frozen=True)
class DeclaredLabels:
    """What a dataset.json says of its labels.

    Attributes:
        names: Name of every label value, but for ignored voxels.
        regions: What is predicted instead of the values, in the order in which it is written.
        ignore: Value of voxels that nobody annotated.
    """

    names: dict[int, str]
    regions: tuple[Region, ...] = ()
    ignore: int | None = None

    @property
    def background(self) -> int | None:
        """The value that is declared as background, or 0 if it is declared; else None."""
        named = [value for value, name in self.names.items() if name.lower() == BACKGROUND]
        if named:
            return named[0]
        return 0 if 0 in self.names else None

    def scheme(self, background: int) -> LabelScheme:
        """Return the classes in order: background, then the others by value.

        Raises:
            DatasetError: If there are fewer than two, or a value is negative.
        """
        values = (background, *sorted(value for value in self.names if value != background))
        try:
            return LabelScheme(
                names=tuple(self.names[value] for value in values),
                values=values,
                regions=self.regions,
                ignore=self.ignore,
            )
        except ValidationError as error:
            msg = (
                f"the labels cannot be learned from:\n{explain(error)}\n"
                "Correct the labels in dataset.json, or the label files."
            )
            raise DatasetError(msg) from error


@dataclass(frozen=True)
class _Entry:
    """One label of the JSON: its name and its values, more than one of a region."""

    name: str
    values: tuple[int, ...]


def declared_labels(description: Description) -> DeclaredLabels | None:
    """Return what is declared, or None if nothing is.

    With a region among the labels, all but background are regions: one of a single value names
    that value too.

    Raises:
        DatasetError: If a label has no value, one is given twice, or regions lack their order.
    """
    if not description.labels:
        return None
    entries = [_entry(key, content) for key, content in description.labels.items()]
    kept = [entry for entry in entries if entry.name.lower() != IGNORE]
    ignore = _ignore_value([entry for entry in entries if entry.name.lower() == IGNORE])
    if all(len(entry.values) == 1 for entry in kept):
        return DeclaredLabels(names=_names(kept), ignore=ignore)
    background, regions = _split(kept)
    single = [entry for entry in regions if len(entry.values) == 1]
    values = sorted({value for entry in regions for value in entry.values})
    names = {value: f"label {value}" for value in values} | _names(single)
    return DeclaredLabels(
        names={background.values[0]: background.name} | names,
        regions=_ordered(regions, description.regions_class_order),
        ignore=ignore,
    )


def _entry(key: str, content: int | str | list[int]) -> _Entry:
    """Return one label, whichever of name and value was the key."""
    if isinstance(content, list):
        if content:
            return _Entry(name=key, values=tuple(dict.fromkeys(content)))
    elif isinstance(content, int):
        return _Entry(name=key, values=(content,))
    elif key.isdigit():
        return _Entry(name=content, values=(int(key),))
    elif content.isdigit():
        return _Entry(name=key, values=(int(content),))
    msg = f'dataset.json has the label {key!r}: {content!r} without a value. Write {{"{key}": 1}}.'
    raise DatasetError(msg)


def _ignore_value(entries: list[_Entry]) -> int | None:
    values = [value for entry in entries for value in entry.values]
    if len(values) > 1:
        msg = (
            f"dataset.json gives the ignore label the values {values}; expected one. Give all "
            "voxels that nobody annotated the same value."
        )
        raise DatasetError(msg)
    return values[0] if values else None


def _names(entries: list[_Entry]) -> dict[int, str]:
    """Return the name of each value of labels that have one value each.

    Raises:
        DatasetError: If two of them have the same.
    """
    names: dict[int, str] = {}
    for entry in entries:
        value = entry.values[0]
        if value in names:
            msg = (
                f"dataset.json gives the label value {value} twice: {names[value]!r} and "
                f"{entry.name!r}."
            )
            raise DatasetError(msg)
        names[value] = entry.name
    return names


def _split(entries: list[_Entry]) -> tuple[_Entry, list[_Entry]]:
    """Return the background, value 0 unless one is named, and the regions.

    Raises:
        DatasetError: If a region holds the background.
    """
    named = [entry for entry in entries if entry.name.lower() == BACKGROUND]
    named += [entry for entry in entries if entry.values == (0,)]
    background = named[0] if named else _Entry(name=BACKGROUND, values=(0,))
    regions = [entry for entry in entries if entry != background]
    for entry in regions:
        if set(entry.values) & set(background.values):
            msg = (
                f"dataset.json gives the region {entry.name!r} the values {list(entry.values)}, "
                f"of which {background.values[0]} is the background. Leave it out: regions are "
                "made of foreground."
            )
            raise DatasetError(msg)
    return background, regions


def _ordered(entries: list[_Entry], order: tuple[int, ...] | None) -> tuple[Region, ...]:
    """Return the regions with the values that they are written as.

    Raises:
        DatasetError: If the order does not give each region one of its own values.
    """
    names = [entry.name for entry in entries]
    advice = (
        "Give for each region, in the order of the labels, the value that its voxels get in "
        f"predictions; later ones cover earlier ones. For {names} for instance: "
        f'"regions_class_order": {_suggestion(entries)}.'
    )
    if order is None or len(order) != len(entries):
        found = "no regions_class_order" if order is None else f"regions_class_order {list(order)}"
        msg = f"dataset.json declares {len(entries)} regions, and {found}. {advice}"
        raise DatasetError(msg)
    for entry, value in zip(entries, order, strict=True):
        if value not in entry.values:
            msg = (
                f"by regions_class_order {list(order)} in dataset.json, {entry.name!r} is written "
                f"as {value}, but it is made of {list(entry.values)}. {advice}"
            )
            raise DatasetError(msg)
    return tuple(
        Region(name=entry.name, values=entry.values, written_as=value)
        for entry, value in zip(entries, order, strict=True)
    )


def _suggestion(entries: list[_Entry]) -> list[int]:
    """Return for each region a value of it that the fewest later regions have too."""
    chosen = []
    for position, entry in enumerate(entries):
        later = [value for other in entries[position + 1 :] for value in other.values]
        chosen.append(min(entry.values, key=later.count))
    return chosen
