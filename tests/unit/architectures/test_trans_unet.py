import pytest
import torch
from pydantic import ValidationError

from autoseg.architectures import Topology
from autoseg.architectures.trans_unet import TransUNet, VisionTransformer

ANISOTROPIC = Topology(
    patch_shape=(4, 32, 48),
    strides=((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)),
    kernels=((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
)
SMALL = VisionTransformer(width=12, layers=2, heads=3, hidden=16)


def square(edge, stages):
    return Topology(
        patch_shape=(edge, edge),
        strides=((1, 1), *((2, 2),) * (stages - 1)),
        kernels=((3, 3),) * stages,
    )


def small(topology, **changes):
    config = TransUNet.for_topology(topology, in_channels=2, num_classes=3)
    levels = len(config.topology.strides) - 1
    narrow = {
        "encoder_features": (8, 12, 16, 20)[: max(1, levels)],
        "blocks": (2, 1, 1)[: max(0, levels - 1)],
        "transformer": SMALL,
        "joined_features": 10,
        "decoder_features": (4, 5, 6, 7)[:levels],
    }
    return config.model_copy(update={**narrow, **changes})


def weights(config, part=""):
    with torch.device("meta"):
        named = config.build().named_parameters()
        return sum(values.numel() for name, values in named if name.startswith(part))


def test_the_published_network_has_its_known_number_of_weights():
    assert weights(TransUNet.published()) == 105_277_081


def test_its_parts_have_theirs():
    published = TransUNet.published()
    positions = 768 * 14 * 14
    embedding = 1024 * 768 + 768
    assert weights(published, "transformer.0.positions") == positions
    assert weights(published, "transformer.0.embedding") == embedding
    layer = 12 * 768**2 + 13 * 768
    assert weights(published, "transformer.0.layers") == 12 * layer
    assert weights(published, "encoder") == 11_894_848


def test_skip_connections_and_tokens_have_the_published_resolutions():
    with torch.device("meta"):
        network = TransUNet.published().build()
        shapes = []
        for stage in network.encoder:
            stage.register_forward_hook(lambda *entries: shapes.append(tuple(entries[2].shape[1:])))
        network(torch.zeros(1, 3, 224, 224))
    assert shapes == [(64, 112, 112), (256, 56, 56), (512, 28, 28), (1024, 14, 14)]


@pytest.mark.parametrize("normalization", ["batch", "instance", "none"])
def test_anisotropic_volumes_keep_their_size(normalization):
    network = small(ANISOTROPIC, normalization=normalization).build()
    output = network(torch.randn(2, 2, 4, 32, 48))
    assert output.logits.shape == (2, 3, 4, 32, 48)
    assert output.auxiliary == ()


@pytest.mark.parametrize(("stages", "levels"), [(1, 0), (2, 1), (3, 2), (5, 4), (7, 4)])
def test_five_stages_are_used_at_most(stages, levels):
    config = small(square(64, stages))
    assert len(config.topology.strides) - 1 == levels
    network = config.build().eval()
    assert network(torch.randn(1, 2, 64, 64)).logits.shape == (1, 3, 64, 64)
    assert len(network.decoder) == levels


def test_position_codes_fit_the_planned_patch_and_are_interpolated_for_others():
    network = small(square(64, 3)).build().eval()
    positions = network.transformer[0].positions
    assert positions.shape == (1, 12, 16, 16)
    images = torch.randn(1, 2, 32, 96)
    with torch.inference_mode():
        before = network(images).logits
        positions.normal_()
        after = network(images).logits
    assert before.shape == (1, 3, 32, 96)
    assert not torch.allclose(before, after)


def test_a_pixel_at_one_end_matters_at_the_other():
    torch.manual_seed(0)
    network = small(square(128, 5)).build().eval()
    images = torch.randn(1, 2, 128, 128)
    changed = images.clone()
    changed[..., :8, :8] += 1
    tokens = []
    network.transformer[0].layers[0].attention.register_forward_hook(
        lambda module, inputs, output: tokens.append(output)
    )
    with torch.inference_mode():
        network(images)
        network(changed)
    assert (tokens[0] != tokens[1]).any(dim=2).all()


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValidationError, match="5 heads and a width of 12"):
        VisionTransformer(width=12, heads=5)


def test_settings_that_lack_a_stage_are_refused():
    config = small(square(64, 3)).model_dump()
    with pytest.raises(ValidationError, match=r"3 stages needs .*'decoder_features': 2"):
        TransUNet.model_validate({**config, "decoder_features": (4,)})


def test_dropout_is_for_training_alone():
    network = small(square(16, 3)).build()
    images = torch.randn(1, 2, 16, 16)
    assert not torch.equal(network(images).logits, network(images).logits)
    network.eval()
    assert torch.equal(network(images).logits, network(images).logits)
