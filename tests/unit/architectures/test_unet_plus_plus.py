import pytest
import torch
from pydantic import ValidationError
from torch import nn

from autoseg.architectures import Topology
from autoseg.architectures.unet import UNet
from autoseg.architectures.unet_plus_plus import UNetPlusPlus


def halving(stages, axes=2):
    return Topology(
        patch_shape=(2 ** (stages - 1),) * axes,
        strides=((1,) * axes, *((2,) * axes,) * (stages - 1)),
        kernels=((3,) * axes,) * stages,
    )


def nested(topology, **changes):
    config = UNetPlusPlus.for_topology(topology, in_channels=1, num_classes=2)
    narrow = {"features": (4,) * len(topology.strides)}
    return UNetPlusPlus.model_validate({**config.model_dump(), **narrow, **changes})


def count(config):
    with torch.device("meta"):
        return sum(weights.numel() for weights in config.build().parameters())


def test_the_published_network_has_its_known_number_of_weights():
    assert count(UNetPlusPlus.published()) == 9_042_177


def test_each_further_head_of_the_published_network_is_one_convolution():
    supervised = UNetPlusPlus.published(deep_supervision=True)
    assert count(supervised) == 9_042_177 + 3 * 33


def test_the_four_heads_of_five_levels_score_at_full_resolution():
    output = nested(halving(5)).build()(torch.randn(1, 1, 32, 32))
    assert [scores.shape[2] for scores in (output.logits, *output.auxiliary)] == [32] * 4


def test_every_node_joins_all_nodes_of_its_level():
    network = nested(halving(4)).build()
    joined = {name: node.convolutions[0].in_channels for name, node in network.nodes.items()}
    assert joined == {
        **{f"level_{level}_column_1": 8 for level in range(3)},
        **{f"level_{level}_column_2": 12 for level in range(2)},
        "level_0_column_3": 16,
    }


def test_a_node_sees_maps_from_the_left_and_from_below_left():
    network = nested(halving(3), normalization="none").build().eval()
    seen = {}
    for name, node in network.nodes.items():
        node.register_forward_hook(
            lambda module, inputs, output, name=name: seen.update(
                {name: (tuple(inputs[0]), inputs[1], output)}
            )
        )
    network(torch.randn(1, 1, 8, 8))
    left, below, _ = seen["level_0_column_2"]
    assert len(left) == 2
    assert left[1] is seen["level_0_column_1"][2]
    assert below is seen["level_1_column_1"][2]


def test_the_accurate_prediction_is_the_mean_of_all_heads():
    network = nested(halving(4)).build()
    image = torch.randn(2, 1, 16, 16)
    output = network(image)
    scores = torch.stack((output.logits, *output.auxiliary))
    predicted = network.eval()(image)
    assert torch.allclose(predicted.logits, scores.mean(dim=0), atol=1e-6)
    assert predicted.auxiliary == ()


@pytest.mark.parametrize("column", [1, 2, 3])
def test_the_fast_prediction_is_one_head_without_what_lies_beyond(column):
    config = nested(halving(4))
    whole = config.build()
    pruned = config.model_copy(update={"pruned_to": column}).build()
    pruned.load_state_dict(whole.state_dict())
    image = torch.randn(1, 1, 16, 16)
    output = whole(image)
    deepest_first = (output.logits, *output.auxiliary)
    used = []
    for name, module in pruned.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(lambda *_, name=name: used.append(name))
    assert torch.allclose(pruned.eval()(image).logits, deepest_first[3 - column], atol=1e-6)
    assert not [name for name in used if name.startswith(f"encoder.{column + 1}")]
    assert not [name for name in used if f"column_{column + 1}" in name]
    assert [name for name in used if name.startswith("heads")] == [f"heads.{column - 1}"]


def test_pruning_does_not_change_training():
    network = nested(halving(4), pruned_to=1).build()
    assert len(network(torch.randn(1, 1, 16, 16)).auxiliary) == 2


def test_without_deep_supervision_the_last_column_alone_scores():
    network = nested(halving(4), deep_supervision=False).build()
    assert len(network.heads) == 1
    assert network(torch.randn(1, 1, 16, 16)).auxiliary == ()


def test_two_levels_are_a_u_net():
    topology = halving(2)
    plain = UNet.for_topology(topology, in_channels=1, num_classes=2)
    narrow = UNet.model_validate({**plain.model_dump(), "features": (4, 4)})
    assert count(nested(topology)) == count(narrow)


def test_a_single_level_works_without_a_decoder():
    topology = Topology(patch_shape=(5, 7), strides=((1, 1),), kernels=((3, 3),))
    assert nested(topology).build()(torch.randn(1, 1, 5, 7)).logits.shape == (1, 2, 5, 7)


@pytest.mark.parametrize(("column", "supervised"), [(4, True), (1, False)])
def test_pruning_to_a_column_without_scores_is_refused(column, supervised):
    with pytest.raises(ValidationError, match=f"pruned_to is {column}, but only"):
        nested(halving(4), pruned_to=column, deep_supervision=supervised)
