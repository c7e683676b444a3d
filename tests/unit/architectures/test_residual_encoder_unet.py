import pytest
import torch
from pydantic import ValidationError
from torch import nn

from autoseg.architectures import Topology
from autoseg.architectures.residual_encoder_unet import ResidualBlock, ResidualEncoderUNet


def halving(patch, stages):
    axes = len(patch)
    return Topology(
        patch_shape=patch,
        strides=((1,) * axes, *((2,) * axes,) * (stages - 1)),
        kernels=((3,) * axes,) * stages,
    )


TYPICAL = halving((128, 128, 128), 6)
"""The topology of an isotropic volume that is larger than its patch."""


def full(topology, **changes):
    config = ResidualEncoderUNet.for_topology(topology, in_channels=1, num_classes=3)
    return ResidualEncoderUNet.model_validate({**config.model_dump(), **changes})


def small(topology, features=4):
    stages = len(topology.strides)
    widths = features if isinstance(features, tuple) else (features,) * stages
    return full(topology, features=widths, encoder_blocks=(2,) * stages)


def test_the_deeper_a_stage_the_more_blocks_up_to_six():
    config = full(halving((128, 128), 7))
    assert config.encoder_blocks == (1, 3, 4, 6, 6, 6, 6)
    assert config.decoder_convolutions == (1,) * 6
    assert config.features == (32, 64, 128, 256, 512, 512, 512)


def test_a_typical_network_has_the_published_number_of_weights():
    # Published: 102.4 million (nnU-Net's documentation of its presets, ResEnc L).
    with torch.device("meta"):
        network = full(TYPICAL).build()
    assert sum(weights.numel() for weights in network.parameters()) == 102_349_612


@pytest.mark.parametrize(
    ("topology", "stated", "coarser_heads"),
    [
        (TYPICAL, 558_319_104, 64**3 + 32**3 + 16**3 + 8**3),
        (halving((512, 512), 7), 129_793_792, 256**2 + 128**2 + 64**2 + 32**2 + 16**2),
    ],
    ids=["three_axes", "two_axes"],
)
def test_activations_are_those_that_the_presets_were_measured_in(topology, stated, coarser_heads):
    # nnU-Net 2.8.1 states them with the heads of deep supervision, which its planner leaves out.
    assert full(topology).activation_count() == stated - 3 * coarser_heads


def test_a_pooled_skip_counts_although_no_convolution_makes_it():
    topology = halving((8, 8), 2)
    wide, same = small(topology, features=(4, 6)), small(topology)
    assert same.activation_count() == (4 + 4 * 4 + 2 * 4 + 3) * 64 + (4 * 4 + 4) * 16
    assert wide.activation_count() - same.activation_count() == 5 * 2 * 16


def test_a_block_keeps_its_input_as_it_is_where_nothing_changes():
    assert len(ResidualBlock((4, 4), kernel=(3, 3), stride=(1, 1)).skip) == 0


def test_a_skip_averages_before_it_widens():
    layers = ResidualBlock((4, 6), kernel=(1, 3, 3), stride=(1, 2, 2)).skip
    assert [type(layer).__name__ for layer in layers] == ["AvgPool3d", "Conv3d", "InstanceNorm"]
    assert layers[0].stride == (1, 2, 2)
    assert layers[1].kernel_size == (1, 1, 1)
    assert layers[1].bias is None


def test_a_skip_of_the_same_width_only_averages():
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    skip = ResidualBlock((1, 1), kernel=(3, 3), stride=(2, 2)).skip
    assert skip(maps).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_a_block_adds_before_it_rectifies():
    block = ResidualBlock((2, 2), kernel=(3, 3), stride=(1, 1))
    maps = torch.randn(1, 2, 4, 4)
    expected = nn.functional.leaky_relu(maps + block.norm(block.second(block.first(maps))), 0.01)
    assert torch.equal(block(maps), expected)


def test_every_block_of_a_new_network_is_its_skip_alone():
    network = small(halving((16, 16), 3)).build()
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    assert len(blocks) == 6
    maps = torch.randn(1, 4, 8, 8)
    for block in blocks:
        assert torch.equal(block(maps), nn.functional.leaky_relu(block.skip(maps), 0.01))


def test_the_first_stage_has_a_stem_before_its_blocks():
    first = small(halving((8, 8), 2)).build().encoder[0]
    assert first[0][0].in_channels == 1
    assert first[0][0].out_channels == 4
    assert len(first[1]) == 2


@pytest.mark.parametrize("axes", [2, 3])
def test_a_bottleneck_of_one_voxel_trains(axes):
    topology = halving((8,) * axes, 4)
    network = small(topology).build()
    network(torch.randn(1, 1, *topology.patch_shape)).logits.square().mean().backward()
    gradients = [parameter.grad for parameter in network.encoder[-1].parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_a_single_stage_works_without_a_decoder():
    topology = Topology(patch_shape=(5, 7), strides=((1, 1),), kernels=((3, 3),))
    assert small(topology).build()(torch.randn(1, 1, 5, 7)).logits.shape == (1, 3, 5, 7)


def test_a_block_count_that_does_not_fit_the_stages_is_refused():
    with pytest.raises(ValidationError, match="4 stages needs 4 features, 4 encoder_blocks, 3"):
        full(halving((16, 16), 4), encoder_blocks=(1, 1))
