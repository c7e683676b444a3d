"""Labels declared in a `dataset.json`: classes, regions of several values, and an ignore label."""

from dataclasses import dataclass

from pydantic import ValidationError

from autoseg.core.errors import DatasetError
from autoseg.core.json_text import whole_number
from autoseg.core.labels import LabelScheme, Region
from autoseg.datasets.layouts.description import Description
from autoseg.documents.store import format_validation_error

BACKGROUND = "background"
IGNORE = "ignore"
"""Label names with a special meaning, in upper or lower case."""


@dataclass(frozen=True)
class DeclaredLabels:
    """Labels declared in a dataset.json.

    Attributes:
        names: Name of each label value, except the ignore value.
        regions: Regions that are predicted instead of the values, in the order in which they are
            written.
        ignore: Value of unannotated voxels.
    """

    names: dict[int, str]
    regions: tuple[Region, ...] = ()
    ignore: int | None = None

    @property
    def background(self) -> int | None:
        """The value declared as background, otherwise 0 if it is declared, otherwise None."""
        named = [value for value, name in self.names.items() if name.lower() == BACKGROUND]
        if named:
            return named[0]
        return 0 if 0 in self.names else None

    def scheme(self, background: int) -> LabelScheme:
        """Return the classes in order: background, then the others by value.

        Raises:
            DatasetError: If there are fewer than two classes, or a value is negative.
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
            raise DatasetError(
                f"the labels are not valid for training:\n{format_validation_error(error)}\n"
                "Correct the labels in dataset.json, or the label files."
            ) from error


@dataclass(frozen=True)
class _Entry:
    """One label of the JSON: its name, and its value or the values of a region."""

    name: str
    values: tuple[int, ...]


def declared_labels(description: Description) -> DeclaredLabels | None:
    """Return the declared labels, or None if there are none.

    If any label is a region, all labels except background are regions. A region with a single value
    is also the name of that value.

    Raises:
        DatasetError: If a label has no value, a value is declared twice, or there are regions
            without a valid `regions_class_order`.
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
    """Parse one label; either its name or its value may be the key."""
    if isinstance(content, list):
        if content:
            return _Entry(name=key, values=tuple(dict.fromkeys(content)))
    elif isinstance(content, int):
        return _Entry(name=key, values=(content,))
    elif (value := whole_number(key)) is not None:
        return _Entry(name=content, values=(value,))
    elif (value := whole_number(content)) is not None:
        return _Entry(name=key, values=(value,))
    msg = f'the label {key!r}: {content!r} in dataset.json has no value. Write {{"{key}": 1}}.'
    raise DatasetError(msg)


def _ignore_value(entries: list[_Entry]) -> int | None:
    values = [value for entry in entries for value in entry.values]
    if len(values) > 1:
        raise DatasetError(
            f"the ignore label in dataset.json has the values {values}; expected one. Use the same "
            "value for all unannotated voxels."
        )
    return values[0] if values else None


def _names(entries: list[_Entry]) -> dict[int, str]:
    """Map label values to names, for labels that have one value each."""
    names: dict[int, str] = {}
    for entry in entries:
        value = entry.values[0]
        if value in names:
            raise DatasetError(
                f"dataset.json declares the label value {value} twice: {names[value]!r} and "
                f"{entry.name!r}. Use one value per label."
            )
        names[value] = entry.name
    return names


def _split(entries: list[_Entry]) -> tuple[_Entry, list[_Entry]]:
    """Split labels into background and regions; the background is 0 unless declared."""
    candidates = [entry for entry in entries if entry.name.lower() == BACKGROUND]
    candidates += [entry for entry in entries if entry.values == (0,)]
    background = candidates[0] if candidates else _Entry(name=BACKGROUND, values=(0,))
    regions = [entry for entry in entries if entry != background]
    for entry in regions:
        if set(entry.values) & set(background.values):
            raise DatasetError(
                f"the region {entry.name!r} in dataset.json has the values {list(entry.values)}, "
                f"of which {background.values[0]} is the background. Remove it: regions may only "
                "contain foreground."
            )
    return background, regions


def _ordered(entries: list[_Entry], order: tuple[int, ...] | None) -> tuple[Region, ...]:
    """Return the regions with the values that they are written as."""
    names = [entry.name for entry in entries]
    advice = (
        "List for each region, in the order of the labels, the value of its voxels in predictions; "
        f"later regions cover earlier ones. For {names}, for example: "
        f'"regions_class_order": {_suggestion(entries)}.'
    )
    if order is None or len(order) != len(entries):
        given = "no regions_class_order" if order is None else f"regions_class_order {list(order)}"
        raise DatasetError(f"dataset.json declares {len(entries)} regions, but {given}. {advice}")
    regions = []
    for entry, value in zip(entries, order, strict=True):
        if value not in entry.values:
            raise DatasetError(
                f"regions_class_order {list(order)} in dataset.json has {value} for "
                f"{entry.name!r}; expected one of {list(entry.values)}. {advice}"
            )
        regions.append(Region(name=entry.name, values=entry.values, written_as=value))
    return tuple(regions)


def _suggestion(entries: list[_Entry]) -> list[int]:
    """Suggest a `regions_class_order`: for each region, the value least used by later regions."""
    order = []
    for position, entry in enumerate(entries):
        later = [value for other in entries[position + 1 :] for value in other.values]
        order.append(min(entry.values, key=later.count))
    return order
