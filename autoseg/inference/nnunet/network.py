"""Turn nnU-Net's description of a network, and its weights, into autoseg's.

Both build the same two U-Nets, so every tensor has its counterpart under another name. nnU-Net
keeps some tensors twice (its decoder holds the encoder, its layers hold their parts), and a head
of the lowest decoder stage, which nothing uses; these are dropped.
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
from autoseg.documents.store import explain
from autoseg.inference.networks import empty_network
from autoseg.inference.nnunet.plans import NetworkDescription, NetworkSettings, PerAxis
from autoseg.inference.stored import Tensors

PLAIN = "PlainConvUNet"
RESIDUAL = "ResidualEncoderUNet"

COPIES = re.compile(r"^decoder\.encoder\.|\.all_modules\.")
"""Tensors that nnU-Net stores a second time."""

WRAPPERS = ("module.", "_orig_mod.")
"""What torch puts before the names of a network that trained on several GPUs, or compiled."""

KNOWN_NETWORKS = f"{PLAIN} and {RESIDUAL}"


def architecture(
    description: NetworkDescription, patch: tuple[int, ...], *, in_channels: int, num_outputs: int
) -> UNet | ResidualEncoderUNet:
    """Return the configuration of the same network.

    Args:
        description: What nnU-Net says of it.
        patch: Size of its input, voxels.
        in_channels: Channels of its input.
        num_outputs: Scores per voxel.

    Raises:
        ModelError: If autoseg has no such network.
    """
    name = description.network_class_name.rpartition(".")[2]
    settings = description.arch_kwargs
    _check_supported(name, settings)
    stages, axes = settings.n_stages, len(patch)
    shared = {
        "in_channels": in_channels,
        "num_classes": num_outputs,
        "features": _per_entry(settings.features_per_stage, stages),
        "decoder_convolutions": _per_entry(settings.n_conv_per_stage_decoder, stages - 1)[::-1],
    }
    try:
        topology = Topology(
            patch_shape=patch,
            strides=_per_stage(settings.strides, stages, axes),
            kernels=_per_stage(settings.kernel_sizes, stages, axes),
        )
        if name == PLAIN:
            convolutions = _per_entry(settings.n_conv_per_stage, stages)
            return UNet.model_validate(
                {**shared, "topology": topology, "encoder_convolutions": convolutions}
            )
        blocks = _per_entry(settings.n_blocks_per_stage, stages)
        return ResidualEncoderUNet.model_validate(
            {**shared, "topology": topology, "encoder_blocks": blocks}
        )
    except ValidationError as error:
        msg = (
            f"the network of plans.json cannot be built by autoseg:\n{explain(error)}\n"
            "Models planned by nnU-Net itself can be imported; this one was edited."
        )
        raise ModelError(msg) from error


def renamed_tensors(
    weights: Mapping[str, torch.Tensor], network: Architecture, source: str
) -> Tensors:
    """Return a checkpoint's weights under the names that `network` has for them, as float32.

    Convolutions that nnU-Net gave no bias get one of 0.

    Args:
        weights: `network_weights` of the checkpoint.
        network: Configuration of the same network.
        source: The checkpoint, for messages.

    Raises:
        ModelError: If a tensor is missing, left over or of another shape.
    """
    named = {_unwrapped(name): tensor for name, tensor in weights.items()}
    left = {name: tensor for name, tensor in named.items() if not COPIES.search(name)}
    names = _Names(network)
    found: Tensors = {}
    for name, expected in empty_network(network).state_dict().items():
        known_as = names.source(name)
        tensor = left.pop(known_as, None)
        if tensor is None and name.endswith(".bias") and not _has_biases(weights):
            tensor = torch.zeros(expected.shape)
        if tensor is None or tensor.shape != expected.shape:
            has = "nothing" if tensor is None else list(tensor.shape)
            raise _unfit(source, f"{known_as}: expected {list(expected.shape)}, found {has}")
        found[name] = tensor.detach().to(torch.float32).contiguous().clone()
    unused = sorted(set(left) - set(names.unused()))
    if unused:
        raise _unfit(source, f"{unused[0]} has no place in it, {len(unused)} such tensors in all")
    return found


class _Names:
    """What nnU-Net calls the tensors of a network."""

    def __init__(self, network: Architecture) -> None:
        self._is_residual = isinstance(network, ResidualEncoderUNet)
        self._strides = network.topology.strides
        self._top = len(self._strides) - 2  # the decoder's stages count from the lowest

    def source(self, name: str) -> str:
        """Return nnU-Net's name of a tensor."""
        part, stage, *rest = name.split(".")
        if part == "heads":
            return f"decoder.seg_layers.{self._top - int(stage)}.{rest[0]}"
        if part == "decoder":
            return self._decoder(self._top - int(stage), rest)
        if self._is_residual:
            return self._residual_encoder(int(stage), rest)
        return f"encoder.stages.{stage}.0.{_stacked(rest)}"

    def unused(self) -> tuple[str, ...]:
        """Return the names of the tensors that predict nothing."""
        return tuple(f"decoder.seg_layers.0.{kind}" for kind in ("weight", "bias") if self._top > 0)

    def _decoder(self, stage: int, rest: list[str]) -> str:
        if rest[0] == "up":
            return f"decoder.transpconvs.{stage}.{rest[1]}"
        return f"decoder.stages.{stage}.{_stacked(rest[1:])}"

    def _residual_encoder(self, stage: int, rest: list[str]) -> str:
        if stage == 0:  # the stem and the first stage's blocks are one sequence here
            first, *rest = rest
            if first == "0":
                return f"encoder.stem.{_stacked(rest)}"
        return f"encoder.stages.{stage}.blocks.{rest[0]}.{self._block(stage, rest[1:])}"

    def _block(self, stage: int, rest: list[str]) -> str:
        match rest:
            case ["first", layer, kind]:
                return f"conv1.{('conv', 'norm')[int(layer)]}.{kind}"
            case ["skip", layer, kind]:
                pooled = int(prod(self._strides[stage]) > 1)  # pooling has no tensors
                return f"skip.{pooled}.{('conv', 'norm')[int(layer) - pooled]}.{kind}"
            case [layer, kind]:
                return f"conv2.{'norm' if layer == 'norm' else 'conv'}.{kind}"
        msg = f"no rule for {rest}"
        raise ValueError(msg)


def _stacked(rest: list[str]) -> str:
    """Return nnU-Net's name of a tensor of a `ConvolutionStack`: three layers per convolution."""
    layer, kind = int(rest[0]), rest[1]
    return f"convs.{layer // 3}.{('conv', 'norm')[layer % 3]}.{kind}"


def _unwrapped(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _has_biases(weights: Mapping[str, torch.Tensor]) -> bool:
    return any(name.endswith(".conv.bias") for name in weights)


def _unfit(source: str, found: str) -> ModelError:
    return ModelError(
        f"{source} does not fit the network of plans.json: {found}. Its trainer built another "
        f"network, or plans.json is of another model; {KNOWN_NETWORKS} as the plan describes them "
        "can be imported."
    )


def _check_supported(name: str, settings: NetworkSettings) -> None:
    """Check that autoseg has the network, except for its topology.

    Raises:
        ModelError: With the first setting that it does not have.
    """
    norm = settings.norm_op_kwargs or {}
    slope = (settings.nonlin_kwargs or {}).get("negative_slope", NEGATIVE_SLOPE)
    normal_stem = settings.stem_channels in (None, _per_entry(settings.features_per_stage, 1)[0])
    wanted = (
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
    for is_supported, field, value in wanted:
        if not is_supported:
            msg = (
                f"plans.json has {field} {value!a}, which autoseg cannot build. {KNOWN_NETWORKS} "
                "with instance normalisation and leaky rectifiers can be imported; predict with "
                "nnU-Net, or train anew with `autoseg train`."
            )
            raise ModelError(msg)


def _last(dotted: str | None) -> str:
    return (dotted or "").rpartition(".")[2]


def _per_entry(value: PerAxis | None, count: int) -> tuple[int, ...]:
    """Return one number per stage; how many there are is checked by the architecture."""
    return (value,) * count if isinstance(value, int) else tuple(value or ())


def _per_stage(
    value: int | tuple[PerAxis, ...], stages: int, axes: int
) -> tuple[tuple[int, ...], ...]:
    entries = (value,) * stages if isinstance(value, int) else value
    return tuple((entry,) * axes if isinstance(entry, int) else entry for entry in entries)
