"""Record of a model file in a registry."""

from typing import ClassVar, Literal

from autoseg.core.frozen import NonNegativeInt
from autoseg.core.names import FileName
from autoseg.documents.document import Document


class RegisteredModel(Document):
    """A model file in a registry; stored as `<name>.json` next to `<name>.autoseg`.

    Attributes:
        name: Name of the model.
        sha256: Hash of the model file.
        num_bytes: Size of the model file.
        dataset: Name of the dataset that it was trained on.
        members: Its configurations.
    """

    MADE_BY: ClassVar[str] = "autoseg models add"
    schema_version: Literal[1] = 1
    name: FileName
    sha256: str
    num_bytes: NonNegativeInt
    dataset: str
    members: tuple[FileName, ...]
