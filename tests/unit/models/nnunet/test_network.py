import nnunet_folder
import pytest
import torch

from autoseg.architectures import Architecture
from autoseg.core.errors import ModelError
from autoseg.models.nnunet.network import architecture, rename_tensors
from autoseg.models.nnunet.plans import NnunetPlans, parse_document


def described(**changes) -> Architecture:
    plan = nnunet_folder.plans()
    settings = plan["configurations"]["3d_fullres"]["architecture"]
    name = changes.pop("network_class_name", settings["network_class_name"])
    settings.update(network_class_name=name)
    settings["arch_kwargs"].update(changes)
    plans = parse_document(NnunetPlans, plan, "plans.json")
    description = plans.configuration("3d_fullres").architecture
    return architecture(description, nnunet_folder.PATCH, in_channels=1, num_outputs=3)


def test_the_network_gives_the_logits_that_the_tensors_stand_for() -> None:
    tensors = nnunet_folder.weights()
    network = described().build()
    network.load_state_dict(rename_tensors(tensors, described(), "it"))
    images = torch.randn(1, 1, *nnunet_folder.PATCH)
    with torch.inference_mode():
        found = network.eval()(images).logits
        expected = nnunet_folder.logits(tensors, images)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def residual_weights(blocks: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Return random weights under nnU-Net's names, with blocks of two convolutions down."""
    tensors = {
        name: tensor
        for name, tensor in nnunet_folder.weights().items()
        if not name.startswith(("encoder.", "decoder.encoder."))
    }

    def layer(name: str, inputs: int, width: int, kernel: tuple[int, ...]) -> None:
        tensors[f"{name}.conv.weight"] = torch.randn(width, inputs, *kernel)
        parts = ("norm.weight", "norm.bias", *(() if "skip" in name else ("conv.bias",)))
        tensors.update({f"{name}.{part}": torch.randn(width) for part in parts})

    below = nnunet_folder.FEATURES[0]
    layer("encoder.stem.convs.0", 1, below, nnunet_folder.KERNELS[0])
    for stage, (width, count) in enumerate(zip(nnunet_folder.FEATURES, blocks, strict=True)):
        for block in (f"encoder.stages.{stage}.blocks.{index}" for index in range(count)):
            layer(f"{block}.conv1", below, width, nnunet_folder.KERNELS[stage])
            layer(f"{block}.conv2", width, width, nnunet_folder.KERNELS[stage])
            if below != width:
                layer(f"{block}.skip.1", below, width, (1, 1, 1))  # skip.0 pools
            below = width
    return tensors


def test_the_residual_encoder_takes_each_tensor_to_its_place() -> None:
    blocks = (1, 2, 1)
    config = described(
        network_class_name="dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
        n_blocks_per_stage=blocks,
    )
    tensors = residual_weights(blocks)
    renamed = rename_tensors(tensors, config, "it")
    config.build().load_state_dict(renamed)
    for name, expected in (
        ("encoder.0.0.1.bias", "encoder.stem.convs.0.norm.bias"),
        ("encoder.0.1.0.first.0.weight", "encoder.stages.0.blocks.0.conv1.conv.weight"),
        ("encoder.1.0.skip.1.weight", "encoder.stages.1.blocks.0.skip.1.conv.weight"),
        ("encoder.1.0.skip.2.bias", "encoder.stages.1.blocks.0.skip.1.norm.bias"),
        ("encoder.1.1.first.1.weight", "encoder.stages.1.blocks.1.conv1.norm.weight"),
        ("encoder.2.0.second.bias", "encoder.stages.2.blocks.0.conv2.conv.bias"),
        ("encoder.2.0.norm.weight", "encoder.stages.2.blocks.0.conv2.norm.weight"),
        ("decoder.0.up.weight", "decoder.transpconvs.1.weight"),
    ):
        assert torch.equal(renamed[name], tensors[expected]), name


def test_convolutions_without_bias_get_one_of_zero() -> None:
    tensors = {
        name: tensor
        for name, tensor in nnunet_folder.weights().items()
        if not name.endswith((".conv.bias", ".all_modules.0.bias"))
        and not (name.startswith("decoder.transpconvs") and name.endswith("bias"))
    }
    renamed = rename_tensors(tensors, described(), "it")
    assert not renamed["encoder.0.0.bias"].any()
    assert not renamed["decoder.0.up.bias"].any()
    assert renamed["encoder.0.1.bias"].any()


def test_names_of_wrapped_networks_are_understood() -> None:
    wrapped = {f"module.{name}": tensor for name, tensor in nnunet_folder.weights().items()}
    plain = rename_tensors(nnunet_folder.weights(), described(), "it")
    renamed = rename_tensors(wrapped, described(), "it")
    assert all(torch.equal(renamed[name], plain[name]) for name in plain)


@pytest.mark.parametrize(
    ("name", "shape", "found"),
    [
        ("encoder.stages.0.0.convs.0.conv.weight", None, "found nothing"),
        ("encoder.stages.0.0.convs.0.conv.weight", (9, 1, 1, 3, 3), r"found \[9, 1, 1, 3, 3\]"),
        ("encoder.stages.0.0.convs.0.norm.running_mean", (4,), "unexpected tensor"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(name, shape, found) -> None:
    tensors = nnunet_folder.weights()
    tensors.pop(name, None)
    if shape is not None:
        tensors[name] = torch.zeros(shape)
    with pytest.raises(ModelError, match=found) as refusal:
        rename_tensors(tensors, described(), "fold_0")
    assert name in str(refusal.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"network_class_name": "somewhere.Primus"},
        {"norm_op": "torch.nn.modules.batchnorm.BatchNorm3d"},
        {"norm_op_kwargs": {"eps": 1e-3, "affine": True}},
        {"nonlin": "torch.nn.ReLU"},
        {"nonlin_kwargs": {"negative_slope": 0.2}},
        {"nonlin_first": True},
        {"stem_channels": 7},
        {"kernel_sizes": [[2, 2, 2]] * 3},
        {"strides": [[2, 2, 2]] * 3},
        {"features_per_stage": [4, 8]},
        {"squeeze_excitation": True},
    ],
    ids=str,
)
def test_networks_that_autoseg_does_not_have_are_refused(changes) -> None:
    with pytest.raises(ModelError):
        described(**changes)


def test_numbers_for_all_stages_and_axes_are_spread() -> None:
    network = described(features_per_stage=5, kernel_sizes=3, strides=[1, 2, 2])
    assert network.features == (5, 5, 5)
    assert network.topology.kernels == ((3, 3, 3),) * 3
    assert network.topology.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2))


def test_the_decoder_counts_from_the_full_resolution_down() -> None:
    assert described().decoder_convolutions == (2, 1)
