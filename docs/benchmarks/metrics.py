"""Time every metric on pairs of 256³ masks, on one core of this machine.

Run it with `python docs/benchmarks/metrics.py`. The masks are balls, rough blobs and a mesh, apart
by a few voxels; distances are found once per pair, so that the column "HD95" is what HD, HD95, ASSD
and NSD cost together. The last column is the same by a distance transform of each surface.
"""

from collections.abc import Callable

import numpy as np
from costs import timed
from scipy import ndimage

from autoseg.evaluation.class_scores import mask_scores
from autoseg.evaluation.comparison import surface

EDGE = 256
SPACING = (1.5, 0.8, 0.8)
ROUNDS = 3
"""Of what takes about a second; the others are timed once."""

COLUMNS = ("dice", "hd95_mm", "lesion_f1", "cldice")


def examples() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return pairs of masks by name."""
    random = np.random.default_rng(0)
    noise = random.normal(size=(EDGE,) * 3).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, 4)
    smooth /= smooth.std()
    centred = np.indices((EDGE,) * 3, dtype=np.float32) - EDGE / 2
    radius = np.sqrt((centred**2).sum(axis=0))
    ball, rough = radius < 110, radius + 6 * smooth < 110
    return {
        "ball, moved by 3 voxels": (ball, np.roll(ball, 3, axis=0)),
        "ball, 20 voxels too small": (radius < 90, ball),
        "rough ball, moved by 9": (rough, np.roll(rough, 9, axis=1)),
        "small ball in a far shell": (radius < 30, (radius > 120) & (radius < 125)),
        "mesh all over, moved by 2": (smooth > 0, np.roll(smooth, 2, axis=2) > 0),
    }


def seconds(action: Callable[[], object], rounds: int) -> float:
    """Return how long the processor works at best: other work on the machine only ever adds."""
    return min(timed(action).cpu_seconds for _ in range(rounds))


def by_transform(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return HD95 by a distance transform of each surface."""
    rims = surface(prediction), surface(reference)
    far = [ndimage.distance_transform_edt(~rim, sampling=SPACING) for rim in rims]
    return max(np.percentile(far[1][rims[0]], 95), np.percentile(far[0][rims[1]], 95))


def main() -> None:
    """Print one line per pair."""
    print(f"{'seconds':28}" + "".join(f"{name:>11}" for name in (*COLUMNS, "transform")))
    for name, masks in examples().items():
        spent = [
            seconds(
                lambda metric=metric, masks=masks: mask_scores(
                    *masks, spacing=SPACING, tolerance_mm=1.0, metrics=(metric,)
                ),
                rounds=1 if metric == "cldice" else ROUNDS,
            )
            for metric in COLUMNS
        ]
        spent.append(seconds(lambda masks=masks: by_transform(*masks), rounds=1))
        print(f"{name:28}" + "".join(f"{value:11.2f}" for value in spent), flush=True)


if __name__ == "__main__":
    main()
