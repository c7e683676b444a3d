import pytest
import torch

from autoseg.architectures import Topology
from autoseg.architectures.attention import MultiHeadAttention
from autoseg.architectures.unet import UNet
from autoseg.architectures.unet_transformer import CrossAttention, SelfAttention, UNetTransformer

ANISOTROPIC = Topology(
    patch_shape=(4, 16, 24),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2)),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
)


def square(edge, stages):
    return Topology(
        patch_shape=(edge, edge),
        strides=((1, 1), *((2, 2),) * (stages - 1)),
        kernels=((3, 3),) * stages,
    )


def config_of(topology, **changes):
    config = UNetTransformer.for_topology(topology, in_channels=1, num_classes=2)
    return config.model_copy(update=changes)


def cross_attention(stride=(2, 2), reduction=(1, 1), below=6, width=4):
    torch.manual_seed(0)
    attention = MultiHeadAttention((below, width), heads=2, head_features=8)
    return CrossAttention((below, width), attention, stride=stride, reduction=reduction)


def test_without_attention_it_is_the_plain_u_net():
    here, plain = (
        network.for_topology(ANISOTROPIC, in_channels=2, num_classes=3).build()
        for network in (UNetTransformer, UNet)
    )
    shapes = {
        name.replace("convolutions.convolutions", "convolutions").replace("convolutions.up", "up")
        for name, _ in here.named_parameters()
        if "attention" not in name and not name.startswith(f"encoder.{len(here.encoder) - 1}.6")
    }
    assert shapes == {name for name, _ in plain.named_parameters()}


@pytest.mark.parametrize(
    ("topology", "most_tokens", "expected"),
    [
        (square(512, 8), 4096, [3, 3, 3, 4, 5, 6, 7]),
        (square(256, 6), 4096, [2, 2, 3, 4, 5]),
        (square(64, 4), 4096, [1, 2, 3]),
        (square(64, 4), 1, [3, 3, 3]),
    ],
)
def test_attention_works_below_the_skip_connection_on_few_voxels(topology, most_tokens, expected):
    config = config_of(topology, most_tokens=most_tokens)
    stages = range(len(topology.strides) - 1)
    assert [config.attended_stage(stage) for stage in stages] == expected


def test_the_mask_has_the_grid_that_was_planned():
    config = config_of(ANISOTROPIC, most_tokens=20)
    network = config.build()
    masks = []
    for stage in network.decoder:
        stage.attention.mask_norm.register_forward_hook(
            lambda module, inputs, output: masks.append(tuple(output.shape[2:]))
        )
    network(torch.randn(1, 1, 4, 16, 24))
    assert masks == [(1, 2, 3)] * 3


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_masks_lie_between_0_and_1(scale):
    module = cross_attention(stride=(1, 2, 2), reduction=(2, 1, 1))
    below, skip = scale * torch.randn(2, 6, 4, 4, 4), scale * torch.randn(2, 4, 4, 8, 8)
    mask = module.mask(below, skip)
    assert mask.shape == (2, 4, 2, 4, 4)
    assert (mask >= 0).all()
    assert (mask <= 1).all()
    assert mask.std() > 0.1
    assert (module(below, skip).abs() <= skip.abs()).all()


def test_a_closed_mask_lets_nothing_through():
    module = cross_attention()
    torch.nn.init.constant_(module.mask_norm.bias, -1e4)
    assert not module(torch.randn(1, 6, 4, 4), torch.randn(1, 4, 8, 8)).any()


def test_positions_do_not_end_up_in_what_is_let_through():
    """An open mask gives the skip connection as it came."""
    module = cross_attention()
    torch.nn.init.constant_(module.mask_norm.bias, 1e4)
    skip = torch.randn(1, 4, 8, 8)
    assert torch.equal(module(torch.randn(1, 6, 4, 4), skip), skip)


def test_a_voxel_at_one_end_matters_at_the_other():
    torch.manual_seed(0)
    module = SelfAttention(8, MultiHeadAttention((8, 8), heads=2, head_features=8))
    maps = torch.randn(1, 8, 9, 9)
    changed = maps.clone()
    changed[0, :, 0, 0] = torch.randn(8)
    difference = (module(changed) - module(maps)).abs().sum(dim=1)
    assert (difference > 0).all()


def test_self_attention_knows_where_a_voxel_is():
    torch.manual_seed(0)
    module = SelfAttention(8, MultiHeadAttention((8, 8), heads=2, head_features=8))
    maps = torch.randn(1, 8, 3, 3)
    turned = module(maps.flip(2, 3)).flip(2, 3)
    assert not torch.allclose(turned, module(maps), atol=1e-3)


def test_wider_stages_have_more_heads():
    network = config_of(square(64, 4)).build()
    assert [stage.attention.attention.heads for stage in network.decoder] == [1, 2, 4]
    assert network.encoder[-1][-1].attention.heads == 8


@pytest.mark.parametrize("features", [(5, 40, 70), (32, 64, 96)])
def test_any_number_of_features_works(features):
    network = config_of(square(16, 3), features=features).build()
    assert network(torch.randn(1, 1, 16, 16)).logits.shape == (1, 2, 16, 16)


def test_one_stage_has_self_attention_alone():
    network = config_of(square(4, 1)).build()
    assert network(torch.randn(1, 1, 4, 4)).logits.shape == (1, 2, 4, 4)
    assert len(network.decoder) == 0
