"""Read names and colours of classes from text files in the folder of a dataset."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

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


@dataclass
class ClassTable:
    """Names of classes by their colour or their value.

    Attributes:
        path: The file, relative to the dataset; None if there is none.
        colours: Name of each colour.
        values: Name of each value.
    """

    path: PurePosixPath | None = None
    colours: dict[Colour, str] = field(default_factory=dict)
    values: dict[int, str] = field(default_factory=dict)


def find_class_table(root: Path, texts: Sequence[PurePosixPath]) -> ClassTable:
    """Return the first table of classes among text files; an empty one if there is none.

    Args:
        root: Folder of the dataset.
        texts: Text files and JSON files, relative to it.
    """
    likely = [
        path
        for path in texts
        if re.search(r"label|class|colou?r|categor|legend", path.name.lower())
    ]
    for path in sorted(likely, key=lambda path: (len(path.parts), path)):
        table = _read(root / path)
        if len(table.colours) > 1 or len(table.values) > 1:
            table.path = path
            return table
    return ClassTable()


def _read(path: Path) -> ClassTable:
    try:
        if path.stat().st_size > LARGEST_TABLE:
            return ClassTable()
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ClassTable()
    return _from_json(text) if path.suffix.lower() == ".json" else _from_lines(text)


def _from_json(text: str) -> ClassTable:
    """Read an object of values and names, in either order."""
    table = ClassTable()
    try:
        content = json.loads(text)
    except ValueError:
        return table
    for key, value in content.items() if isinstance(content, dict) else ():
        if key.isdecimal() and isinstance(value, str):
            table.values[int(key)] = value
        elif isinstance(value, int) and not isinstance(value, bool):
            table.values[value] = key
    return table


def _from_lines(text: str) -> ClassTable:
    table = ClassTable()
    for line in text.splitlines():
        if found := ITK_SNAP.match(line):
            table.values[int(found[1])] = found[5]
        elif found := COLOUR_FIRST.match(line):
            table.colours[int(found[1]), int(found[2]), int(found[3])] = found[4]
        elif found := COLOUR_LAST.match(line):
            table.colours[int(found[2]), int(found[3]), int(found[4])] = found[1]
        elif found := VALUE_FIRST.match(line):
            table.values[int(found[1])] = found[2]
        elif found := VALUE_LAST.match(line):
            table.values[int(found[2])] = found[1]
    return table
