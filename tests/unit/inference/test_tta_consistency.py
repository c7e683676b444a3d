"""TTA consistency is the overlap of predictions for mirrored inputs."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from autoseg.inference.ensemble import Ensemble
from autoseg.inference.tta_consistency import TtaConsistency


def logits(*outputs: int, num_classes: int = 3) -> torch.Tensor:
    """Return the logits of one tile with a single row of pixels of the given classes."""
    return 9.0 * nn.functional.one_hot(torch.tensor(outputs), num_classes).T[None, :, None].float()


def test_the_agreement_of_a_class_is_the_dice_of_each_flip_with_the_mean():
    agreement = TtaConsistency(3, is_regional=False)
    flips = [
        agreement.hard_predictions(logits(0, 1, 1, 1)),
        agreement.hard_predictions(logits(0, 0, 1, 1)),
    ]
    agreement.add(agreement.count_overlap(flips, agreement.hard_predictions(logits(0, 1, 1, 1))))
    assert agreement.dice() == (pytest.approx(2 * 5 / 11), None)


def test_tiles_add_up():
    agreement = TtaConsistency(3, is_regional=False)
    for row in ((1, 1, 0, 0), (2, 2, 2, 0)):
        answer = agreement.hard_predictions(logits(*row))
        agreement.add(agreement.count_overlap([answer, answer], answer))
    assert agreement.dice() == (1.0, 1.0)


def test_regions_may_overlap():
    agreement = TtaConsistency(2, is_regional=True)
    both = torch.tensor([[[[1.0, 1.0, -1.0]], [[1.0, -1.0, -1.0]]]])
    other = torch.tensor([[[[1.0, -1.0, -1.0]], [[1.0, -1.0, -1.0]]]])
    flips = [agreement.hard_predictions(both), agreement.hard_predictions(other)]
    agreement.add(agreement.count_overlap(flips, agreement.hard_predictions(both)))
    assert agreement.dice() == (pytest.approx(2 * 3 / 7), 1.0)


class Brightness(nn.Module):
    """Predicts class 1 for bright pixels, optionally with a bias along the last axis."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, image: torch.Tensor) -> SimpleNamespace:
        ramp = torch.linspace(-self.slope, self.slope, image.shape[-1])
        score = image[:, 0] + ramp
        return SimpleNamespace(logits=torch.stack([-score, score], dim=1))


def measured(*slopes: float, mirror_axes: tuple[int, ...] = (1,)) -> tuple[float | None, ...]:
    agreement = TtaConsistency(2, is_regional=False)
    ensemble = Ensemble(
        networks=tuple(Brightness(slope) for slope in slopes),
        device=torch.device("cpu"),
        dtype=torch.float32,
        patch_shape=(4, 8),
        num_classes=2,
        mirror_axes=mirror_axes,
    )
    tiles = torch.randn(2, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    watched = replace(ensemble, tta_consistency=agreement).mean_outputs(tiles)
    torch.testing.assert_close(watched, ensemble.mean_outputs(tiles), rtol=0, atol=0)
    return agreement.dice()


def test_a_network_that_treats_both_sides_alike_agrees_with_itself():
    assert measured(0.0) == (1.0,)


def test_a_network_that_does_not_agrees_less_the_more_it_depends_on_the_side():
    (little,), (much,) = measured(0.2), measured(2.0)
    assert 1 > little > much


def test_networks_are_measured_one_by_one_not_against_each_other():
    """Networks that differ but are each consistent have the same TTA consistency as one."""
    (one,), (both,) = measured(0.5), measured(0.5, 0.5)
    assert both == pytest.approx(one)


def test_without_mirroring_there_is_no_agreement_to_speak_of():
    assert measured(2.0, mirror_axes=()) == (None,)


def test_every_network_counts_in_the_agreement() -> None:
    (sure,), (unsure,), (both,) = measured(0.2), measured(2.0), measured(0.2, 2.0)
    assert unsure < both < sure
    assert measured(2.0, 0.2) == (pytest.approx(both),)
