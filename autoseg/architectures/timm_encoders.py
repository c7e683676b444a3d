"""Encoders of timm (PyTorch Image Models), an optional dependency that is imported lazily.

Source: Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from autoseg.core.errors import MissingPackage, ModelError, UnknownComponent

MEASURED_EDGE = 32 * 11
"""Edge of the image that encoders are measured with on the meta device, pixels. It is divisible by
all strides, but not by the fixed window or image sizes that some models require."""


@dataclass(frozen=True)
class EncoderSize:
    """Feature maps and cost of an encoder.

    Attributes:
        strides: Stride of each feature map relative to the image; powers of two, each twice the
            previous one.
        channels: Channels of each feature map.
        kept_values: Values that a training step stores for the backward pass, per image pixel.
        multiplications: Multiplications of a forward pass, per image pixel.
    """

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    kept_values: float
    multiplications: float


@cache
def encoder_size(name: str, in_channels: int, coarsest: int) -> EncoderSize:
    """Measure an encoder; results are cached because the planner needs them for many patches.

    Args:
        name: Name of the timm model.
        in_channels: Image channels.
        coarsest: Stride of the coarsest feature map to use.

    Raises:
        MissingPackage: If timm is not installed.
        UnknownComponent: If timm has no such model, or none of its feature maps can be used.
    """
    with torch.device("meta"):
        encoder = make_encoder(name, in_channels, coarsest)
        image = torch.zeros(1, in_channels, MEASURED_EDGE, MEASURED_EDGE)
        strides, channels = _strides_and_channels(encoder)
        kept = _kept_values(encoder, image)
        multiplications = _multiplications(encoder, image)
    return EncoderSize(
        strides, channels, kept / image[0, 0].numel(), multiplications / image[0, 0].numel()
    )


def make_encoder(name: str, in_channels: int, coarsest: int) -> nn.Module:
    """Create an encoder with random weights, which returns the list of its feature maps.

    The feature maps are ordered from finest to coarsest.

    Args:
        name: Name of the timm model.
        in_channels: Image channels.
        coarsest: Stride of the coarsest feature map to use; later layers are removed.

    Raises:
        MissingPackage: If timm is not installed.
        UnknownComponent: If timm has no such model, or none of its feature maps can be used.
    """
    return _create_encoder(name, in_channels, coarsest, {"pretrained": False})


def pretrained_weights(
    name: str, in_channels: int, coarsest: int, source: Path | None
) -> dict[str, Tensor]:
    """Load the pretrained weights of an encoder as a state dict.

    timm adapts the first convolution to the image channels.

    Args:
        name: Name of the timm model.
        in_channels: Image channels.
        coarsest: Stride of the coarsest feature map to use, as for `make_encoder`.
        source: File with the weights of the whole model, as saved by timm. None loads the weights
            of timm, from its cache or online.

    Raises:
        MissingPackage: If timm is not installed.
        ModelError: If the weights do not exist or cannot be loaded.
    """
    settings: dict[str, Any] = {"pretrained": True}
    if source is not None:
        _check_file(name, source)
        settings["pretrained_cfg_overlay"] = {"file": str(source)}
    try:
        return _create_encoder(name, in_channels, coarsest, settings).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        msg = (
            f"the weights of {name} cannot be loaded from {source or 'the internet'}: {error}. Set "
            "`pretrained` in plan.json to a file of weights, or to false for random weights."
        )
        raise ModelError(msg) from error


def _check_file(name: str, source: Path) -> None:
    """Check that a file contains all weights of a model, because timm skips missing tensors.

    Raises:
        ModelError: If the file is missing, corrupt or incomplete.
    """
    hint = f"Expected weights of {name} as saved by timm. Correct `pretrained` in plan.json."
    if source.suffix != ".safetensors":
        msg = (
            f"{source} is not a .safetensors file, and other weight files can run code when "
            f"opened. {hint}"
        )
        raise ModelError(msg)
    if not source.is_file():
        msg = f"{source} is not a file. {hint}"
        raise ModelError(msg)
    try:
        found = set(load_file(source))
    except (OSError, ValueError, SafetensorError) as error:
        msg = f"{source} cannot be read: {error}. {hint}"
        raise ModelError(msg) from error
    with torch.device("meta"):
        model = _import_timm().create_model(name, num_classes=0)
    missing = sorted(set(model.state_dict()) - found)
    if missing:
        msg = f"{source} lacks {len(missing)} tensors, the first of which is {missing[0]}. {hint}"
        raise ModelError(msg)


def _import_timm() -> Any:  # noqa: ANN401  (a module)
    """Import timm.

    Raises:
        MissingPackage: If timm cannot be imported.
    """
    try:
        return import_module("timm")
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision does not match torch
        msg = (
            f"encoder_unet needs timm, which cannot be imported ({error}). Install it with: pip "
            'install "autoseg[timm]". Install torchvision from the same source as torch.'
        )
        raise MissingPackage(msg) from error


def _create_encoder(
    name: str, in_channels: int, coarsest: int, settings: dict[str, Any]
) -> nn.Module:
    timm = _import_timm()
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=5)
        similar = f" Similar: {', '.join(near)}." if near else ""
        msg = f"timm has no model called {name!r}.{similar} timm.list_models() lists all models."
        raise UnknownComponent(msg)
    strides = _all_strides(name)
    used = tuple(index for index, stride in enumerate(strides) if stride <= coarsest)
    if not used:
        msg = (
            f"the finest feature map of {name} has stride {strides[0]}, but the coarsest stage of "
            f"this patch has stride {coarsest}. Use another encoder or a larger patch."
        )
        raise UnknownComponent(msg)
    return _feature_extractor(
        timm, name, {"in_chans": in_channels, "out_indices": used, **settings}
    )


@cache
def _all_strides(name: str) -> tuple[int, ...]:
    """Return the strides of all feature maps of a model.

    Raises:
        UnknownComponent: If the model is not an encoder or does not support all image sizes.
    """
    with torch.device("meta"):
        encoder = _feature_extractor(_import_timm(), name, {})
        strides, _ = _strides_and_channels(encoder)
        try:
            maps = encoder(torch.zeros(1, 3, MEASURED_EDGE, MEASURED_EDGE))
        except (AssertionError, RuntimeError) as error:
            raise UnknownComponent(_unusable(name, str(error))) from error
    edges = [stride * entry.shape[-1] for stride, entry in zip(strides, maps, strict=True)]
    if any(edge != MEASURED_EDGE for edge in edges):
        raise UnknownComponent(_unusable(name, "its convolutions do not pad"))
    return strides


def _feature_extractor(timm: Any, name: str, settings: dict[str, Any]) -> nn.Module:  # noqa: ANN401
    try:
        encoder: nn.Module = timm.create_model(name, features_only=True, **settings)
    except (AttributeError, NotImplementedError, TypeError) as error:
        raise UnknownComponent(_unusable(name, str(error))) from error
    if str(getattr(encoder, "output_fmt", "NCHW")).rpartition(".")[2] != "NCHW":
        raise UnknownComponent(_unusable(name, "its feature maps have channels last"))
    strides, _ = _strides_and_channels(encoder)
    if any(after != 2 * before for before, after in pairwise(strides)):
        reason = f"its feature maps have the strides {', '.join(map(str, strides))}"
        raise UnknownComponent(_unusable(name, reason))
    return encoder


def _unusable(name: str, reason: str) -> str:
    """Build the message for a model that is not an encoder."""
    return (
        f"{name} cannot be used as an encoder: {reason}. Expected a convolutional network of timm "
        "in which each feature map has twice the stride of the previous one, e.g. resnet34 or "
        "efficientnet_b0."
    )


def _strides_and_channels(encoder: nn.Module) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the stride and the channels of each feature map."""
    info: Any = encoder.feature_info
    return tuple(info.reduction()), tuple(info.channels())


def _kept_values(encoder: nn.Module, image: Tensor) -> int:
    """Count the values that autograd saves in a forward pass, each tensor once."""
    sizes: dict[int, tuple[object, int]] = {}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = (storage, storage.nbytes() // tensor.element_size())  # noqa: SLF001
        return tensor

    for constant in (*encoder.parameters(), *encoder.buffers()):
        record(constant)
    constants = set(sizes)
    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        encoder(image)
    return sum(size for key, (_, size) in sizes.items() if key not in constants)


def _multiplications(encoder: nn.Module, image: Tensor) -> int:
    """Count the multiplications of convolutions and linear layers in a forward pass."""
    count = 0

    def add(module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal count
        weight: Any = module.weight
        count += weight[0].numel() * output.numel()

    layers = [entry for entry in encoder.modules() if isinstance(entry, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    encoder(image)
    for hook in hooks:
        hook.remove()
    return count
