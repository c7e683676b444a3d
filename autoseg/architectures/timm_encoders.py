"""Encoders of timm (PyTorch Image Models), an optional dependency that is imported lazily.

Source: Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models.
"""

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

from autoseg.architectures.encoders import backbones
from autoseg.core.errors import MissingPackage, ModelError, UnknownComponent

MEASURED_EDGE = 32 * 11
"""Edge of the image that encoders are measured with on the meta device, pixels. It is divisible by
all strides, but not by the fixed window or image sizes that some models require."""


def check_finest_stride(name: str, finest: int, coarsest: int) -> None:
    """Check that an encoder starts at a resolution of the network.

    Args:
        name: Name of the encoder.
        finest: Stride of its finest feature map.
        coarsest: Stride of the coarsest stage of the network.

    Raises:
        UnknownComponent: If all feature maps of the encoder are too coarse.
    """
    if finest > coarsest:
        msg = (
            f"the finest feature map of {name} has stride {finest}, but the coarsest stage of "
            f"this patch has stride {coarsest}. Use another encoder or a larger patch."
        )
        raise UnknownComponent(msg)


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
    if not _import_timm().is_model(name):
        msg = (
            f"timm has no pretrained weights for {name}. Set `pretrained` in plan.json to false, "
            "or `encoder` to a model of timm, e.g. resnet34."
        )
        raise ModelError(msg)
    settings: dict[str, Any] = {"pretrained": True}
    if source is not None:
        _check_file(name, source)
        settings["pretrained_cfg_overlay"] = {"file": str(source)}
    try:
        return timm_encoder(name, in_channels, coarsest, **settings).state_dict()
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
            "encoder_unet needs timm for pretrained weights and for encoders that autoseg does not "
            f"have, but timm cannot be imported ({error}). Install it with: pip install "
            '"autoseg[timm]", and torchvision from the same source as torch. Or write one of '
            "autoseg's encoders into plan.json, e.g. resnet34, and set `pretrained` to false."
        )
        raise MissingPackage(msg) from error


def timm_encoder(name: str, in_channels: int, coarsest: int, **settings: object) -> nn.Module:
    """Create an encoder of timm, which returns the list of its feature maps.

    Args:
        name: Name of the timm model.
        in_channels: Image channels.
        coarsest: Stride of the coarsest feature map to use; later layers are removed.
        settings: Further arguments of `timm.create_model`; by default, weights are random.

    Raises:
        MissingPackage: If timm is not installed.
        UnknownComponent: If timm has no such model, or none of its feature maps can be used.
    """
    timm = _import_timm()
    if not timm.is_model(name):
        near = get_close_matches(name, [*backbones(), *timm.list_models()], n=5)
        similar = f" Similar: {', '.join(near)}." if near else ""
        msg = (
            f"neither autoseg nor timm has an encoder called {name!r}.{similar} "
            "timm.list_models() lists all models of timm."
        )
        raise UnknownComponent(msg)
    strides = _all_strides(name)
    check_finest_stride(name, strides[0], coarsest)
    used = tuple(index for index, stride in enumerate(strides) if stride <= coarsest)
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
