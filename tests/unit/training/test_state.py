import pytest
import torch
from typing_extensions import override

from autoseg.architectures import Topology
from autoseg.architectures.unet import UNet
from autoseg.documents.recipe import Recipe
from autoseg.training.state import initial_state

TOPOLOGY = Topology(patch_shape=(8, 8), strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))


class StartsAtHalf(UNet):
    """A network whose training starts from given weights."""

    @override
    def load_pretrained(self, network):
        for weights in network.parameters():
            torch.nn.init.constant_(weights, 0.5)


@pytest.mark.parametrize("average_decay", [0.0, 0.99])
def test_a_training_starts_from_what_the_architecture_loads(average_decay):
    config = StartsAtHalf.for_topology(TOPOLOGY, in_channels=1, num_classes=2)
    state = initial_state(
        config,
        Recipe(average_decay=average_decay),
        device=torch.device("cpu"),
        dtype=torch.float32,
        seed=0,
        epoch_steps=1,
    )
    assert (state.average is not None) == (average_decay > 0)
    assert all((weights == 0.5).all() for weights in state.network.parameters())
    assert all((weights == 0.5).all() for weights in state.result.parameters())


def test_a_built_network_starts_at_random():
    config = StartsAtHalf.for_topology(TOPOLOGY, in_channels=1, num_classes=2)
    first = next(config.build().parameters())
    assert not (first == 0.5).any()
