"""Sizes and surroundings of networks whose convolutions do not pad."""

import pytest
import torch
from torch import nn

from autoseg.architectures import Topology
from autoseg.architectures.unet_3d_2016 import UNet3D2016
from autoseg.architectures.unet_2015 import UNet2015
from autoseg.architectures.valid_u_shape import TrimmedNetwork, ValidDecoderStage, center_crop

ODD_STRIDES = Topology(
    patch_shape=(6, 9, 15),
    strides=((1, 1, 1), (1, 3, 3), (2, 1, 1)),
    kernels=((1, 3, 3), (3, 3, 5), (3, 3, 3)),
)
NARROW = {"in_channels": 1, "num_classes": 2}
KINDS = pytest.mark.parametrize("kind", [UNet2015, UNet3D2016])


def narrow(kind, topology):
    config = kind.for_topology(topology, **NARROW)
    stages = len(config.features)
    return config.model_copy(update={"features": (4,) * stages})


@KINDS
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_strides_and_kernels_of_any_odd_size_leave_the_patch(kind, factor):
    config = narrow(kind, ODD_STRIDES)
    patch = tuple(factor * size for size in config.topology.divisors)
    shape = tuple(
        size + 2 * margin for size, margin in zip(patch, config.output_margin(), strict=True)
    )
    with torch.inference_mode():
        assert config.build()(torch.randn(1, 1, *shape)).logits.shape[2:] == patch


@KINDS
def test_the_outermost_scores_see_the_image_up_to_its_border(kind):
    topology = Topology(patch_shape=(8, 8), strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))
    update = {"normalization": "none"} if kind is UNet3D2016 else {}
    config = narrow(kind, topology).model_copy(update=update)
    torch.manual_seed(0)
    network = config.build().eval()
    image = torch.rand(1, 1, *config.input_shape, requires_grad=True)
    network(image).logits[0, 0, 0, 0].backward()
    seen = torch.nonzero(image.grad[0, 0].abs().sum(dim=1)).flatten()
    # Two of the patch's rows are pooled together, so one of them sees a row less behind it.
    assert seen.min() == 0
    assert seen.max() in (2 * config.output_margin()[0], 2 * config.output_margin()[0] + 1)


@KINDS
def test_moving_the_image_by_the_strides_moves_the_scores(kind):
    topology = Topology(patch_shape=(16, 16), strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))
    config = narrow(kind, topology)
    update = {"normalization": "none"} if kind is UNet3D2016 else {}
    network = config.model_copy(update=update).build().eval()
    margin = config.output_margin()[0]
    image = torch.rand(1, 1, 20 + 2 * margin, 16 + 2 * margin)
    with torch.inference_mode():
        whole = network(image).logits
        part = network(image[:, :, 4:]).logits
    assert torch.allclose(whole[:, :, 4:], part, atol=1e-6)


def test_the_skip_connection_is_cut_to_its_middle():
    stage = ValidDecoderStage((1, 1), (2, 1, 1), kernel=(1, 1), stride=(2, 2), normalization="none")
    seen = []
    stage.convolutions.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    skip = torch.arange(64.0).reshape(1, 1, 8, 8)
    stage(torch.zeros(1, 1, 2, 2), skip)
    assert torch.equal(seen[0][0, 0], skip[0, 0, 2:6, 2:6])


def test_the_middle_of_maps_is_taken_per_axis():
    maps = torch.arange(35).reshape(1, 1, 5, 7)
    assert center_crop(maps, (1, 3)).flatten().tolist() == [16, 17, 18]


def test_trimming_keeps_the_heads_in_reach():
    network = narrow(UNet2015, ODD_STRIDES).build()
    assert isinstance(network, TrimmedNetwork)
    assert len(network.heads) == 1
    assert isinstance(network.heads[0], nn.Conv3d)


@pytest.mark.parametrize("axes", [2, 3])
def test_one_voxel_at_the_bottom_trains(axes):
    topology = Topology(
        patch_shape=(4,) * axes, strides=((1,) * axes, (2,) * axes), kernels=((3,) * axes,) * 2
    )
    for kind in (UNet2015, UNet3D2016):
        config = narrow(kind, topology)
        network = config.build()
        network(torch.randn(1, 1, *config.input_shape)).logits.square().mean().backward()
        assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_single_stage_works_without_a_decoder():
    topology = Topology(patch_shape=(5, 7), strides=((1, 1),), kernels=((3, 3),))
    config = narrow(UNet3D2016, topology)
    assert config.output_margin() == (2, 2)
    assert config.build()(torch.randn(1, 1, 9, 11)).logits.shape == (1, 2, 5, 7)
