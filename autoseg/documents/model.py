"""Description of a model folder, stored next to the weights of a trained configuration."""

from typing import ClassVar, Literal

from autoseg.core.frozen import NonNegativeInt
from autoseg.core.names import FileName
from autoseg.documents.document import Document

WEIGHTS_NAME = "weights.safetensors"
"""Name of the weights in a fold's folder."""


class TrainedModel(Document):
    """The trained networks in one model folder; `plan.json` describes how to build them.

    A model folder holds `model.json` (this document), `plan.json`, `fingerprint.json`, and one
    `fold_<k>/weights.safetensors` for each fold whose training is complete.

    Attributes:
        configuration: Configuration of the plan that was trained.
        mirror_axes: Patch axes that were mirrored in training, and are available for TTA.
        origin: Software that trained the networks; None for autoseg itself.
    """

    FILE_NAME: ClassVar[str] = "model.json"
    MADE_BY: ClassVar[str] = "autoseg train"
    schema_version: Literal[1] = 1
    configuration: FileName
    mirror_axes: tuple[NonNegativeInt, ...]
    origin: str | None = None
