import numpy as np
import pytest
import torch
from voxel_cases import voxel_case

from autoseg.losses import build
from autoseg.losses.region_mutual_information import RegionMutualInformation, neighbourhoods


def windows(values: np.ndarray) -> np.ndarray:
    """Return the 3 × 3 neighbourhoods of an image after averaging 3 × 3 blocks, centred."""
    height, width = (size // 3 for size in values.shape)
    small = values[: 3 * height, : 3 * width].reshape(height, 3, width, 3).mean(axis=(1, 3))
    columns = [
        small[y : y + 3, x : x + 3].ravel() for y in range(height - 2) for x in range(width - 2)
    ]
    found = np.array(columns).T
    return found - found.mean(axis=1, keepdims=True)


def test_it_is_half_the_log_determinant_of_the_conditional_covariance() -> None:
    case = voxel_case(20, 24)
    expected = 0.0
    for p, y in zip(case.softmax, case.one_hot, strict=True):
        for channel in range(3):
            predicted, true = windows(p[channel]), windows(y[channel])
            inverse = np.linalg.inv(predicted @ predicted.T + 5e-4 * np.eye(9))
            crossed = true @ predicted.T
            conditional = true @ true.T - crossed @ inverse @ crossed.T
            expected += 0.5 * np.linalg.slogdet(conditional + 5e-4 * np.eye(9))[1] / 9 / 2
    found = build("region_mutual_information", cross_entropy_weight=0.0)(case.logits, case.labels)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_neighbourhoods_are_cubes_in_volumes_and_smaller_in_small_patches() -> None:
    config = RegionMutualInformation()
    assert neighbourhoods(torch.rand(1, 2, 18, 18, 18), config).shape == (1, 2, 27, 64)
    assert neighbourhoods(torch.rand(1, 2, 2, 18, 18), config).shape == (1, 2, 18, 16)
    assert neighbourhoods(torch.rand(1, 2, 1, 1), config).shape == (1, 2, 1, 1)


def test_a_prediction_that_tells_the_neighbourhoods_costs_less() -> None:
    case = voxel_case(20, 24)
    loss = build("region_mutual_information", cross_entropy_weight=0.0)
    told = case.logits + 2 * torch.from_numpy(case.one_hot).float()
    assert loss(told, case.labels) < loss(case.logits, case.labels)


def test_information_joins_cross_entropy_during_the_warm_up() -> None:
    loss = RegionMutualInformation(warm_up=0.4)
    weights = [loss.at(progress).information_weight for progress in (0.0, 0.1, 0.4, 1.0)]
    assert weights == pytest.approx([0.0, 0.125, 0.5, 0.5])
    assert RegionMutualInformation(warm_up=0.0).at(0.0).information_weight == 0.5
    case = voxel_case(20, 24)
    started = loss.at(0.0)(case.logits, case.labels)
    entropy = build("cross_entropy")(case.logits, case.labels)
    assert float(started) == pytest.approx(0.5 * float(entropy))
