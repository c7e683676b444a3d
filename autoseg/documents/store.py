"""Load and save documents. The only module that reads or writes autoseg's own JSON."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import DocumentError, UnknownComponent
from autoseg.core.frozen import Frozen
from autoseg.core.text import printable

T = TypeVar("T", bound=Frozen)

MOST_FAULTS = 10
"""Issues of a document that are shown."""


def save(document: Frozen, path: Path) -> None:
    """Write a document as JSON to read and edit, whole or not at all, creating its folder."""
    with atomic_write(path) as temporary:
        temporary.write_text(as_text(document), encoding="utf-8")


def as_text(document: Frozen) -> str:
    """Return a document as JSON to read and edit; equal documents give equal text."""
    return readable(json.loads(document.model_dump_json())) + "\n"


def load(kind: type[T], path: Path, *, made_by: str) -> T:
    """Read and check a document.

    Args:
        kind: The document's class.
        path: Where it should be.
        made_by: The command that makes it, for the error message.

    Raises:
        DocumentError: If the file is missing, is no UTF-8 text (a byte order mark is fine), does
            not match `kind`, or names a component that does not exist.
    """
    if not path.is_file():
        msg = f"{path} does not exist. Run `{made_by}` first."
        raise DocumentError(msg)
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 text. Save it as UTF-8, or delete it and run `{made_by}` again."
        raise DocumentError(msg) from error
    except ValidationError as error:
        msg = (
            f"{path} is not a valid {kind.__name__}. Correct it, or delete it and run "
            f"`{made_by}` again.\n{explain(error)}"
        )
        raise DocumentError(msg) from error
    except UnknownComponent as error:
        msg = f"{path} is not a valid {kind.__name__}. {error}"
        raise DocumentError(msg) from error


def readable(value: object, *, margin: str = "") -> str:
    """Return JSON with one field per line, and lists of numbers or words on a single line.

    Args:
        value: What `json.loads` gives.
        margin: Spaces before the closing bracket.
    """
    inner = margin + "  "
    if isinstance(value, dict) and value:
        lines = [
            f"{inner}{_plain(key)}: {readable(entry, margin=inner)}" for key, entry in value.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
    if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        lines = [inner + readable(entry, margin=inner) for entry in value]
        return "[\n" + ",\n".join(lines) + f"\n{margin}]"
    return _plain(value)


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def explain(error: ValidationError) -> str:
    """Return a validation error as one line per issue: where it is, and what is wrong.

    Many issues mostly have one cause, so only the first few are shown. What the document itself
    says is shown without signs that would steer a terminal.
    """
    lines = []
    issues = error.errors(include_url=False, include_context=False, include_input=False)
    for issue in issues[:MOST_FAULTS]:
        where = ".".join(str(part) for part in issue["loc"]) or "the document"
        lines.append(printable(f"  {where}: {issue['msg'].removeprefix('Value error, ')}"))
    if len(issues) > MOST_FAULTS:
        lines.append(f"  and {len(issues) - MOST_FAULTS} more")
    return "\n".join(lines)
