"""Time a step of every loss, and the distance maps of those that need some, on one core.

Run it with `python docs/benchmarks/losses.py`. A step is forward and backward on a batch of two
smooth label maps of three classes; the table shows the shortest of several.
"""

from collections.abc import Callable

import numpy as np
import torch
from costs import timed
from scipy import ndimage
from tables import head, line

from autoseg.losses import LOSSES
from autoseg.losses.distance_loss import DistanceLoss
from autoseg.losses.distances import LabelMasks

SHAPE = (40, 56, 40)
ROUNDS = 5


def label_maps() -> np.ndarray:
    """Return two patches with blobs of classes 1 and 2."""
    noise = np.random.default_rng(0).normal(size=(2, *SHAPE))
    smooth = ndimage.gaussian_filter(noise, (0, 4, 4, 4))
    return np.digitize(smooth, np.quantile(smooth, (0.85, 0.93)))


def shortest(work: Callable[[], object], rounds: int) -> float:
    """Return the milliseconds of the fastest of several rounds."""
    return 1000 * min(timed(work).seconds for _ in range(rounds))


def main() -> None:
    """Print one row per loss."""
    torch.set_num_threads(1)
    classes = label_maps()
    labels = torch.from_numpy(classes)
    scores = torch.randn(2, 3, *SHAPE, generator=torch.Generator().manual_seed(0))
    scores += 3 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1)
    masks = [
        LabelMasks(np.stack([patch == 1, patch == 2]), None, (1.0, 1.0, 1.0), are_regions=False)
        for patch in classes
    ]
    print(head("Loss", "Step, ms", "Maps, ms"))
    for kind in LOSSES:
        loss, given, measuring = LOSSES[kind](), {}, 0.0
        if isinstance(loss, DistanceLoss):
            maps = np.stack([loss.reference_maps(mask) for mask in masks])
            given = {"maps": torch.from_numpy(maps)}
            measuring = shortest(lambda: [loss.reference_maps(mask) for mask in masks], 1)  # noqa: B023

        def step() -> None:
            logits = scores.clone().requires_grad_()
            loss(logits, labels, **given).backward()  # noqa: B023

        print(line(f"`{kind}`", f"{shortest(step, ROUNDS):.1f}", f"{measuring:.0f}"))


if __name__ == "__main__":
    main()
