"""Read names and colours of classes from text files in the folder of a dataset."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.datasets.recognition.inventory import TABLES, Inventory
from autoseg.datasets.recognition.tokens import tokens, word_set

Colour = tuple[int, ...]

LARGEST_TABLE = 2**20
"""Size of a text file, bytes, above which it is no table of classes."""

ITK_SNAP = re.compile(r'^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+[\d.]+\s+\d+\s+\d+\s+"(.*)"\s*$')
"""A line of ITK-SNAP's label descriptions: index, red, green, blue, opacity, two flags, name."""

COLOUR_FIRST = re.compile(r"^\s*(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\D[^,;\t]*?)\s*$")
COLOUR_LAST = re.compile(r"^\s*(\D[^,;\t]*?)[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})\s*$")
"""Lines of tables of colours: red, green, blue, and a name before or after them."""

VALUE_FIRST = re.compile(r"^\s*(\d{1,5})\s*[:=,;\t ]\s*(\D[^,;\t]*?)\s*$")
VALUE_LAST = re.compile(r"^\s*(\D[^,;:=\t]*?)\s*[:=,;\t ]\s*(\d{1,5})\s*$")
"""Lines of tables of values: a value, and a name after or before it."""

SIDE_CAR = "_dseg.tsv"
"""Ending of a table of classes that belongs to one label map, as in BIDS."""

FILE_NAME = re.compile(r"\.[A-Za-z]\w{1,3}$")
"""The end of a file's name, which is not the name of a class."""

COUNT_WORDS = word_set(
    """
    num number count total size width height depth version
    """
)
"""Words of numbers in a JSON file that are not values of classes."""

NAME_WORDS = word_set(
    """
    name names class classes label labels category structure
    """
)
VALUE_WORDS = word_set(
    """
    id ids value values index number label class pixel
    """
)
COLOUR_WORDS = (word_set("r red"), word_set("g green"), word_set("b blue"))
"""Words of the columns of a table of classes."""


@dataclass
class ClassTable:
    """Names of classes by their colour or their value.

    Attributes:
        path: The file, relative to the dataset; None if there is none.
        colours: Name of each colour.
        values: Name of each value.
        is_complete: Whether `values` has to list exactly the values that occur.
    """

    path: PurePosixPath | None = None
    colours: dict[Colour, str] = field(default_factory=dict)
    values: dict[int, str] = field(default_factory=dict)
    is_complete: bool = False

    def names_of(self, found: Sequence[int]) -> dict[int, str]:
        """Return the names of values that occur in files; empty if the table does not fit."""
        classes = set(found) - {0}
        names = {value: self.values[value] for value in found if value in self.values}
        is_complete = not self.is_complete or classes == self.values.keys()
        is_fitting = classes <= names.keys() and is_complete
        return names if is_fitting and len(set(names.values())) == len(names) else {}


def find_class_table(root: Path, texts: Sequence[PurePosixPath]) -> ClassTable:
    """Return the first table of classes among text files; an empty one if there is none.

    Args:
        root: Folder of the dataset.
        texts: Text files, JSON files and tables, relative to it.
    """
    likely = [
        path
        for path in texts
        if re.search(r"label|class|colou?r|categor|legend|dseg", path.name.lower())
    ]
    for path in sorted(likely, key=lambda path: (len(path.parts), path)):
        table = _read(root / path)
        if path.name.endswith(SIDE_CAR):
            table = _of_all_cases(root, [one for one in likely if one.name.endswith(SIDE_CAR)])
        if len(table.colours) > 1 or len(table.values) > 1:
            table.path = path
            return table
    return ClassTable()


def _of_all_cases(root: Path, paths: Sequence[PurePosixPath]) -> ClassTable:
    """Return the classes of tables that each belong to one label map.

    Raises:
        DatasetError: If two tables name a value differently.
    """
    merged = ClassTable()
    first: dict[int, PurePosixPath] = {}
    for path in paths:
        for value, name in _read(root / path).values.items():
            other = merged.values.setdefault(value, name)
            if other != name:
                raise DatasetError(
                    f"the value {value} is {other!r} in {first[value]} but {name!r} in {path}. "
                    "Correct the tables, or list the classes with --label-map."
                )
            first.setdefault(value, path)
    return merged


def lists_classes(inventory: Inventory) -> bool:
    """Return True if a table or the dataset.json lists the values of several classes."""
    root, texts = inventory.root, (*inventory.texts, *inventory.tables)
    tables = (find_class_table(root, texts), _read(root / "dataset.json"))
    return any(len(table.values.keys() - {0}) > 1 for table in tables)


def _read(path: Path) -> ClassTable:
    try:
        if path.stat().st_size > LARGEST_TABLE:
            return ClassTable()
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ClassTable()
    if path.suffix.lower() in TABLES:
        return _from_columns(text)
    return _from_json(text) if path.suffix.lower() == ".json" else _from_lines(text)


def _from_json(text: str) -> ClassTable:
    """Read an object of values and names, in either order, or its `labels`."""
    try:
        content = json.loads(text)
    except ValueError:
        return ClassTable()
    if isinstance(content, dict):
        content = content.get("labels", content)
    if isinstance(content, list):
        content = {str(value): name for value, name in enumerate(content)}
    entries = list(content.items()) if isinstance(content, dict) else []
    if not any(isinstance(value, int) for _, value in entries):
        named = [(int(k), v) for k, v in entries if k.isdecimal() and isinstance(v, str)]
        return ClassTable(values=dict(named))
    numbers = {value: key for key, value in entries if type(value) is int}
    first = min(numbers, default=0)
    is_table = (
        len(numbers) == len(entries)
        and sorted(numbers) in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
        and not any(COUNT_WORDS & set(tokens(key)) for key in numbers.values())
    )
    return ClassTable(values=numbers, is_complete=first > 0) if is_table else ClassTable()


def _from_columns(text: str) -> ClassTable:
    """Read a table whose first line names its columns, such as `name,r,g,b`."""
    table = ClassTable()
    lines = text.splitlines()
    if len(lines) < 2:
        return table
    try:
        header, *rows = csv.reader(lines, delimiter=max(",;\t|", key=lines[0].count))
    except csv.Error:
        return table
    rows = [[cell.strip() for cell in row] for row in rows if len(row) == len(header)]
    words = [set(tokens(title)) for title in header]
    numeric = [bool(rows) and all(row[n].isdecimal() for row in rows) for n in range(len(header))]

    def column(wanted: frozenset[str], *, is_numeric: bool) -> int | None:
        places = range(len(header))
        return next((n for n in places if words[n] & wanted and numeric[n] == is_numeric), None)

    name, value = column(NAME_WORDS, is_numeric=False), column(VALUE_WORDS, is_numeric=True)
    rgb = [place for words in COLOUR_WORDS if (place := column(words, is_numeric=True)) is not None]
    if name is None or any(FILE_NAME.search(row[name]) for row in rows):
        return table
    if len(rgb) == len(COLOUR_WORDS):
        table.colours = {tuple(int(row[place]) for place in rgb): row[name] for row in rows}
    if value is not None and len({row[value] for row in rows}) == len(rows):
        table.values = {int(row[value]): row[name] for row in rows}
    return table


def _from_lines(text: str) -> ClassTable:
    table = ClassTable()
    named: list[tuple[int, str]] = []
    for line in text.splitlines():
        if found := ITK_SNAP.match(line):
            named.append((int(found[1]), found[5]))
        elif found := COLOUR_FIRST.match(line):
            table.colours[int(found[1]), int(found[2]), int(found[3])] = found[4]
        elif found := COLOUR_LAST.match(line):
            table.colours[int(found[2]), int(found[3]), int(found[4])] = found[1]
        elif found := VALUE_FIRST.match(line):
            named.append((int(found[1]), found[2]))
        elif found := VALUE_LAST.match(line):
            named.append((int(found[2]), found[1]))
    are_names = not any(FILE_NAME.search(name) for _, name in named)
    if are_names and len(dict(named)) == len(named):
        table.values = dict(named)
    return table
