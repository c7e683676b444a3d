"""The label map of the user: which value or colour of the label files is which class."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.datasets.layouts.declared_labels import BACKGROUND, IGNORE, DeclaredLabels
from autoseg.datasets.layouts.name_map import NAMED_FORMS, NameMap
from autoseg.datasets.recognition.assembly import UNSIGNED_VOID
from autoseg.datasets.recognition.class_tables import Colour
from autoseg.datasets.recognition.label_forms import LabelForm

VALUE = re.compile(r"-?\d+")
COLOUR = re.compile(r"(\d+):(\d+):(\d+)")
HEXADECIMAL = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
"""Spellings of the keys of a label map."""

NUMERIC = re.compile(r"[-+.:#\d]+")
"""Text that was not meant as a name."""

EXPECTED = (
    "expected VALUE=CLASS, RED:GREEN:BLUE=CLASS or NAME=CLASS, such as 0=background, "
    "128:64:128=road or GTV-1=tumour"
)


VOID = "-1"
"""Value that may be given as the ignore label, although it is negative."""


def parse_label_map(entries: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    """Parse entries such as `255=road`, `128:64:128=road` or `#804080=road`.

    Args:
        entries: Texts of entries that are separated by commas, or the class of each key.

    Returns:
        Class of each value, colour or name; keys are written as `255`, `128:64:128` or `GTV-1`.

    Raises:
        DatasetError: If an entry is not valid, a key has two classes, or values, colours and names
            are mixed.
    """
    classes: dict[str, str] = {}
    for entry, written, name in _entries(entries):
        key = _key(written) or ("" if NUMERIC.fullmatch(written) else written)
        is_negative = key.startswith("-") and _key(key) and (key, name.lower()) != (VOID, IGNORE)
        if not key or not name or is_negative:
            raise DatasetError(f"--label-map: found {entry!r}; {EXPECTED}.")
        if classes.setdefault(key, name) != name:
            msg = f"--label-map: {written} is both {classes[key]!r} and {name!r}. Keep one of them."
            raise DatasetError(msg)
    are_names = {not _key(key) for key in classes}
    if len(are_names) > 1:
        msg = f"--label-map has names as well as values or colours. List one of them; {EXPECTED}."
        raise DatasetError(msg)
    label_map = parsed_label_map(classes)
    if isinstance(label_map, LabelMap):
        label_map.check_classes()
    return classes


def _entries(entries: Iterable[str] | Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the text, key and class of each entry; the class is empty if there is none."""
    if isinstance(entries, Mapping):  # in which a class may have a comma
        return [(f"{key}={name}", key.strip(), name.strip()) for key, name in entries.items()]
    texts = [part.strip() for text in entries for part in text.split(",") if part.strip()]
    parts = [(text, *text.partition("=")) for text in texts]
    return [(text, key.strip(), name.strip()) for text, key, _, name in parts]


def parsed_label_map(classes: Mapping[str, str]) -> "LabelMap | NameMap | None":
    """Return the label map of `LayoutOptions`; None if it is empty."""
    special = (BACKGROUND, IGNORE)  # in upper or lower case
    lower = {key: name.lower() for key, name in classes.items()}
    classes = {key: lower[key] if lower[key] in special else classes[key] for key in classes}
    if classes and not any(map(_key, classes)):
        return NameMap(classes)
    keys = {tuple(map(int, key.split(":"))): name for key, name in classes.items()}
    return LabelMap(keys) if keys else None


def choose_classes(
    form: LabelForm, classes: Mapping[str, str]
) -> "tuple[LabelForm, LabelMap | None]":
    """Return a form with the classes that a label map names, or the label map of its values.

    Raises:
        DatasetError: If the label map lists names, and the files do not name classes or lack one.
    """
    label_map = parsed_label_map(classes)
    if isinstance(label_map, NameMap):
        return label_map.applied(form), None
    return form, label_map


def _key(text: str) -> str | None:
    """Return a value or colour in its usual spelling; None if it is neither."""
    if VALUE.fullmatch(text):
        return str(int(text))
    if found := COLOUR.fullmatch(text):
        return ":".join(str(int(part)) for part in found.groups())
    if found := HEXADECIMAL.fullmatch(text):
        return ":".join(str(int(part, 16)) for part in found.groups())
    return None


def _spelled(key: Colour) -> str:
    return ":".join(map(str, key))


@dataclass(frozen=True)
class LabelMap:
    """Classes of the values or colours in label files.

    Attributes:
        classes: Name of the class of each colour; a value is a colour of one number.
    """

    classes: dict[Colour, str]

    def check_classes(self) -> None:
        """Check that there are a background and another class, of values or of colours.

        Raises:
            DatasetError: If not.
        """
        if len({len(key) for key in self.classes}) > 1:
            msg = f"--label-map has values as well as colours. List one of the two; {EXPECTED}."
            raise DatasetError(msg)
        names = [name for name in self.classes.values() if name != IGNORE]
        if self._background is None:
            raise DatasetError(
                "--label-map does not say which entry is the background: none is named background, "
                f"and none is {'0:0:0' if self.has_colours else '0'}. Add an entry, such as "
                f"{'0:0:0' if self.has_colours else '0'}=background."
            )
        if len(set(names)) < 2:
            found = format_names(list(dict.fromkeys(names)))
            raise DatasetError(f"--label-map names only {found}. Add the entry of another class.")

    @property
    def has_colours(self) -> bool:
        """Whether the keys are colours."""
        return any(len(key) > 1 for key in self.classes)

    @property
    def _background(self) -> str | None:
        named = [name for name in self.classes.values() if name == BACKGROUND]
        zero = (0, 0, 0) if self.has_colours else (0,)
        return named[0] if named else self.classes.get(zero)

    @cached_property
    def values(self) -> dict[Colour, int]:
        """Value in label maps of each key.

        It is the first value of a class; for colours, 0 is the background, the other classes are 1,
        2, 3 … as listed, and the last value is the ignore label. -1 becomes
        65535, or the next lower value that is not listed.
        """
        names = self.classes
        free = next(v for v in range(UNSIGNED_VOID, 0, -1) if (v,) not in names)
        first = {name: free if key[0] < 0 else key[0] for key, name in reversed(names.items())}
        if self.has_colours:
            last = [IGNORE] if IGNORE in names.values() else []
            ordered = dict.fromkeys((str(self._background), *names.values()))
            ordered.pop(IGNORE, None)
            first = {name: value for value, name in enumerate((*ordered, *last))}
        return {key: first[name] for key, name in names.items()}

    @property
    def is_unchanged(self) -> bool:
        """Whether each key is the value in label maps."""
        return all(key == (value,) for key, value in self.values.items())

    @property
    def declared(self) -> DeclaredLabels:
        """The classes of label maps."""
        names = {self.values[key]: name for key, name in reversed(self.classes.items())}
        ignore = next((value for value, name in names.items() if name == IGNORE), None)
        named = {value: name for value, name in sorted(names.items()) if value != ignore}
        return DeclaredLabels(named, ignore=ignore)

    @property
    def source(self) -> str:
        """The option, and the values that it merges into others."""
        merged = (
            [] if self.has_colours else [k for k, value in self.values.items() if k[0] != value]
        )
        pairs = [f"{_spelled(key)} is read as {self.values[key]}" for key in merged]
        return "; ".join(("--label-map", *([format_names(pairs, 10)] if pairs else [])))

    def check_found(self, found: Collection[Colour]) -> None:
        """Check that values or colours of the label files are listed.

        Raises:
            DatasetError: If not.
        """
        unknown = sorted(set(found) - self.classes.keys())
        if unknown:
            kind = "colour" if self.has_colours else "value"
            raise DatasetError(
                f"the label files have the {kind}{'s' if len(unknown) > 1 else ''} "
                f"{format_names(list(map(_spelled, unknown)))}, which --label-map does not list. "
                f"Add an entry for each, such as {_spelled(unknown[0])}=NAME, or "
                f"{_spelled(unknown[0])}=ignore for voxels that nobody annotated."
            )

    def applied(self, form: LabelForm) -> LabelForm:
        """Return a form whose label maps have the listed classes.

        Raises:
            DatasetError: If the files hold colours but values are listed, have no values, or have
                some that are not listed.
        """
        if form.form == "colours" and not self.has_colours:
            raise DatasetError(
                "the label files hold a colour per class, but --label-map lists values. List their "
                "colours, such as 128:64:128=road."
            )
        if form.form in NAMED_FORMS:
            raise DatasetError(
                "--label-map lists values or colours, but the files name their classes: "
                f"{format_names(list(form.names.values())[1:], 20)}. List names, such as "
                f"{list(form.names.values())[-1]}=NAME."
            )
        if form.form == "classes":
            raise DatasetError(
                "--label-map lists values or colours, but the labels of a case are a file per "
                "class, whose names are those of the classes. Leave --label-map out."
            )
        lookup = tuple(
            (number if self.has_colours else key[0], self.values[key])
            for number, key in enumerate(self.classes)
        )
        if form.form in ("values", "colours"):
            colours = tuple(self.classes) if self.has_colours else ()
            stored = "signed" if (int(VOID),) in self.classes else form.form
            names = self.declared.names
            return replace(form, form=stored, names=names, colours=colours, lookup=lookup)
        self.check_found([(value,) for value in form.names])
        return replace(form, lookup=lookup)
