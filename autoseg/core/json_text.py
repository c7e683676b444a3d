"""Parse JSON that other programs wrote, or that anyone may have changed."""

from pathlib import Path

from pydantic_core import from_json

LARGEST_LABEL = 2**64 - 1
"""Largest value that a label file can hold."""


def read_json(path: Path) -> object:
    """Read a JSON file in UTF-8, with or without a byte order mark; see `parse_json`.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not valid.
    """
    return parse_json(path.read_bytes())


def parse_json(content: bytes | str) -> object:
    """Return the value of a JSON text.

    Unlike `json.loads`, this refuses deep nesting, characters that UTF-8 cannot encode, and numbers
    of thousands of digits, all with a ValueError.

    Raises:
        ValueError: If the text is not valid.
    """
    if isinstance(content, bytes):
        content = content.removeprefix(b"\xef\xbb\xbf")
    value: object = from_json(content)
    return value


def whole_number(text: str) -> int | None:
    """Return the number that decimal digits stand for, at most `LARGEST_LABEL`; None for others.

    `str.isdigit` is also true of characters such as "²", which `int` refuses.
    """
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_LABEL))
    number = int(text) if is_number else LARGEST_LABEL + 1
    return number if number <= LARGEST_LABEL else None
