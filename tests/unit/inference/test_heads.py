"""A network split before its last layer computes the same logits with less memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import prepared, tiny_configuration
from torch import nn

from autoseg.architectures import NetworkOutput
from autoseg.architectures.attention_unet import AttentionUNet
from autoseg.architectures.unet import UNet
from autoseg.architectures.unet_2015 import UNet2015
from autoseg.inference.ensemble import Ensemble, build_ensemble
from autoseg.inference.heads import split_head
from autoseg.inference.sliding_window import predict_slabs
from autoseg.inference.tta_consistency import TtaConsistency

NUM_CLASSES = 11


def crowded(kind=UNet, patch=(8, 8, 8), *, num_classes=NUM_CLASSES):
    """Return a configuration of more classes than features."""
    configuration = tiny_configuration(patch)
    network = kind.for_topology(configuration.topology, in_channels=1, num_classes=num_classes)
    if kind is UNet:
        network = network.model_copy(update={"features": (4, 6)})
    return configuration.model_copy(update={"architecture": network})


def networks_of(configuration, count=1):
    torch.manual_seed(0)
    return tuple(configuration.architecture.build().eval() for _ in range(count))


def whole_and_parts(configuration, count=1, **settings):
    """Return an ensemble of whole networks, and one of the same networks, split."""
    networks = networks_of(configuration, count)
    ensemble = build_ensemble(
        networks, configuration, device=torch.device("cpu"), dtype=torch.float32
    )
    ensemble = replace(ensemble, **settings)
    return replace(ensemble, split_networks=()), ensemble


@pytest.mark.parametrize("patch", [(8, 8, 8), (8, 8)])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("mirror_axes", [(), (0, 1)])
def test_a_divided_ensemble_says_what_the_whole_networks_say(patch, count, mirror_axes):
    whole, parts = whole_and_parts(crowded(patch=patch), count, mirror_axes=mirror_axes)
    assert (whole.num_channels, parts.num_channels) == (NUM_CLASSES, 4 * count)
    tiles = torch.randn(3, 1, *patch)
    assert parts.mean_outputs(tiles).shape == (3, 4 * count, *patch)
    found, expected = (each.scores(each.mean_outputs(tiles)) for each in (parts, whole))
    torch.testing.assert_close(found, expected)


def test_slabs_of_a_divided_ensemble_are_those_of_the_whole_networks():
    whole, parts = whole_and_parts(crowded())
    found, expected = (
        np.concatenate(
            [
                slab.logits
                for slab in predict_slabs(
                    entry, prepared((19, 13, 10), num_channels=1), tiles_per_batch=2
                )
            ],
            axis=1,
        )
        for entry in (parts, whole)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=0), expected.argmax(axis=0))


def test_the_agreement_of_a_divided_network_is_that_of_the_whole_one(monkeypatch):
    monkeypatch.setattr("autoseg.inference.heads.CHUNK_BYTES", 4 * NUM_CLASSES * 100)
    agreements = []
    for ensemble in whole_and_parts(crowded(), mirror_axes=(0, 2)):
        agreement = TtaConsistency(NUM_CLASSES, is_regional=False)
        tiles = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1))
        replace(ensemble, tta_consistency=agreement).mean_outputs(tiles)
        agreements.append(agreement.dice())
    assert agreements[0] == agreements[1]
    assert any(value not in (None, 1.0) for value in agreements[0])


def test_the_agreement_over_regions_is_that_of_the_whole_network():
    agreements = []
    for ensemble in whole_and_parts(crowded(), mirror_axes=(0,)):
        agreement = TtaConsistency(NUM_CLASSES, is_regional=True)
        tiles = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1))
        replace(ensemble, tta_consistency=agreement).mean_outputs(tiles)
        agreements.append(agreement.dice())
    assert agreements[0] == pytest.approx(agreements[1])


def test_a_network_with_no_fewer_features_than_classes_stays_whole():
    configuration = crowded(num_classes=4)
    assert split_head(networks_of(configuration), configuration.architecture) == ()
    configuration = crowded(num_classes=9)
    assert len(split_head(networks_of(configuration, 2), configuration.architecture)) == 2
    assert split_head(networks_of(configuration, 3), configuration.architecture) == ()


def test_models_of_nnunet_stay_whole():
    configuration = crowded().model_copy(update={"blending": "nnunet"})
    whole = build_ensemble(
        networks_of(configuration), configuration, device=torch.device("cpu"), dtype=torch.float32
    )
    assert whole.split_networks == ()


def test_networks_whose_scores_are_made_of_scores_stay_whole():
    configuration = crowded(AttentionUNet)
    assert split_head(networks_of(configuration), configuration.architecture) == ()


def test_a_network_that_trims_its_scores_is_divided_only_if_they_are_its_heads():
    configuration = crowded(UNet2015, num_classes=100)
    (network,) = networks_of(configuration)
    parts = split_head((network,), configuration.architecture)
    tile = torch.randn(1, 1, *configuration.architecture.input_shape)
    with torch.inference_mode():
        expected = network(tile).logits
        for part in parts:
            torch.testing.assert_close(part.scores(part.trunk(tile).logits), expected)


class Reworked(nn.Module):
    """Modifies the output of its head."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList([nn.Conv3d(1, NUM_CLASSES, 1)])

    def forward(self, images):
        return NetworkOutput(2 * self.heads[0](images))


def test_a_network_that_reworks_what_its_head_returns_stays_whole():
    assert split_head((Reworked().eval(),), crowded().architecture) == ()


def test_dividing_leaves_the_network_as_it_was_and_copies_no_weights():
    configuration = crowded()
    (network,) = networks_of(configuration)
    tile = torch.randn(1, 1, 8, 8, 8)
    with torch.inference_mode():
        before = network(tile).logits
        (part,) = split_head((network,), configuration.architecture)
        torch.testing.assert_close(network(tile).logits, before, rtol=0, atol=0)
    own = {id(tensor) for tensor in network.parameters()}
    assert {id(tensor) for tensor in part.trunk.parameters()} < own


def test_an_ensemble_needs_a_network():
    empty = Ensemble((), torch.device("cpu"), torch.float32, (8, 8), 3)
    with pytest.raises(ValueError, match="at least one network"):
        empty.mean_outputs(torch.zeros(1, 1, 8, 8))
