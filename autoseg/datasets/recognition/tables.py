"""Read tables and lists as text: CSV, TSV and Excel workbooks."""

import csv
from pathlib import Path

LARGEST_LIST = 2**26
"""Size of a list or table, bytes, above which it is not read."""


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table as text; empty if it cannot be read."""
    if path.suffix.lower() == ".xlsx":
        return _workbook_rows(path)
    lines = read_lines(path)
    if len(lines) < 2:
        return []
    delimiter = max(",;\t|", key=lines[0].count)
    try:
        rows = list(csv.DictReader(lines, delimiter=delimiter))
    except csv.Error:
        return []
    return [{str(k): str(v or "").strip() for k, v in row.items()} for row in rows]


def _workbook_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of the first sheet of a workbook; empty if it cannot be read."""
    from openpyxl import load_workbook

    try:
        if path.stat().st_size > LARGEST_LIST:
            return []
        with path.open("rb") as file:  # a workbook does not close files that it opens
            sheet = load_workbook(file, read_only=True, data_only=True).worksheets[0]
            cells = [[_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    except Exception:  # noqa: BLE001  (openpyxl raises errors of many kinds for damaged files)
        return []
    filled = [row for row in cells if any(row)]
    return [dict(zip(filled[0], row, strict=False)) for row in filled[1:]]


def _cell(value: object) -> str:
    """Return the content of a cell; whole numbers, which may be stored as 1.0, without a point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value).strip()


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text in UTF-8 or in the usual encoding of Windows."""
    try:
        if path.stat().st_size > LARGEST_LIST:
            return []
        content = path.read_bytes()
    except OSError:
        return []
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding).splitlines()
        except UnicodeDecodeError:
            continue
    return []
