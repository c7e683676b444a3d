import pytest
import torch
from pydantic import ValidationError
from torch import nn

from autoseg.architectures import Topology
from autoseg.architectures.unet_2015 import UNet2015


def meta_network(config):
    with torch.device("meta"):
        return config.build()


def sizes_and_channels(network, module_type, image):
    """Return the output of every module of a type in a forward pass, in order."""
    found = []
    for module in network.modules():
        if isinstance(module, module_type):
            module.register_forward_hook(
                lambda module, inputs, output: found.append((output.shape[1], output.shape[2]))
            )
    network(image)
    return found


def test_the_published_network_has_its_known_number_of_weights():
    network = meta_network(UNet2015.published())
    assert sum(weights.numel() for weights in network.parameters()) == 31_030_658


def test_the_published_network_turns_572_pixels_into_388():
    config = UNet2015.published()
    image = torch.zeros(1, 1, 572, 572, device="meta")
    assert meta_network(config)(image).logits.shape == (1, 2, 388, 388)


def test_the_published_network_has_the_sizes_of_its_figure():
    image = torch.zeros(1, 1, 572, 572, device="meta")
    network = meta_network(UNet2015.published())
    assert sizes_and_channels(network, nn.ReLU, image) == [
        *((64, 570), (64, 568), (128, 282), (128, 280), (256, 138), (256, 136)),
        *((512, 66), (512, 64), (1024, 30), (1024, 28)),
        *((512, 54), (512, 52), (256, 102), (256, 100)),
        *((128, 198), (128, 196), (64, 390), (64, 388)),
    ]
    pooled = sizes_and_channels(network, nn.MaxPool2d, image)
    assert pooled == [(64, 284), (128, 140), (256, 68), (512, 32)]
    up = sizes_and_channels(network, nn.ConvTranspose2d, image)
    assert up == [(512, 56), (256, 104), (128, 200), (64, 392)]


def test_the_planned_form_of_that_patch_sees_as_much_and_scores_the_patch():
    published = UNet2015.published()
    planned = published.model_copy(update={"is_trimmed": True})
    assert planned.topology.patch_shape == (384, 384)
    assert planned.input_shape == (572, 572)
    image = torch.zeros(1, 1, 572, 572, device="meta")
    assert meta_network(planned)(image).logits.shape == (1, 2, 384, 384)


def test_there_is_no_normalisation():
    kinds = {type(module).__name__ for module in meta_network(UNet2015.published()).modules()}
    assert not [name for name in kinds if "Norm" in name]


def test_half_of_the_lowest_values_are_dropped_in_training_alone():
    network = meta_network(UNet2015.published())
    dropouts = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    assert [module.p for module in dropouts] == [0.5]
    assert network.encoder[-1][-1] is dropouts[0]


def test_prediction_is_the_same_twice():
    topology = Topology(patch_shape=(4, 4), strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))
    config = UNet2015.for_topology(topology, in_channels=1, num_classes=2).compact()
    image = torch.randn(1, 1, *config.input_shape)
    network = config.build()
    assert not torch.equal(network(image).logits, network(image).logits)
    network.eval()
    assert torch.equal(network(image).logits, network(image).logits)


def test_stages_below_the_fifth_are_left_out():
    topology = Topology(
        patch_shape=(64, 192), strides=((1, 1), *((2, 2),) * 6), kernels=((3, 3),) * 7
    )
    config = UNet2015.for_topology(topology, in_channels=1, num_classes=2)
    assert config.features == (64, 128, 256, 512, 1024)
    assert config.topology.strides == topology.strides[:5]
    assert config.topology.patch_shape == topology.patch_shape
    assert config.output_margin() == (94, 94)


def test_a_feature_count_that_does_not_fit_the_stages_is_refused():
    config = UNet2015.published().model_dump()
    with pytest.raises(ValidationError, match="5 stages needs 5 features"):
        UNet2015.model_validate({**config, "features": (64, 128)})
