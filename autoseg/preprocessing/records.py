"""Documents that describe a prepared case and its cascade input on disk."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from autoseg.core.case import InverseTransform
from autoseg.core.frozen import NonNegativeInt
from autoseg.core.names import FileName
from autoseg.documents.document import Document


def _consistent(transform: InverseTransform) -> InverseTransform:
    if not transform.is_consistent:
        msg = "its entries are of different numbers of axes, or outside of the image."
        raise ValueError(msg)
    return transform


ConsistentTransform = Annotated[InverseTransform, AfterValidator(_consistent)]
"""A transform whose entries fit together."""


class CaseRecord(Document):
    """Contents of `case.json`.

    Attributes:
        name: Name of the case.
        key: `preparation_key` of name, size and modification time of the source files.
        content_key: `preparation_key` of the content of the source files. It does not change if
            they are copied or touched, and identifies everything derived from the case.
        restoration: Inverse transform from the prepared grid to the image.
        class_offsets: Rows of the foreground file from entry `k` to entry `k + 1` are positions of
            target `k` (from 1); rows before entry 1 are positions of all annotated voxels.
        highest_class: Highest class index of the labels, to notice damage; 255 if unknown.
        file_sizes: Sizes in bytes of the files of image, labels and foreground positions, to notice
            damage; empty if unknown.
    """

    FILE_NAME: ClassVar[str] = "case.json"
    MADE_BY: ClassVar[str] = "autoseg train"
    schema_version: Literal[1] = 1
    name: FileName
    key: str
    content_key: str
    restoration: ConsistentTransform
    class_offsets: tuple[NonNegativeInt, ...]
    highest_class: NonNegativeInt = 255
    file_sizes: tuple[NonNegativeInt, ...] = ()


class CascadeInputRecord(Document):
    """Contents of `cascade_input.json`.

    Attributes:
        name: Name of the case.
        key: Key of the case and of the networks that predicted it.
    """

    FILE_NAME: ClassVar[str] = "cascade_input.json"
    MADE_BY: ClassVar[str] = "autoseg train"
    schema_version: Literal[1] = 1
    name: FileName
    key: str
