"""Rows of results: files of JSON lines that a script continues, and tables in Markdown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a file; none if it does not exist."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def kept_row(path: Path, key: Row, measure: Callable[[], Row]) -> Row:
    """Return a row of a file; if the file does not have it, measure, append and print it.

    Args:
        path: The file.
        key: Fields that identify the row.
        measure: Returns the other fields.
    """
    for row in read_rows(path):
        if key.items() <= row.items():
            return row
    row = key | measure()
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)
    return row


def head(*columns: str) -> str:
    """Return the first two lines of a table."""
    return f"{line(*columns)}\n|{'---|' * len(columns)}"


def line(*cells: object) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(map(str, cells))} |"
