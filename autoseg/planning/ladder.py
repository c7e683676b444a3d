"""The sizes that a plan can take where time is short, and how many steps each must get.

All that the rule of a time budget consists of stands here; `docs/benchmarks/budget_sweep.py` trains
these sizes, to fit it anew.
"""

from dataclasses import dataclass

from autoseg.architectures import Architecture
from autoseg.architectures.u_shape import (
    BASE_FEATURES,
    COMPACT_BASE_FEATURES,
    doubling_features,
)

FEWEST_STEPS = 1000
"""Steps without which a network of 16 features is not grown to. Source: docs/pages/experiments.md,
"Sizes for a time budget": with 964 and more it was at or above 8 features in equal time."""

FEWEST_STEPS_TO_WIDEN = 6000
"""The same for 32 features. Source: as above; in equal time they were behind 16 features with 1231,
2595 and 5189 steps, level with them with 2154, and ahead with 9141."""

FEWEST_STEPS_TO_ENLARGE = (5000, 5000, 6000, 6000, 7000, 8000)
"""The same for patches and batches of 2^16 voxels and more, and for those of the reference. Source:
as above; in equal time patches of 2^17 were behind or level with those of 2^15 with 354 to 3026
steps, and ahead of them with 5321 and 9078, on the two datasets that this is fitted to. That still
larger ones must get more is a choice: none was trained so long."""

LEAST_STEPS = 100
"""Steps without which nothing is planned: the learning rate has hardly risen before."""

REFERENCE_RECIPE_STEPS = 25_000
"""Steps from which the reference recipe trains, a tenth of its own length. Source: a choice. After
200 steps it had predicted background alone, where the short recipe had a Dice of 0.75
(docs/pages/experiments.md); from 4000 to 250 000 steps the two were not compared."""


@dataclass(frozen=True)
class Rung:
    """A size of network, patch and batch.

    Attributes:
        features: Of the first stage, for networks that start at 32; others know only their compact
            variant, below 32, and their own width.
        voxels: Of a patch at most, and of a batch of more than two; None for the reference's patch
            and batch.
        fewest_steps: A training that gets fewer stays on a lower rung.
    """

    features: int
    voxels: int | None
    fewest_steps: int


COMPACT = Rung(COMPACT_BASE_FEATURES, 2**17, LEAST_STEPS)
"""What machines without accelerator get without a budget, for trainings of any length: two such
patches of the hippocampus take 0.16 seconds per step on 2 cores. It is on no rung: in a short time
small patches learn more, in a long one wide networks do."""

LADDER = (
    Rung(8, 2**15, LEAST_STEPS),
    Rung(COMPACT_BASE_FEATURES, 2**15, FEWEST_STEPS),
    Rung(BASE_FEATURES, 2**15, FEWEST_STEPS_TO_WIDEN),
    Rung(BASE_FEATURES, 2**16, FEWEST_STEPS_TO_ENLARGE[0]),
    Rung(BASE_FEATURES, 2**17, FEWEST_STEPS_TO_ENLARGE[1]),
    Rung(BASE_FEATURES, 2**18, FEWEST_STEPS_TO_ENLARGE[2]),
    Rung(BASE_FEATURES, 2**19, FEWEST_STEPS_TO_ENLARGE[3]),
    Rung(BASE_FEATURES, 2**20, FEWEST_STEPS_TO_ENLARGE[4]),
    Rung(BASE_FEATURES, None, FEWEST_STEPS_TO_ENLARGE[5]),
)
"""From the smallest up; no size on a rung is below that of the rung before."""


def narrowed(full: Architecture, features: int) -> Architecture:
    """Return a network at the width that a rung says.

    Args:
        full: The network at its own width.
        features: Of the first stage.
    """
    if features >= BASE_FEATURES:
        return full
    doubles = getattr(full, "features", None) == doubling_features(BASE_FEATURES, full.topology)
    if features == COMPACT_BASE_FEATURES or not doubles:
        return full.compact()
    return full.model_copy(update={"features": doubling_features(features, full.topology)})
