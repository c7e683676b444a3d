import numpy as np
import pytest

from autoseg.benchmarking.predicting import (
    CONFIDENT,
    affordable_shape,
    confident_logits,
    num_tiles,
)
from autoseg.core.case import InverseTransform, PreparedImage
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.sliding_window import predict_slabs


@pytest.mark.parametrize(
    ("shape", "patch", "tiles"),
    [
        ((8, 8, 8), (8, 8, 8), 1),
        ((4, 4, 4), (8, 8, 8), 1),  # padded to one tile
        ((16, 8, 8), (8, 8, 8), 3),  # half a patch apart
        ((10, 8, 8), (8, 8), 10),  # plane by plane
        ((10, 16, 8), (8, 8), 30),
        ((16, 16), (8, 8), 9),
    ],
)
def test_tiles_are_counted_as_the_sliding_window_lays_them(shape, patch, tiles):
    assert num_tiles(shape, patch) == tiles


def test_the_count_is_that_of_the_sliding_window_itself():
    import torch

    seen = []

    class Counting(torch.nn.Module):
        def forward(self, tiles):
            seen.append(len(tiles))
            return type("Output", (), {"logits": torch.zeros(len(tiles), 2, *tiles.shape[2:])})

    shape, patch = (9, 20, 13), (8, 8, 8)
    ensemble = Ensemble(
        networks=(Counting(),),
        device=torch.device("cpu"),
        dtype=torch.float32,
        patch_shape=patch,
        num_classes=2,
    )
    way = InverseTransform.uncropped(shape, (1.0,) * 3)
    image = PreparedImage(np.zeros((1, *shape), np.float32), way)
    list(predict_slabs(ensemble, image, tiles_per_batch=2))
    assert sum(seen) == num_tiles(shape, patch)


def test_an_image_is_cut_to_what_time_allows_but_not_below_a_tile():
    assert affordable_shape((64, 64, 64), (8, 8, 8), 10**6) == (64, 64, 64)
    cut = affordable_shape((64, 64, 64), (8, 8, 8), 30)
    assert num_tiles(cut, (8, 8, 8)) <= 30
    assert affordable_shape((64, 64, 64), (8, 8, 8), 1) == (8, 8, 8)
    assert affordable_shape((64, 16, 16), (16, 16), 1) == (1, 16, 16)


def test_confident_logits_are_highest_where_the_class_is():
    classes = np.array([[0, 1], [2, 1]], np.uint8)
    logits = confident_logits(classes, 3)
    assert logits.shape == (3, 1, 2, 2)
    assert (logits.argmax(axis=0)[0] == classes).all()
    assert logits.max() == CONFIDENT


def test_regions_have_no_background():
    classes = np.array([[0, 1], [2, 1]], np.uint8)
    logits = confident_logits(classes, 2, first=1)
    assert ((logits[0] > 0)[0] == (classes == 1)).all()
    assert ((logits[1] > 0)[0] == (classes == 2)).all()
