"""Normalised surface Dice (NSD)."""

from typing import Literal

import numpy as np
from typing_extensions import override

from autoseg.evaluation.comparison import ROUNDING_SLACK, Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class SurfaceDice(Metric):
    """Share of both surfaces' voxels within the tolerance of the other one, 0 … 1.

    0 if one mask is empty.

    Source: Nikolov et al., arXiv 1809.04430, counted in surface voxels as MONAI does.
    """

    title = "NSD"
    cost = "distances"
    depends_on_spacing = True
    in_table = True
    in_model_card = True

    kind: Literal["nsd"] = "nsd"

    @override
    def compute(self, pair: Comparison) -> float:
        if pair.distances is None:
            return 0.0
        limit = pair.tolerance_mm * (1 + ROUNDING_SLACK)
        return float((np.concatenate(pair.distances) <= limit).mean())
