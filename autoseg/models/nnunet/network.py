"""Convert nnU-Net's network description and weights to autoseg's.

Both projects build the same two U-Nets, so every tensor has a counterpart under another name.
nnU-Net stores some tensors twice (its decoder contains the encoder, its layers contain their
parts), and an unused segmentation head of the lowest decoder stage. These are dropped.
"""

import re
from collections.abc import Mapping
from math import prod

import torch
from pydantic import ValidationError

from autoseg.architectures import Architecture, Topology
from autoseg.architectures.layers import NEGATIVE_SLOPE, NORM_EPSILON
from autoseg.architectures.residual_encoder_unet import ResidualEncoderUNet
from autoseg.architectures.unet import UNet
from autoseg.core.errors import ModelError
from autoseg.documents.store import format_validation_error
from autoseg.models.folder import Tensors
from autoseg.models.networks import empty_network
from autoseg.models.nnunet.plans import NetworkDescription, NetworkSettings, PerAxis

PLAIN = "PlainConvUNet"
RESIDUAL = "ResidualEncoderUNet"

COPIES = re.compile(r"^decoder\.encoder\.|\.all_modules\.")
"""Tensors that nnU-Net stores a second time."""

WRAPPERS = re.compile(r"^(module\.)?(_orig_mod\.)?")
"""Prefixes that torch adds to the tensor names of distributed and compiled networks."""

KNOWN_NETWORKS = f"{PLAIN} and {RESIDUAL}"


def architecture(
    description: NetworkDescription, patch: tuple[int, ...], *, in_channels: int, num_outputs: int
) -> UNet | ResidualEncoderUNet:
    """Return autoseg's configuration of an nnU-Net network.

    Args:
        description: nnU-Net's description of the network.
        patch: Patch size, voxels.
        in_channels: Number of input channels.
        num_outputs: Number of output channels (logits per voxel).

    Raises:
        ModelError: If autoseg cannot build the network.
    """
    name = description.network_class_name.rpartition(".")[2]
    settings = description.arch_kwargs
    _check_supported(name, settings)
    stages, axes = settings.n_stages, len(patch)
    try:
        shared = {
            "in_channels": in_channels,
            "num_classes": num_outputs,
            "features": _per_entry(settings.features_per_stage, stages),
            "decoder_convolutions": _per_entry(settings.n_conv_per_stage_decoder, stages - 1)[::-1],
            "topology": Topology(
                patch_shape=patch,
                strides=_per_stage(settings.strides, stages, axes),
                kernels=_per_stage(settings.kernel_sizes, stages, axes),
            ),
        }
        if name == PLAIN:
            convolutions = _per_entry(settings.n_conv_per_stage, stages)
            return UNet.model_validate({**shared, "encoder_convolutions": convolutions})
        blocks = _per_entry(settings.n_blocks_per_stage, stages)
        return ResidualEncoderUNet.model_validate({**shared, "encoder_blocks": blocks})
    except ValidationError as error:
        msg = (
            f"autoseg cannot build the network of plans.json:\n{format_validation_error(error)}\n"
            "Expected a network as planned by nnU-Net; this one was edited. Predict with nnU-Net, "
            "or train a new model with `autoseg train`."
        )
        raise ModelError(msg) from error


def rename_tensors(
    weights: Mapping[str, torch.Tensor], network: Architecture, source: str
) -> Tensors:
    """Rename a checkpoint's tensors to the names that `network` uses, and convert to float32.

    Convolutions without a bias in nnU-Net get a bias of 0.

    Args:
        weights: `network_weights` of the checkpoint.
        network: Configuration of the same network.
        source: Name of the checkpoint in messages.

    Raises:
        ModelError: If a tensor is missing, unused, or of another shape.
    """
    has_biases = any(name.endswith(".conv.bias") for name in weights)
    unwrapped = {WRAPPERS.sub("", name): tensor for name, tensor in weights.items()}
    remaining = {name: tensor for name, tensor in unwrapped.items() if not COPIES.search(name)}
    names = _Names(network)
    renamed: Tensors = {}
    for name, expected in empty_network(network).state_dict().items():
        nnunet_name = names.source(name)
        tensor = remaining.pop(nnunet_name, None)
        if tensor is None and name.endswith(".bias") and not has_biases:
            tensor = torch.zeros(expected.shape)
        if tensor is None or tensor.shape != expected.shape:
            found = "nothing" if tensor is None else list(tensor.shape)
            issue = f"{nnunet_name}: expected {list(expected.shape)}, found {found}"
            raise _mismatch(source, issue)
        renamed[name] = tensor.detach().to(torch.float32).contiguous().clone()
    unexpected = sorted(set(remaining) - set(names.unused()))
    if unexpected:
        raise _mismatch(
            source, f"unexpected tensor {unexpected[0]}, {len(unexpected)} such tensors in total"
        )
    return renamed


class _Names:
    """Map autoseg's tensor names to nnU-Net's."""

    def __init__(self, network: Architecture) -> None:
        self._is_residual = isinstance(network, ResidualEncoderUNet)
        self._strides = network.topology.strides
        self._top = len(self._strides) - 2  # nnU-Net counts decoder stages from the lowest

    def source(self, name: str) -> str:
        """Return nnU-Net's name for a tensor."""
        part, stage, *rest = name.split(".")
        if part == "heads":
            return f"decoder.seg_layers.{self._top - int(stage)}.{rest[0]}"
        if part == "decoder":
            return self._decoder(self._top - int(stage), rest)
        if self._is_residual:
            return self._residual_encoder(int(stage), rest)
        return f"encoder.stages.{stage}.0.{_stacked(rest)}"

    def unused(self) -> tuple[str, ...]:
        """Return the nnU-Net names of the tensors that inference does not use."""
        return tuple(f"decoder.seg_layers.0.{kind}" for kind in ("weight", "bias") if self._top > 0)

    def _decoder(self, stage: int, rest: list[str]) -> str:
        if rest[0] == "up":
            return f"decoder.transpconvs.{stage}.{rest[1]}"
        return f"decoder.stages.{stage}.{_stacked(rest[1:])}"

    def _residual_encoder(self, stage: int, rest: list[str]) -> str:
        if stage == 0:  # autoseg puts the stem and the first stage's blocks into one sequence
            first, *rest = rest
            if first == "0":
                return f"encoder.stem.{_stacked(rest)}"
        return f"encoder.stages.{stage}.blocks.{rest[0]}.{self._block(stage, rest[1:])}"

    def _block(self, stage: int, rest: list[str]) -> str:
        match rest:
            case ["first", layer, kind]:
                return f"conv1.{('conv', 'norm')[int(layer)]}.{kind}"
            case ["skip", layer, kind]:
                pooled = int(prod(self._strides[stage]) > 1)  # the pooling layer has no tensors
                return f"skip.{pooled}.{('conv', 'norm')[int(layer) - pooled]}.{kind}"
            case [layer, kind]:
                return f"conv2.{'norm' if layer == 'norm' else 'conv'}.{kind}"
        msg = f"no nnU-Net name for the tensor {rest} of stage {stage}"
        raise ValueError(msg)


def _stacked(rest: list[str]) -> str:
    """Return nnU-Net's name for a tensor of a `ConvolutionStack` (three layers per convolution)."""
    layer, kind = int(rest[0]), rest[1]
    return f"convs.{layer // 3}.{('conv', 'norm')[layer % 3]}.{kind}"


def _mismatch(source: str, found: str) -> ModelError:
    return ModelError(
        f"{source} does not match the network of plans.json: {found}. Its trainer built another "
        "network, or plans.json belongs to another model. Only unmodified "
        f"{KNOWN_NETWORKS} networks can be imported; use the plans.json next to the checkpoint."
    )


def _check_supported(name: str, settings: NetworkSettings) -> None:
    """Check that autoseg supports all settings of the network except for the topology."""
    norm = settings.norm_op_kwargs or {}
    slope = (settings.nonlin_kwargs or {}).get("negative_slope", NEGATIVE_SLOPE)
    normal_stem = settings.stem_channels in (None, _per_entry(settings.features_per_stage, 1)[0])
    checks = (
        (name in (PLAIN, RESIDUAL), "the network", name),
        (_last(settings.norm_op).startswith("InstanceNorm"), "norm_op", settings.norm_op),
        (norm.get("eps", NORM_EPSILON) == NORM_EPSILON, "norm_op_kwargs", norm),
        (norm.get("affine", False) is True, "norm_op_kwargs", norm),
        (not norm.get("track_running_stats", False), "norm_op_kwargs", norm),
        (_last(settings.nonlin) == "LeakyReLU", "nonlin", settings.nonlin),
        (slope == NEGATIVE_SLOPE, "nonlin_kwargs", settings.nonlin_kwargs),
        (not settings.nonlin_first, "nonlin_first", settings.nonlin_first),
        (_last(settings.block) in ("", "BasicBlockD"), "block", settings.block),
        (settings.bottleneck_channels is None, "bottleneck", settings.bottleneck_channels),
        (normal_stem, "stem_channels", settings.stem_channels),
    )
    for is_supported, field, value in checks:
        if not is_supported:
            msg = (
                f"plans.json has {field} {value!a}, which autoseg does not support. Expected "
                f"{KNOWN_NETWORKS} with instance normalisation and leaky ReLU. Predict with "
                "nnU-Net, or train a new model with `autoseg train`."
            )
            raise ModelError(msg)


def _last(dotted: str | None) -> str:
    return (dotted or "").rpartition(".")[2]


def _per_entry(value: PerAxis | None, count: int) -> tuple[int, ...]:
    """Return one number per stage; the architecture checks their count."""
    return (value,) * count if isinstance(value, int) else tuple(value or ())


def _per_stage(
    value: int | tuple[PerAxis, ...], stages: int, axes: int
) -> tuple[tuple[int, ...], ...]:
    entries = (value,) * stages if isinstance(value, int) else value
    return tuple((entry,) * axes if isinstance(entry, int) else entry for entry in entries)
