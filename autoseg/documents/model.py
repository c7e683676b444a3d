"""What lies beside the weights of a trained configuration."""

from typing import Literal

from pydantic import NonNegativeInt

from autoseg.core.frozen import Frozen


class TrainedModel(Frozen):
    """How to use the networks of one model folder; `plan.json` beside it says how to build them.

    A model folder holds `model.json` (this), `plan.json`, and one `fold_<k>/weights.safetensors`
    for each fold whose training is complete.

    Attributes:
        configuration: Which configuration of the plan was trained.
        mirror_axes: Patch axes that training mirrored at random, so that prediction may average
            over their flips.
    """

    schema_version: Literal[1] = 1
    configuration: str
    mirror_axes: tuple[NonNegativeInt, ...]
