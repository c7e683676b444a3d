"""Description of a model folder, stored next to the weights of a trained configuration."""

from typing import Literal

from pydantic import NonNegativeInt

from autoseg.core.frozen import Frozen

MODEL_NAME = "model.json"
"""Name of this document in a model folder."""

PLAN_NAME = "plan.json"
"""Name of the plan in a model folder."""

WEIGHTS_NAME = "weights.safetensors"
"""Name of the weights in a fold's folder."""

FINGERPRINT_NAME = "fingerprint.json"
"""Name of the training data's fingerprint in a model folder; the file is optional."""


class TrainedModel(Frozen):
    """The trained networks in one model folder; `plan.json` describes how to build them.

    A model folder holds `model.json` (this document), `plan.json`, `fingerprint.json`, and one
    `fold_<k>/weights.safetensors` for each fold whose training is complete.

    Attributes:
        configuration: Configuration of the plan that was trained.
        mirror_axes: Patch axes that were mirrored in training, and are available for TTA.
        origin: Software that trained the networks; None for autoseg itself.
    """

    schema_version: Literal[1] = 1
    configuration: str
    mirror_axes: tuple[NonNegativeInt, ...]
    origin: str | None = None
