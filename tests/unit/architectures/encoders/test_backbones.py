"""Backbones are the networks of the papers: layer by layer, and as feature pyramids."""

from itertools import takewhile

import pytest
import torch
from extras import NEED_TIMM, encoder_names

from autoseg.architectures.encoder_size import encoder_size
from autoseg.architectures.encoders import backbones
from autoseg.architectures.encoders.base import Encoder
from autoseg.architectures.encoders.lenet import PartiallyConnected

BOTH_HAVE = [
    name
    for name in backbones()
    if name.startswith(("vgg", "resne", "dense", "efficient")) or name == "mobilenetv1_100"
]
"""Names that timm has, too."""

SPATIAL_EDGE = 224


def layers(name, channels=3):
    with torch.device("meta"):
        return {layer.name: layer.module for layer in backbones()[name](channels)}


def num_parameters(module):
    return sum(weights.numel() for weights in module.parameters())


@pytest.mark.parametrize("name", encoder_names())
def test_maps_have_the_declared_strides_and_each_halves_the_previous_one(name):
    declared = []
    with torch.device("meta"):
        for layer in backbones()[name](2):
            if layer.stride not in declared:
                declared.append(layer.stride)
        encoder = Encoder(backbones()[name](2))
        maps = encoder(torch.zeros(1, 2, 64, 96))
    assert [(64 // stride, 96 // stride) for stride in declared] == [
        tuple(entry.shape[2:]) for entry in maps
    ]
    assert declared == [declared[0] * 2**level for level in range(len(declared))]


@pytest.mark.parametrize("name", encoder_names())
def test_layers_below_the_coarsest_map_are_not_created(name):
    created = []

    def noted():
        for layer in backbones()[name](1):
            created.append(layer.stride)
            yield layer

    with torch.device("meta"):
        Encoder(takewhile(lambda layer: layer.stride <= 4, noted()))
    assert sum(stride > 4 for stride in created) <= 1


def test_lenet_has_the_parameters_of_the_paper_layer_by_layer():
    counts = {name: num_parameters(module) for name, module in layers("lenet5", 1).items()}
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120}


def test_a_map_of_lenets_third_layer_depends_on_the_maps_of_the_paper_alone():
    module = PartiallyConnected()
    maps = torch.randn(1, 6, 5, 5, requires_grad=True)
    received = []
    for output in module(maps)[0]:
        (gradient,) = torch.autograd.grad(output.sum(), maps, retain_graph=True)
        received.append("".join(str(index) for index in range(6) if gradient[0, index].any()))
    assert received == [
        *("012", "123", "234", "345", "045", "015"),
        *("0123", "1234", "2345", "0345", "0145", "0125", "0134", "1245", "0235", "012345"),
    ]


def test_inception_modules_have_as_many_weights_as_in_the_paper():
    # "params" of table 1, K = 1024; the paper leaves the biases out
    published = {"3a": 159, "3b": 380, "4a": 364, "4b": 437, "4c": 463, "4d": 580, "4e": 840}
    published |= {"5a": 1072, "5b": 1388}
    found = layers("googlenet")
    for name, kilo in published.items():
        weights = [values for values in found[f"inception_{name}"].parameters() if values.ndim == 4]
        # the numbers of table 1 differ by up to 7 % from those of its own widths
        assert sum(values.numel() for values in weights) / 1024 == pytest.approx(kilo, rel=0.08)


@pytest.mark.parametrize(
    ("groups", "published"), [(1, 143), (2, 140), (3, 137), (4, 133), (8, 137)]
)
def test_shufflenet_multiplies_as_often_as_in_the_paper(groups, published):
    # table 1, in millions, with the classifier
    size = encoder_size(f"shufflenetv1_100_g{groups}", 3, 32)
    count = size.multiplications * SPATIAL_EDGE**2 + 1000 * size.channels[-1]
    assert count / 1e6 == pytest.approx(published, rel=0.02)


def test_residual_blocks_start_as_the_identity():
    network = Encoder(backbones()["resnet18"](1))
    block = network.get_submodule("layer1.0")
    maps = torch.rand(2, 64, 8, 8)
    torch.testing.assert_close(block(maps), maps)


@NEED_TIMM
@pytest.mark.parametrize("name", BOTH_HAVE)
def test_a_name_that_timm_has_means_the_same_parameters(name):
    import timm

    with torch.device("meta"):
        theirs = timm.create_model(name, features_only=True).state_dict()
        ours = Encoder(backbones()[name](3)).state_dict()
    assert [(key, values.shape) for key, values in ours.items()] == [
        (key, values.shape) for key, values in theirs.items()
    ]


@NEED_TIMM
def test_all_names_that_timm_has_are_compared():
    import timm

    assert sorted(BOTH_HAVE) == sorted(name for name in backbones() if timm.is_model(name))


@NEED_TIMM
@pytest.mark.parametrize(
    "name",
    [
        *("vgg11_bn", "resnet18", "resnext50_32x4d", "densenet121"),
        *("mobilenetv1_100", "efficientnet_b0"),
    ],
)
def test_a_name_that_timm_has_means_the_same_maps(name):
    import timm

    theirs, ours = timm.create_model(name, features_only=True), Encoder(backbones()[name](3))
    for values in theirs.parameters():
        torch.nn.init.normal_(values, std=0.1)
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(image), theirs(image))
