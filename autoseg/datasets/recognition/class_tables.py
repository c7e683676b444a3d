"""Read names and colours of classes from text files in the folder of a dataset."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.core.json_text import parse_json
from autoseg.datasets.recognition.contents import BRIGHTEST
from autoseg.datasets.recognition.inventory import TABLES, Inventory
from autoseg.datasets.recognition.tokens import tokens, word_set

Colour = tuple[int, ...]

LARGEST_TABLE = 2**20
"""Size of a text file, bytes, above which it is no table of classes."""

VALUE, NAME, PLAIN_NAME = r"(?P<value>\d{1,5})", r"(?P<name>\D[^,;\t]*?)", r"(?P<name>\D[^,;:\t]*?)"
RGB = r"(?P<red>\d{1,3})[\s,;]+(?P<green>\d{1,3})[\s,;]+(?P<blue>\d{1,3})"

LINES = tuple(
    re.compile(rf"^\s*{line}\s*$")
    for line in (
        rf'{VALUE}\s+\d+\s+\d+\s+\d+\s+[\d.]+\s+\d+\s+\d+\s+"(?P<name>.*)"',  # ITK-SNAP
        rf"{VALUE}[\s,;]+{NAME}[\s,;]+{RGB}([\s,;]+\d{{1,3}})?",  # 3D Slicer, with an opacity
        rf"{RGB}[\s,;]+{NAME}",
        rf"{PLAIN_NAME}[\s,;:]+{RGB}\s*(:.*)?",  # with further fields in CVAT's labelmap.txt
        rf"{VALUE}\s*[:=,;\t ]\s*{NAME}",
        rf"(?P<name>\D[^,;:=\t]*?)\s*[:=,;\t ]\s*{VALUE}",
    )
)
"""Lines of tables: a name, with a value, with red, green and blue, or with both."""

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
    id ids value values index number label class pixel code codes
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
        conflict: A sentence on another table of this name that contradicts it; empty without one.
    """

    path: PurePosixPath | None = None
    colours: dict[Colour, str] = field(default_factory=dict)
    values: dict[int, str] = field(default_factory=dict)
    is_complete: bool = False
    conflict: str = ""

    def names_of(self, found: Sequence[int]) -> dict[int, str]:
        """Return the names of values that occur in files; empty if the table does not fit.

        Raises:
            DatasetError: If the table fits, but another one of its name contradicts it.
        """
        classes = set(found) - {0}
        names = {value: self.values[value] for value in found if value in self.values}
        is_complete = not self.is_complete or classes == self.values.keys()
        is_fitting = classes <= names.keys() and is_complete
        if not is_fitting or self.repeated_name(found):
            return {}
        self.check()
        return names

    def repeated_name(self, found: Sequence[int]) -> str:
        """Return a sentence if several of the values that occur have one name; empty otherwise."""
        counts = Counter(self.values[value] for value in found if value in self.values)
        repeated = [name for name, number in counts.items() if number > 1]
        if not repeated:
            return ""
        return (
            f"{self.path} is not used, because it gives several values the name "
            f"{format_names(repeated, 3)}; if they are one class, merge them with --label-map"
        )

    def check(self) -> None:
        """Raise a DatasetError if another table of this name contradicts it."""
        if self.conflict:
            raise DatasetError(self.conflict)


def find_class_table(root: Path, texts: Sequence[PurePosixPath]) -> ClassTable:
    """Return the first table of classes among text files; an empty one if there is none.

    Args:
        root: Folder of the dataset.
        texts: Text files, JSON files and tables, relative to it.
    """
    likely = [
        path
        for path in texts
        if re.search(r"label|class|colou?r|categor|legend|dseg|codes", path.name.lower())
    ]
    side_cars = [path for path in likely if path.name.endswith(SIDE_CAR)]
    is_merged = False
    for path in sorted(likely, key=lambda path: (len(path.parts), path)):
        if path.name.endswith(SIDE_CAR) and is_merged:
            continue
        if path.name.endswith(SIDE_CAR):
            table, is_merged = _of_all_cases(root, side_cars), True
        else:
            table = _read(root / path)
        if len(table.colours) > 1 or len(table.values) > 1:
            table.path = path
            others = [other for other in likely if other.name == path.name and other != path]
            table.conflict = next(filter(None, (_conflict(table, root, p) for p in others)), "")
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


def _conflict(table: ClassTable, root: Path, path: PurePosixPath) -> str:
    """Return a sentence if a file gives a value or a colour of a table another name."""
    other = _read(root / path)
    values = ((key, name, other.values.get(key)) for key, name in table.values.items())
    colours = ((key, name, other.colours.get(key)) for key, name in table.colours.items())
    for key, name, second in (*values, *colours):
        if second not in (None, name):
            return (
                f"{table.path} names {key} {name}, but {path} names it {second}. If the label "
                "files have different values for a class, export them with the same ones; "
                "otherwise, list the classes with --label-map."
            )
    return ""


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
        content = parse_json(text)
    except ValueError:
        return ClassTable()
    if isinstance(content, dict):
        content = content.get("labels", content)
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        header = [key for key, value in content[0].items() if isinstance(value, str | int)]
        return _from_rows(header, [[str(row.get(key, "")) for key in header] for row in content])
    if isinstance(content, list):
        content = {str(value): name for value, name in enumerate(content)}
    entries = list(content.items()) if isinstance(content, dict) else []
    colours = {tuple(v): key for key, v in entries if isinstance(v, list) and _is_colour(v)}
    if entries and len(colours) == len(entries):
        greys = {colour[0]: name for colour, name in colours.items() if len(set(colour)) == 1}
        return ClassTable(colours=colours, values=greys if len(greys) == len(colours) else {})
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


def _is_colour(value: list[object]) -> bool:
    """Return True for red, green and blue."""
    are_parts = [type(part) is int and 0 <= part <= BRIGHTEST for part in value]
    return len(value) == len(COLOUR_WORDS) and all(are_parts)


def _from_columns(text: str) -> ClassTable:
    """Read a table whose first line names its columns, such as `name,r,g,b`."""
    lines = text.splitlines()
    if len(lines) < 2:
        return ClassTable()
    try:
        header, *rows = csv.reader(lines, delimiter=max(",;\t|", key=lines[0].count))
    except csv.Error:
        return ClassTable()
    return _from_rows(header, rows)


def _from_rows(header: list[str], rows: list[list[str]]) -> ClassTable:
    """Find the columns of names, values and colours by their titles."""
    table = ClassTable()
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
        found = next(filter(None, (expression.match(line) for expression in LINES)), None)
        fields = found.groupdict() if found else {}
        if "value" in fields:
            named.append((int(fields["value"]), fields["name"]))
        if "red" in fields:
            colour = (int(fields["red"]), int(fields["green"]), int(fields["blue"]))
            table.colours[colour] = fields["name"]
    are_names = not any(FILE_NAME.search(name) for _, name in named)
    if are_names and len(dict(named)) == len(named):
        table.values = dict(named)
    return table
