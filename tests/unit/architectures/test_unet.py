import pytest
import torch
from pydantic import ValidationError

from autoseg.architectures import Topology
from autoseg.architectures.unet import UNet


def deep(axes, stages):
    return Topology(
        patch_shape=(2 ** (stages - 1),) * axes,
        strides=((1,) * axes, *((2,) * axes,) * (stages - 1)),
        kernels=((3,) * axes,) * stages,
    )


def unet(topology, **changes):
    config = UNet.for_topology(topology, in_channels=1, num_classes=2)
    return UNet.model_validate({**config.compact().model_dump(), **changes})


@pytest.mark.parametrize(
    ("axes", "features"),
    [(3, (32, 64, 128, 256, 320, 320)), (2, (32, 64, 128, 256, 512, 512))],
)
def test_features_double_up_to_the_cap(axes, features):
    config = UNet.for_topology(deep(axes, 6), in_channels=1, num_classes=2)
    assert config.features == features
    assert config.encoder_convolutions == (2,) * 6
    assert config.decoder_convolutions == (2,) * 5


def test_every_decoder_stage_but_the_lowest_gives_scores():
    output = unet(deep(2, 5)).build()(torch.randn(2, 1, 16, 16))
    assert [scores.shape[2] for scores in (output.logits, *output.auxiliary)] == [16, 8, 4]


def test_the_only_decoder_stage_gives_scores():
    output = unet(deep(2, 2)).build()(torch.randn(2, 1, 8, 8))
    assert output.logits.shape[2:] == (8, 8)
    assert output.auxiliary == ()


def test_a_single_stage_works_without_a_decoder():
    topology = Topology(patch_shape=(5, 7), strides=((1, 1),), kernels=((3, 3),))
    output = unet(topology).build()(torch.randn(1, 1, 5, 7))
    assert output.logits.shape == (1, 2, 5, 7)


def test_deep_supervision_can_be_switched_off():
    network = unet(deep(2, 4), deep_supervision=False).build()
    assert network(torch.randn(1, 1, 8, 8)).auxiliary == ()
    assert len(network.heads) == 1


@pytest.mark.parametrize("axes", [2, 3])
def test_a_bottleneck_of_one_voxel_trains(axes):
    topology = deep(axes, 4)
    network = unet(topology).build()
    output = network(torch.randn(1, 1, *topology.patch_shape))
    output.logits.square().mean().backward()
    gradients = [parameter.grad for parameter in network.encoder[-1].parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_weights_are_drawn_by_he_with_zero_biases():
    torch.manual_seed(0)
    convolution = unet(deep(2, 6)).build().encoder[-1][3]
    fan_in = convolution.in_channels * 9
    assert convolution.weight.std().item() == pytest.approx((2 / 1.0001 / fan_in) ** 0.5, rel=0.01)
    assert not convolution.bias.any()


def test_the_first_convolution_of_a_stage_is_strided():
    encoder = unet(deep(3, 3)).build().encoder
    assert [encoder[1][index].stride for index in (0, 3)] == [(2, 2, 2), (1, 1, 1)]


def test_a_feature_count_that_does_not_fit_the_stages_is_refused():
    with pytest.raises(ValidationError, match="topology of 4 stages needs 4 features"):
        unet(deep(2, 4), features=(16, 32))


def test_a_strided_first_stage_is_refused():
    with pytest.raises(ValidationError, match="the first stage works at full resolution"):
        Topology(patch_shape=(8, 8), strides=((2, 2),), kernels=((3, 3),))


def test_the_reference_topology_has_its_known_activation_count():
    # 2 × (encoder + decoder) convolutions, one up-convolution per decoder stage, one head.
    topology = Topology(patch_shape=(4, 4), strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))
    config = UNet.for_topology(topology, in_channels=1, num_classes=2)
    assert config.activation_count() == 16 * (2 * 32 + 3 * 32 + 2) + 4 * (2 * 64)
