"""A network whose weights are loaded from a file is built without random initialisation."""

import subprocess
import sys

import torch
from fakes import tiny_configuration
from torch import nn

from autoseg.models.networks import SkipInitialization, empty_network


def test_weights_are_not_filled_with_random_numbers():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with SkipInitialization():
        weights = torch.ones(3, 3)
        assert nn.init.kaiming_normal_(weights) is weights
        assert nn.init.uniform_(weights) is weights
        nn.Linear(3, 3)
    assert torch.equal(weights, torch.ones(3, 3))
    assert torch.equal(torch.get_rng_state(), state)


def test_everything_else_is_computed_as_ever():
    with SkipInitialization():
        found = nn.init.constant_(torch.empty(2), 3) + torch.add(torch.ones(2), 1, alpha=2)
    assert found.tolist() == [6, 6]


def test_an_empty_network_has_shapes_but_no_memory():
    architecture = tiny_configuration((8, 8, 8)).architecture
    expected = {name: tensor.shape for name, tensor in architecture.build().state_dict().items()}
    found = empty_network(architecture).state_dict()
    assert {name: tensor.shape for name, tensor in found.items()} == expected
    assert all(tensor.is_meta for tensor in found.values())


def test_building_an_empty_network_does_not_load_the_compiler():
    program = (
        "import sys; from autoseg.architectures import Topology; "
        "from autoseg.architectures.unet import UNet; "
        "from autoseg.models.networks import empty_network; "
        "t = Topology(patch_shape=(8, 8), strides=((1, 1), (2, 2)), kernels=((3, 3),) * 2); "
        "empty_network(UNet.for_topology(t, in_channels=1, num_classes=2)); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
