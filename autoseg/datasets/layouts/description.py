"""Load the `dataset.json` of a dataset, in the format of the Decathlon or of nnU-Net."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from autoseg.core.errors import DatasetError
from autoseg.core.json_text import read_json, whole_number
from autoseg.documents.store import format_validation_error

ChannelNames = Annotated[
    dict[str, str] | tuple[str, ...],
    BeforeValidator(lambda names: (names,) if isinstance(names, str) else names),
]
"""Names of channels; a single name stands for one channel."""

Labels = Annotated[
    dict[str, int | str | list[int]],
    BeforeValidator(
        lambda names: (
            {str(value): name for value, name in enumerate(names)}
            if isinstance(names, list) and all(isinstance(name, str) for name in names)
            else names
        )
    ),
]
"""Names and values of labels; a list of names has the values 0, 1, 2 …"""

LONGEST_PART = 255
"""Maximum length of the name of a file or folder, bytes."""

PARTS = re.compile(r"[/\\]+")


def _listed(name: str) -> str:
    """Return the path of a file, which must be one that a disk can have."""
    if "\x00" in name or any(len(part.encode()) > LONGEST_PART for part in PARTS.split(name)):
        msg = f"found {name[:40]!a} …; expected the path of a file, with parts of up to 255 bytes."
        raise ValueError(msg)
    return name


ListedFile = Annotated[str, Field(max_length=2048), AfterValidator(_listed)]
FileNames = Annotated[tuple[ListedFile, ...], Field(min_length=1)]


class _ExternalModel(BaseModel):
    """Part of a file that autoseg did not write: unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TrainingPair(_ExternalModel):
    """An entry of the Decathlon's `training` list; an image may consist of one file per channel.

    Attributes:
        image: The image file, or one file per channel.
        label: The label file.
        fold: Number of the fold that holds the case out, in lists for MONAI.
        case: Name of the case; None for the name of its image.
    """

    image: ListedFile | FileNames
    label: ListedFile
    fold: int | None = None
    case: str | None = None


class MappedCase(_ExternalModel):
    """An entry of nnU-Net's `dataset` map."""

    images: FileNames
    label: ListedFile


class Description(_ExternalModel):
    """The fields of a dataset.json, not yet interpreted.

    Attributes:
        channel_names: `{"0": "T1"}`, a list, or the name of the only channel.
        modality: Name of `channel_names` in the Decathlon.
        labels: `{"0": "background"}`, `{"background": 0}` or a list of names; lists of values are
            regions.
        regions_class_order: The value that each region is written as.
        file_ending: Ending of image and label files, e.g. `.nii.gz`.
        training: The Decathlon's pairs of files.
        validation: Pairs of files that are held out; not validated.
        test: The Decathlon's test images, or pairs of files; not validated.
        dataset: nnU-Net's map from case to files.
        groups: Group (patient, site, animal …) of each case.
    """

    channel_names: ChannelNames | None = None
    modality: ChannelNames | None = None
    labels: Labels | None = None
    regions_class_order: tuple[int, ...] | None = None
    file_ending: str | None = None
    training: tuple[TrainingPair, ...] = ()
    validation: Any = None
    test: Any = Field(default=None, validation_alias=AliasChoices("test", "testing"))
    dataset: dict[str, MappedCase] = {}
    groups: dict[str, str | int] = {}


def load_description(root: Path) -> Description | None:
    """Load the description of a dataset; return None if it has none.

    A `groups.json` next to the dataset.json replaces its `groups`.

    Raises:
        DatasetError: If a file is not valid JSON or has invalid entries.
    """
    groups = _load_json(root / "groups.json")
    content = _load_json(root / "dataset.json")
    if content is None and groups is None:
        return None
    content = {} if content is None else content
    merged = content if groups is None else {**content, "groups": groups}
    return _checked(merged, root / "dataset.json")


def read_description(path: Path) -> Description:
    """Load a description from a file of any name.

    Raises:
        DatasetError: If the file is missing, is not valid JSON or has invalid entries.
    """
    content = _load_json(path)
    if content is None:
        msg = f"{path} does not exist. Choose a dataset.json, or a folder that contains one."
        raise DatasetError(msg)
    return _checked(content, path)


def _checked(content: dict[str, object], path: Path) -> Description:
    try:
        return Description.model_validate(
            {key: entry for key, entry in content.items() if entry is not None}
        )
    except ValidationError as error:
        msg = f"{path} has invalid entries; correct them:\n{format_validation_error(error)}"
        raise DatasetError(msg) from error


def labelled_pairs(entries: Any) -> tuple[TrainingPair, ...]:  # noqa: ANN401  (not validated yet)
    """Return the entries of a list that have an image and a label."""
    pairs = []
    for entry in entries if isinstance(entries, list) else []:
        try:
            pairs.append(TrainingPair.model_validate(entry))
        except ValidationError:
            continue
    return tuple(pairs)


def declared_channels(description: Description) -> tuple[str, ...] | None:
    """Return the declared channel names in channel order, or None if there are none.

    Raises:
        DatasetError: If the keys are not the numbers 0, 1, 2 …
    """
    names = description.channel_names or description.modality
    if not names:
        return None
    if isinstance(names, tuple):
        return names
    numbers = [-1 if (number := whole_number(key)) is None else number for key in names]
    if sorted(numbers) != list(range(len(numbers))):
        raise DatasetError(
            f"dataset.json numbers its channels {list(names)}; expected 0 to {len(numbers) - 1}. "
            'Write them as {"0": "T1", "1": "T2"}.'
        )
    return tuple(name for _, name in sorted(zip(numbers, names.values(), strict=True)))


def _load_json(path: Path) -> dict[str, object] | None:
    if not path.is_file():
        return None
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is not valid JSON: {error}. Correct it.") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} must contain one JSON object {{…}}; found {str(content)[:60]}.")
    return content
