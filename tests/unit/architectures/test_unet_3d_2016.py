import pytest
import torch
from pydantic import ValidationError
from torch import nn

from autoseg.architectures import Topology
from autoseg.architectures.unet_3d_2016 import UNet3D2016


def meta_network(config):
    with torch.device("meta"):
        return config.build()


def count(parameters):
    return sum(weights.numel() for weights in parameters)


def test_the_published_network_has_its_known_number_of_weights():
    # The paper counts neither the batch normalisation nor biases of the transposed convolutions.
    network = meta_network(UNet3D2016.published())
    uncounted = [
        *(
            module.parameters()
            for module in network.modules()
            if isinstance(module, nn.BatchNorm3d)
        ),
        *([module.bias] for module in network.modules() if isinstance(module, nn.ConvTranspose3d)),
    ]
    assert count(network.parameters()) - sum(map(count, uncounted)) == 19_069_955


def test_the_published_network_turns_132_132_116_voxels_into_44_44_28():
    image = torch.zeros(1, 3, 116, 132, 132, device="meta")
    network = meta_network(UNet3D2016.published())
    assert network(image).logits.shape == (1, 3, 28, 44, 44)


def test_channels_double_before_each_pooling_and_come_up_unhalved():
    network = meta_network(UNet3D2016.published())
    widths = [
        [module.out_channels for module in stage.modules() if isinstance(module, nn.Conv3d)]
        for stage in network.encoder
    ]
    assert widths == [[32, 64], [64, 128], [128, 256], [256, 512]]
    assert [stage.up.out_channels for stage in network.decoder] == [128, 256, 512]
    first = [stage.convolutions[0].in_channels for stage in network.decoder]
    assert first == [64 + 128, 128 + 256, 256 + 512]


def test_the_planned_form_normalises_each_sample_by_itself():
    topology = Topology(patch_shape=(4, 4), strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))
    config = UNet3D2016.for_topology(topology, in_channels=1, num_classes=2).compact()
    network = config.build()
    images = torch.randn(2, 1, *config.input_shape)
    alone = network(images[:1]).logits
    assert torch.allclose(network(images).logits[:1], alone, atol=1e-5)


def test_a_stage_whose_features_cannot_be_halved_is_refused():
    config = UNet3D2016.published().model_dump()
    with pytest.raises(ValidationError, match="multiple of 2"):
        UNet3D2016.model_validate({**config, "features": (63, 128, 256, 512)})
