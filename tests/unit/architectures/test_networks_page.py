"""The page about networks says what is so."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from autoseg.architectures import ARCHITECTURES, Topology
from autoseg.architectures.attention_unet import AttentionUNet
from autoseg.architectures.trans_unet import TransUNet
from autoseg.architectures.unet_3d_2016 import UNet3D2016
from autoseg.architectures.unet_2015 import UNet2015
from autoseg.architectures.unet_plus_plus import UNetPlusPlus

PAGE = (Path(__file__).parents[3] / "docs" / "pages" / "networks.md").read_text(encoding="utf-8")


def test_every_network_has_a_line():
    assert set(re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \| [^|]+ \|$", PAGE, re.M)) == {
        *ARCHITECTURES
    }


@pytest.mark.parametrize(
    "config",
    [
        UNet2015.published(),
        UNet3D2016.published(),
        UNetPlusPlus.published(),
        AttentionUNet.published(),
        AttentionUNet.published(is_gated=False),
        TransUNet.published(),
    ],
    ids=[
        "unet_2015",
        "unet_3d_2016",
        "unet_plus_plus",
        "attention_unet",
        "without_gates",
        "trans_unet",
    ],
)
def test_the_stated_numbers_of_parameters_are_those_of_the_networks(config):
    with torch.device("meta"):
        network = config.build()
    count = sum(weights.numel() for weights in network.parameters())
    assert f"{count:,}".replace(",", " ") in PAGE


def test_the_example_of_a_new_network_works():
    example = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)[-1]
    names = {"__name__": "flat_network"}
    try:
        exec(compile(example, "networks.md", "exec"), names)
        topology = Topology(patch_shape=(6, 8), strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))
        config = ARCHITECTURES["flat_network"].for_topology(topology, in_channels=2, num_classes=3)
        outputs = []
        network = config.build()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda *entries: outputs.append(entries[2].numel()))
        assert network(torch.randn(1, 2, 6, 8)).logits.shape == (1, 3, 6, 8)
        assert config.activation_count() == sum(outputs)
    finally:
        ARCHITECTURES._classes.pop("flat_network", None)
