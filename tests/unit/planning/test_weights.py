import numpy as np
import pytest

from autoseg.losses import LOSSES
from autoseg.planning import weights as module
from autoseg.planning.weights import class_weights, frequency_weights, loss_weights

DICE_CE, CROSS_ENTROPY = LOSSES["dice_ce"], LOSSES["weighted_cross_entropy"]
RARE = (0.74, 0.2, 0.05, 0.01, 0.0005)


def test_a_rare_class_weighs_the_square_root_of_its_rarity():
    assert class_weights((0.9, 0.04, 0.04, 0.01)) == (1.0, 1.0, 1.0, 2.0)


def test_weights_are_bounded():
    assert class_weights((0.5, 0.4, 1e-2, 1e-9)) == (1.0, 0.5, 1.0, 3.0)


def test_equally_frequent_classes_need_no_weights():
    assert class_weights((0.8, 0.1, 0.1)) is None
    assert frequency_weights((0.8, 0.1, 0.1), 0.5) is None


def test_a_class_that_never_occurs_weighs_one():
    expected = pytest.approx((1.0, 0.791, 1.581, 1.0), abs=1e-3)
    assert class_weights((0.9, 0.08, 0.02, 0.0)) == expected
    assert frequency_weights((0.9, 0.0, 0.08, 0.02), 0.5) == pytest.approx(
        (1.0, 1.0, 2 / 3, 4 / 3), abs=1e-3
    )


@pytest.mark.parametrize("power", [0.1, 0.25, 0.5, 1.0])
def test_weights_by_frequency_have_a_mean_of_one_within_their_bounds(power):
    background, *weights = frequency_weights(RARE, power)
    assert background == 1.0
    assert np.mean(weights) == pytest.approx(1.0, abs=1e-3)
    assert sorted(weights) == weights
    assert 0.5 <= weights[0] < weights[-1] <= 3.0


def test_without_reaching_a_bound_weights_are_powers_of_the_inverse_frequency():
    _, first, second = frequency_weights((0.5, 0.16, 0.01), 0.25)
    assert second / first == pytest.approx(2.0, abs=2e-3)


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_a_power_of_zero_and_a_single_class_need_no_weights(power):
    assert frequency_weights(RARE if power == 0 else (0.99, 0.01), power) is None


@pytest.mark.parametrize("frequencies", [(0.99, 0.01), (1.0, 0.0, 0.0)])
@pytest.mark.parametrize("loss", [DICE_CE, CROSS_ENTROPY])
@pytest.mark.parametrize("weighting", ["planned", "frequency"])
def test_a_dataset_with_less_than_two_classes_gets_no_weights(frequencies, loss, weighting):
    choice = loss_weights(frequencies, loss, weighting)
    assert choice.value is None
    assert "fewer than two foreground classes" in choice.reason


@pytest.mark.parametrize("weighting", ["planned", "frequency"])
def test_regions_overlap_and_get_no_weights(weighting):
    choice = loss_weights((0.9, 0.09, 0.01), CROSS_ENTROPY, weighting, has_regions=True)
    assert choice.value is None
    assert "overlap" in choice.reason


def test_classes_of_similar_frequency_are_planned_with_equal_weights_and_the_evidence():
    choice = loss_weights((0.8, 0.1, 0.002), DICE_CE)
    assert choice.value is None
    assert "0.2 % to 10 % of all voxels, median 5.1 %, a ratio of 50" in choice.reason
    assert "are used from a ratio of 100: " in choice.reason
    assert choice.reason.endswith(module.EVIDENCE)


def test_a_large_imbalance_is_planned_with_weights_by_frequency():
    choice = loss_weights(RARE, DICE_CE)
    assert choice.value == frequency_weights(RARE, module.POWER)
    assert "0.05 % to 20 % of all voxels, median 3 %, a ratio of 400" in choice.reason
    assert loss_weights(RARE, DICE_CE, "equal").value is None


def test_requested_weights_replace_the_rule():
    assert loss_weights(RARE, DICE_CE, "frequency").value == frequency_weights(RARE, module.POWER)
    assert loss_weights(RARE, CROSS_ENTROPY).value == class_weights(RARE)
    assert loss_weights(RARE, CROSS_ENTROPY, "equal").value is None
    assert "requested" in loss_weights(RARE, DICE_CE, "frequency").reason


def test_a_loss_without_class_weights_is_not_planned_with_any():
    choice = loss_weights(RARE, LOSSES["dice"])
    assert choice.value is None
    assert choice.reason == "this loss has no class weights"
