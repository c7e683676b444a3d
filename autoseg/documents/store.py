"""Load and save documents; the only module that reads or writes autoseg's own JSON."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import DocumentError, UnknownComponent
from autoseg.core.formatting import format_lines, printable
from autoseg.core.frozen import Frozen
from autoseg.documents.document import Document

D = TypeVar("D", bound=Document)

MAX_SHOWN_ISSUES = 10
"""Maximum number of issues of a document that are shown."""


def save(document: Frozen, path: Path) -> None:
    """Save a document as readable JSON, atomically; creates the folder if necessary."""
    text = to_json_text(document)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_json_text(document: Frozen) -> str:
    """Return a document as readable JSON; equal documents give equal text."""
    return format_json(json.loads(document.model_dump_json())) + "\n"


def load(kind: type[D], path: Path, *, made_by: str | None = None) -> D:
    """Load and validate a document.

    Args:
        kind: Class of the document.
        path: Path of the file.
        made_by: Command that writes this file, for error messages; by default that of the class.

    Raises:
        DocumentError: If the file is missing, is not UTF-8 text (a byte order mark is allowed),
            has another `schema_version`, does not match `kind`, or names an unknown component.
    """
    made_by = made_by or kind.MADE_BY
    if not path.is_file():
        msg = f"{path} does not exist. Run `{made_by}` first."
        raise DocumentError(msg)
    try:
        text = read_text(path)
        return kind.model_validate_json(text)
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 text. Save it as UTF-8, or delete it and run `{made_by}` again."
        raise DocumentError(msg) from error
    except ValidationError as error:
        issue = _version_issue(kind, text, made_by) or (
            f"is not a valid {kind.__name__}. Correct it, or delete it and run "
            f"`{made_by}` again.\n{format_validation_error(error)}"
        )
        raise DocumentError(f"{path} {issue}") from error
    except UnknownComponent as error:
        issue = _version_issue(kind, text, made_by) or f"is not a valid {kind.__name__}. {error}"
        raise DocumentError(f"{path} {issue}") from error


def load_if_valid(kind: type[D], path: Path) -> D | None:
    """Load a document; return None if it is missing or not valid.

    Raises:
        OSError: If the file exists but cannot be read.
    """
    try:
        return load(kind, path)
    except (DocumentError, FileNotFoundError):  # it may be deleted after `load` found it
        return None


def _version_issue(kind: type[Document], text: str, made_by: str) -> str | None:
    """Describe a `schema_version` other than the expected one; return None if it is as expected."""
    field = kind.model_fields.get("schema_version")
    try:
        content = from_json(text)
    except ValueError:
        return None
    if field is None or not isinstance(content, dict):
        return None
    found, expected = content.get("schema_version", field.default), field.default
    if found == expected:
        return None
    is_newer = isinstance(found, int) and found > expected
    upgrade = "Upgrade with `pip install --upgrade autoseg`, or delete" if is_newer else "Delete"
    return (
        f"has schema_version {found!a:.40}, but this autoseg reads schema_version {expected}. "
        f"{upgrade} the file and run `{made_by}` again."
    )


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark."""
    return path.read_text(encoding="utf-8-sig")


def format_json(value: object, *, margin: str = "") -> str:
    """Format JSON with one field per line, but lists of numbers or strings on a single line.

    Args:
        value: A value as returned by `json.loads`.
        margin: Indentation of the closing bracket.
    """
    inner = margin + "  "
    if isinstance(value, dict) and value:
        lines = [
            f"{inner}{_plain(key)}: {format_json(entry, margin=inner)}"
            for key, entry in value.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
    if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        lines = [inner + format_json(entry, margin=inner) for entry in value]
        return "[\n" + ",\n".join(lines) + f"\n{margin}]"
    return _plain(value)


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def format_validation_error(error: ValidationError) -> str:
    """Format a validation error with one line per issue: its location and what is wrong.

    Only the first few issues are shown, because many issues usually have one cause. Characters from
    the document that could control a terminal are removed.
    """
    lines = []
    for issue in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in issue["loc"]) or "the document"
        is_short = isinstance(issue["input"], str | int | float) and issue["type"] != "value_error"
        found = f"; found {issue['input']!r:.60}" if is_short else ""
        lines.append(printable(f"{where}: {issue['msg'].removeprefix('Value error, ')}{found}"))
    return format_lines(lines, MAX_SHOWN_ISSUES)
