import sys

import pytest
import torch
from extras import NEED_TIMM, encoder_names
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file

from autoseg.architectures import AnyArchitecture, Topology
from autoseg.architectures.encoder_unet import EncoderUNet, isotropic_topology
from autoseg.core.errors import MissingPackage, PlanError, UnknownComponent

ANISOTROPIC_VOLUME = Topology(
    patch_shape=(4, 16, 24), strides=((1, 1, 1), (1, 2, 2)), kernels=((1, 3, 3), (3, 3, 3))
)


def square(edge, stages):
    return Topology(
        patch_shape=(edge, edge),
        strides=((1, 1), *((2, 2),) * (stages - 1)),
        kernels=((3, 3),) * stages,
    )


def config_of(encoder="resnet18", *, edge=64, stages=6, in_channels=3, **changes):
    config = EncoderUNet.for_topology(square(edge, stages), in_channels=in_channels, num_classes=2)
    return config.model_copy(update={"encoder": encoder, **changes})


def kept_values(config):
    """Return how many values a training step keeps for one patch, each tensor once."""
    sizes = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = (storage, storage.nbytes() // tensor.element_size())
        return tensor

    network = config.build()
    for constant in (*network.parameters(), *network.buffers()):
        note(constant)
    constants = set(sizes)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(torch.randn(1, config.in_channels, *config.input_shape))
    return sum(size for key, (_, size) in sizes.items() if key not in constants)


@pytest.mark.parametrize(
    ("encoder", "in_channels"),
    [
        *((name, 1 + at % 5) for at, name in enumerate(encoder_names())),
        pytest.param("mobilenetv3_small_100", 4, marks=NEED_TIMM),
        pytest.param("convnext_atto", 3, marks=NEED_TIMM),
    ],
)
def test_a_family_of_encoders_works(encoder, in_channels):
    config = config_of(encoder, in_channels=in_channels)
    network = config.build()
    output = network(torch.randn(1, in_channels, 64, 96))
    shapes = [tuple(scores.shape) for scores in (output.logits, *output.auxiliary)]
    assert shapes == [(1, 2, 64 // 2**at, 96 // 2**at) for at in range(4)]
    sum(scores.square().mean() for scores in (output.logits, *output.auxiliary)).backward()
    assert all(weights.grad is not None for weights in network.parameters())
    assert network.eval()(torch.randn(1, in_channels, 64, 64)).auxiliary == ()
    assert kept_values(config) == pytest.approx(1.98 * config.activation_count(), rel=0.12)


@pytest.mark.parametrize(
    ("encoder", "own", "first"), [("vgg11", 0, 64), ("resnet18", 1, 32), ("alexnet", 2, 32)]
)
def test_resolutions_that_an_encoder_lacks_are_the_plain_u_nets(encoder, own, first):
    network = config_of(encoder).build()
    assert len(network.finest) == own
    assert network.decoder[0].convolutions[0].in_channels == 32 + first


@pytest.mark.parametrize(
    ("encoder", "widths"), [("lenet5", [256, 512, 512]), ("squeezenet1_0", [512]), ("vgg11", [])]
)
def test_stages_below_an_encoder_are_the_plain_u_nets(encoder, widths):
    network = config_of(encoder).build()
    assert [stage[0].out_channels for stage in network.coarsest] == widths


def test_a_patch_of_few_pixels_needs_no_stage_below_an_encoder():
    assert len(config_of("lenet5", stages=3).build().coarsest) == 0


def test_what_lies_below_the_planned_stages_is_left_out():
    shallow, deep = (config_of(edge=64, stages=stages).build() for stages in (3, 6))
    assert not any(name.startswith("layer2") for name, _ in shallow.encoder.named_parameters())
    assert any(name.startswith("layer4") for name, _ in deep.encoder.named_parameters())


def test_an_encoder_that_begins_too_coarse_is_refused():
    with pytest.raises(UnknownComponent, match=r"has stride 4, .* has stride 2"):
        config_of("alexnet", stages=2).build()


@NEED_TIMM
@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        ("swin_tiny_patch4_window7_224", "channels last"),
        ("vit_tiny_patch16_224", "strides 16, 16, 16"),
        ("inception_v4", "do not pad"),
        ("maxvit_nano_rw_256", "divisible by window"),
    ],
)
def test_what_is_no_encoder_is_refused(encoder, reason):
    with pytest.raises(UnknownComponent, match=reason):
        config_of(encoder).build()


@NEED_TIMM
def test_an_unknown_encoder_gets_similar_names():
    with pytest.raises(UnknownComponent, match=r"'resnet_34'\. Similar: resnet34"):
        config_of("resnet_34").activation_count()


def test_without_timm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    config = config_of("convnext_atto", in_channels=7)
    with pytest.raises(MissingPackage, match=r'pip install "autoseg\[timm\]"'):
        config.activation_count()
    with pytest.raises(MissingPackage, match="timm"):
        config.build()


def test_pretrained_weights_without_timm_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    config = config_of("resnet18", stages=3, pretrained=True)
    with pytest.raises(MissingPackage, match=r"needs timm .*set `pretrained` to false"):
        config.load_pretrained(config.build())


def test_a_plan_can_be_read_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    config = config_of("convnext_atto", pretrained="weights.safetensors")
    parser = TypeAdapter(AnyArchitecture)
    assert parser.validate_json(config.model_dump_json()) == config


def test_volumes_are_refused():
    with pytest.raises(PlanError, match=r"4 × 16 × 24 voxels\. Use a 2-D configuration"):
        EncoderUNet.for_topology(ANISOTROPIC_VOLUME, in_channels=1, num_classes=2)
    edited = config_of().model_dump() | {"topology": ANISOTROPIC_VOLUME.model_dump()}
    with pytest.raises(ValidationError, match="halves both axes at every stage"):
        EncoderUNet.model_validate(edited)


@pytest.mark.parametrize(
    ("patch", "strides", "expected_patch", "halvings"),
    [
        ((64, 96), ((1, 1), (2, 2), (2, 2)), (64, 96), 2),
        ((12, 96), ((1, 1), (1, 2), (2, 2), (1, 2)), (12, 96), 1),
        ((5, 32), ((1, 1), (1, 2)), (6, 32), 1),
        ((7, 5), ((1, 1),), (8, 6), 1),
        ((512, 512), ((1, 1), *((2, 2),) * 7), (512, 512), 5),
    ],
)
def test_both_axes_are_halved_as_often_as_the_plan_halves_either(
    patch, strides, expected_patch, halvings
):
    kernels = ((3, 3),) * len(strides)
    used = isotropic_topology(Topology(patch_shape=patch, strides=strides, kernels=kernels))
    assert used.patch_shape == expected_patch
    assert used.strides == ((1, 1), *((2, 2),) * halvings)


@NEED_TIMM
@pytest.mark.parametrize("encoder", ["resnet18", "densenet121", "efficientnet_b0", "convnext_atto"])
def test_weights_from_a_file_start_a_training(encoder, tmp_path):
    import timm

    whole = timm.create_model(encoder)
    file = tmp_path / "weights.safetensors"
    save_file(whole.state_dict(), file)
    config = config_of(encoder, in_channels=1, stages=3, pretrained=str(file))
    network = config.build()
    before = {name: values.clone() for name, values in network.named_parameters()}
    config.load_pretrained(network)
    first = next(network.encoder.parameters())
    torch.testing.assert_close(first, next(whole.parameters()).sum(dim=1, keepdim=True))
    others = [name for name in before if not name.startswith("encoder.")]
    parameters = dict(network.named_parameters())
    assert all(torch.equal(parameters[name], before[name]) for name in others)


def test_without_pretrained_weights_nothing_is_loaded():
    config = config_of(stages=3)
    network = config.build()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    config.load_pretrained(network)
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
