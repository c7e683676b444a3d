"""The choices of the user for reading a folder: from options, and from a layout file."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.core.json_text import read_json
from autoseg.datasets.layouts.label_map import parse_label_map
from autoseg.documents.dataset import LayoutOptions
from autoseg.documents.store import format_validation_error

KEYS = {
    "image": "images",
    "label": "labels",
    "mask": "mask",
    "label_map": "label_map",
    "table": "table",
    "test": "test",
    "series": "series",
}
"""Keys of a layout file, spelled as the options are, and their fields in `LayoutOptions`."""

TABLE_EXAMPLE = (
    "expected FILE:image,label or FILE:image,label,group,split, with the names of columns"
)


def layout_options(
    root: Path, given: Mapping[str, object], layout_file: Path | None = None
) -> LayoutOptions:
    """Combine the options of a command with a layout file; an option replaces its key in the file.

    Args:
        root: Folder of the dataset.
        given: Value of each key of `KEYS`; without a choice, empty or None.
        layout_file: The layout file.

    Raises:
        DatasetError: If the file or a value is not valid, or values contradict each other.
    """
    options = _options(root, given, Path())
    if layout_file is not None:
        replaced = {field: getattr(options, field) for field in options.model_fields_set}
        options = read_layout(root, layout_file).model_copy(update=replaced)
    if options.mask not in (None, options.label_form):
        raise DatasetError(
            f"--mask {options.mask} contradicts --label-map, which lists colours. Leave --mask out."
        )
    if options.mask == "colours" and options.label_map and ":" not in next(iter(options.label_map)):
        raise DatasetError(
            "--mask colours contradicts --label-map, which lists values. List colours, such as "
            "128:64:128=road."
        )
    if options.table and (options.images or options.labels):
        msg = "--table lists images and labels, as --image and --label do. Choose one way."
        raise DatasetError(msg)
    return options


def read_layout(root: Path, path: Path) -> LayoutOptions:
    """Return the choices in a layout file.

    A table is relative to the dataset or to the layout file.

    Raises:
        DatasetError: If the file or an entry in it is not valid.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"--layout: {path} cannot be read as JSON ({error}). Expected an object such as "
            '{"image": ["scans/{case}.nii.gz"], "label_map": {"0": "background", "1": "liver"}}.'
        ) from error
    unknown = sorted(content.keys() - KEYS) if isinstance(content, dict) else [type(content)]
    if unknown or not isinstance(content, dict):
        raise DatasetError(
            f"--layout: {path} has {format_names(unknown)}; expected an object with some of the "
            f"keys {', '.join(KEYS)}."
        )
    try:
        return _options(root, content, path.parent)
    except DatasetError as error:
        raise DatasetError(f"--layout: {path} is not valid: {error}") from error


def _options(root: Path, chosen: Mapping[str, Any], folder: Path) -> LayoutOptions:
    """Return the choices in their usual form.

    Args:
        root: Folder of the dataset.
        chosen: Values by their keys.
        folder: Folder that the path of a table may be relative to.

    Raises:
        DatasetError: If a value is not valid.
    """
    values = {key: value for key, value in chosen.items() if value}
    for key in ("image", "label", "test", "series"):
        if isinstance(values.get(key), str):
            values[key] = (values[key],)
    if label_map := values.get("label_map"):
        values["label_map"] = parse_label_map(_entries(label_map))
    if table := values.get("table"):
        values["table"] = _located_table(str(table), root, folder)
    try:
        return LayoutOptions.model_validate({KEYS[key]: value for key, value in values.items()})
    except ValidationError as error:
        raise DatasetError(
            f"the choices are not valid:\n{format_validation_error(error)}"
        ) from error


def _entries(label_map: object) -> list[str] | dict[str, str]:
    """Return the entries of a label map: a text, a list of texts, or an object.

    Raises:
        DatasetError: If it is something else, or a class is not a text.
    """
    entries: list[Any] = list(label_map) if isinstance(label_map, list | tuple) else [label_map]
    names = label_map.values() if isinstance(label_map, dict) else entries
    if others := [name for name in names if not isinstance(name, str)]:
        raise DatasetError(
            f"--label-map: found {others[0]!r}; expected the name of a class in quotes, as in "
            '{"0": "background", "1": "liver"}.'
        )
    return label_map if isinstance(label_map, dict) else entries


def _located_table(text: str, root: Path, folder: Path) -> str:
    """Return a table and its columns with a path that is absolute or relative to the dataset.

    Raises:
        DatasetError: If there is no such file, or no columns of images and labels.
    """
    file, _, columns = text.rpartition(":")
    names = [name.strip() for name in columns.split(",")]
    if not file or not 2 <= len(names) <= 4 or not all(names[:2]):
        raise DatasetError(f"--table: found {text!r}; {TABLE_EXAMPLE}.")
    root = root.resolve()
    places = dict.fromkeys(Path(os.path.normpath(base / file)) for base in (root, folder.resolve()))
    found = [path for path in places if path.is_file()]
    if len(found) != 1:
        tried = format_names(list(places))
        state = "two files fit" if found else "no such file exists"
        raise DatasetError(f"--table: {state}: {tried}. Give the whole path; {TABLE_EXAMPLE}.")
    path = found[0].relative_to(root) if found[0].is_relative_to(root) else found[0]
    return f"{path.as_posix()}:{','.join(names)}"


def layout_content(options: LayoutOptions) -> dict[str, Any]:
    """Return choices as the content of a layout file."""
    content = options.model_dump(mode="json")
    return {key: content[field] for key, field in KEYS.items() if content[field]}


def format_options(options: LayoutOptions) -> str:
    """Format choices as options of a command."""
    parts: list[str] = []
    for key, value in layout_content(options).items():
        if isinstance(value, dict):
            values = [",".join(f"{each}={name}" for each, name in value.items())]
        else:
            values = [value] if isinstance(value, str) else value
        parts += [f"--{key.replace('_', '-')} {shlex.quote(each)}" for each in values]
    return " ".join(parts)
