"""The `dataset.json` that comes with a dataset, in the dialects of the Decathlon and of nnU-Net."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autoseg.core.errors import DatasetError
from autoseg.documents.store import explain

FileNames = Annotated[tuple[str, ...], Field(min_length=1)]


class _Foreign(BaseModel):
    """Part of a file that others wrote: fields that mean nothing here are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TrainingPair(_Foreign):
    """An entry of the Decathlon's `training` list; an image may be one file per channel."""

    image: str | FileNames
    label: str


class MappedCase(_Foreign):
    """An entry of nnU-Net's `dataset` map."""

    images: FileNames
    label: str


class Description(_Foreign):
    """What a dataset.json says, as it says it.

    Attributes:
        channel_names: `{"0": "T1"}` or a list.
        modality: The Decathlon's word for `channel_names`.
        labels: `{"0": "background"}` or `{"background": 0}`; lists of values are regions.
        regions_class_order: The value that each region is written as.
        file_ending: Ending of image and label files, e.g. `.nii.gz`.
        training: The Decathlon's pairs of files.
        test: The Decathlon's test images, or pairs of files; anything else that others wrote.
        dataset: nnU-Net's map from case to files.
        groups: Which patient (site, animal …) each case belongs to.
    """

    channel_names: dict[str, str] | tuple[str, ...] | None = None
    modality: dict[str, str] | tuple[str, ...] | None = None
    labels: dict[str, int | str | list[int]] | None = None
    regions_class_order: tuple[int, ...] | None = None
    file_ending: str | None = None
    training: tuple[TrainingPair, ...] = ()
    test: Any = None
    dataset: dict[str, MappedCase] = {}
    groups: dict[str, str | int] = {}


def load_description(root: Path) -> Description | None:
    """Return the dataset's own description, or None if it has none.

    Groups in a `groups.json` beside it count as if they stood in it.

    Raises:
        DatasetError: If a file is not JSON or its entries are not as expected.
    """
    groups = _load_json(root / "groups.json")
    content = _load_json(root / "dataset.json")
    if content is None and groups is None:
        return None
    content = {} if content is None else content
    merged = content if groups is None else {**content, "groups": groups}
    return _checked(merged, root / "dataset.json")


def read_description(path: Path) -> Description:
    """Return what one file says, whatever it is called.

    Raises:
        DatasetError: If it is missing, is not JSON, or its entries are not as expected.
    """
    content = _load_json(path)
    if content is None:
        msg = f"{path} does not exist. Name a dataset.json, or a folder that holds one."
        raise DatasetError(msg)
    return _checked(content, path)


def _checked(content: dict[str, object], path: Path) -> Description:
    try:
        given = {key: entry for key, entry in content.items() if entry is not None}
        return Description.model_validate(given)
    except ValidationError as error:
        msg = f"{path} is not as expected; correct it:\n{explain(error)}"
        raise DatasetError(msg) from error


def declared_channels(description: Description) -> tuple[str, ...] | None:
    """Return the channel names in channel order, or None if there are none.

    Raises:
        DatasetError: If the keys are not the numbers 0, 1, 2 …
    """
    named = description.channel_names or description.modality
    if not named:
        return None
    if isinstance(named, tuple):
        return named
    numbers = [int(key) if key.isdigit() else -1 for key in named]
    if sorted(numbers) != list(range(len(numbers))):
        msg = (
            f"dataset.json numbers its channels {list(named)}; expected 0 to {len(numbers) - 1}. "
            'Write them as {"0": "T1", "1": "T2"}.'
        )
        raise DatasetError(msg)
    return tuple(named[str(key)] for key in sorted(named, key=int))


def _load_json(path: Path) -> dict[str, object] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        msg = f"{path} is not valid JSON: {error}. Correct it."
        raise DatasetError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path} should hold one JSON object {{…}}; found {str(content)[:60]}."
        raise DatasetError(msg)
    return content
