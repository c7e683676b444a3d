"""Encoders of timm, the PyTorch image models: optional, and imported only where one is made.

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
"""Pixels per axis of the images that an encoder is measured with; nothing is computed. All
strides divide it, but no window or image size that some models are made for."""


@dataclass(frozen=True)
class EncoderSize:
    """What an encoder gives and takes.

    Attributes:
        strides: Per set of maps that it gives, how many times fewer pixels they have per axis than
            the image; powers of two, each twice the one before.
        channels: Of each set.
        kept_values: That a training step keeps for the backward pass, per pixel of the image.
        multiplications: Of a forward pass, per pixel of the image.
    """

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    kept_values: float
    multiplications: float


@cache
def encoder_size(name: str, in_channels: int, coarsest: int) -> EncoderSize:
    """Return the size of an encoder of random weights; kept, since the planner asks for each patch.

    Args:
        name: As timm calls it.
        in_channels: Image channels.
        coarsest: Stride of the coarsest maps that are needed.

    Raises:
        MissingPackage: If timm is not installed.
        UnknownComponent: If timm has no such model, or none of its maps can be used.
    """
    with torch.device("meta"):
        encoder = make_encoder(name, in_channels, coarsest)
        image = torch.zeros(1, in_channels, MEASURED_EDGE, MEASURED_EDGE)
        strides, channels = _maps(encoder)
        kept = _kept_values(encoder, image)
        multiplications = _multiplications(encoder, image)
    return EncoderSize(
        strides, channels, kept / image[0, 0].numel(), multiplications / image[0, 0].numel()
    )


def make_encoder(name: str, in_channels: int, coarsest: int) -> nn.Module:
    """Return an encoder of random weights, which gives the list of its maps, finest first.

    Args:
        name: As timm calls it.
        in_channels: Image channels.
        coarsest: Stride of the coarsest maps that are needed; what comes after them is left out.

    Raises:
        MissingPackage: If timm is not installed.
        UnknownComponent: If timm has no such model, or none of its maps can be used.
    """
    return _created(name, in_channels, coarsest, {"pretrained": False})


def pretrained_weights(
    name: str, in_channels: int, coarsest: int, source: Path | None
) -> dict[str, Tensor]:
    """Return the weights of an encoder that was trained before, by their name in it.

    The first convolution is adapted to the image channels, as timm does it.

    Args:
        name: As timm calls it.
        in_channels: Image channels.
        coarsest: As for `make_encoder`.
        source: File of the whole model's weights, as timm saves them; none takes those that timm
            names, from its cache or online.

    Raises:
        MissingPackage: If timm is not installed.
        ModelError: If there are no such weights, or they cannot be had.
    """
    settings: dict[str, Any] = {"pretrained": True}
    if source is not None:
        _check_file(name, source)
        settings["pretrained_cfg_overlay"] = {"file": str(source)}
    try:
        return _created(name, in_channels, coarsest, settings).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        msg = (
            f"the weights of {name} cannot be had from {source or 'the internet'}: {error}. Set "
            "`pretrained` in plan.json to a file of them, or to false for random ones."
        )
        raise ModelError(msg) from error


def _check_file(name: str, source: Path) -> None:
    """Check that a file holds the weights of a model: timm skips over what it does not find.

    Raises:
        ModelError: If it is missing, damaged, or lacks some.
    """
    wanted = f"Expected weights of {name} as timm saves them. Correct `pretrained` in plan.json."
    if source.suffix != ".safetensors":
        msg = (
            f"{source} is no .safetensors file, and other files of weights can run code when they "
            f"are opened. {wanted}"
        )
        raise ModelError(msg)
    if not source.is_file():
        msg = f"{source} is no file. {wanted}"
        raise ModelError(msg)
    try:
        found = set(load_file(source))
    except (OSError, ValueError, SafetensorError) as error:
        msg = f"{source} cannot be read: {error}. {wanted}"
        raise ModelError(msg) from error
    with torch.device("meta"):
        model = _timm().create_model(name, num_classes=0)
    missing = sorted(set(model.state_dict()) - found)
    if missing:
        msg = f"{source} lacks {len(missing)} tensors, of which {missing[0]} is the first. {wanted}"
        raise ModelError(msg)


def _timm() -> Any:  # noqa: ANN401  (a module)
    """Return timm.

    Raises:
        MissingPackage: If it cannot be imported.
    """
    try:
        return import_module("timm")
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
        msg = (
            f"encoders come from timm, which cannot be imported ({error}). Install it: pip install "
            '"autoseg[timm]", with torchvision from where torch comes from.'
        )
        raise MissingPackage(msg) from error


def _created(name: str, in_channels: int, coarsest: int, settings: dict[str, Any]) -> nn.Module:
    timm = _timm()
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=5)
        likely = f" Similar: {', '.join(near)}." if near else ""
        msg = f"timm has no model called {name!r}.{likely} timm.list_models() lists all."
        raise UnknownComponent(msg)
    strides = _all_strides(name)
    wanted = tuple(index for index, stride in enumerate(strides) if stride <= coarsest)
    if not wanted:
        msg = (
            f"the finest maps of {name} are {strides[0]} times coarser than the image, but this "
            f"patch is halved only to {coarsest} times. Take another encoder, or a larger patch."
        )
        raise UnknownComponent(msg)
    return _features(timm, name, {"in_chans": in_channels, "out_indices": wanted, **settings})


@cache
def _all_strides(name: str) -> tuple[int, ...]:
    """Return the strides of all maps that a model gives.

    Raises:
        UnknownComponent: If they are not those of an encoder, or not for images of any size.
    """
    with torch.device("meta"):
        encoder = _features(_timm(), name, {})
        strides, _ = _maps(encoder)
        try:
            maps = encoder(torch.zeros(1, 3, MEASURED_EDGE, MEASURED_EDGE))
        except (AssertionError, RuntimeError) as error:
            raise UnknownComponent(_unusable(name, str(error))) from error
    edges = [stride * entry.shape[-1] for stride, entry in zip(strides, maps, strict=True)]
    if any(edge != MEASURED_EDGE for edge in edges):
        raise UnknownComponent(_unusable(name, "its convolutions do not pad"))
    return strides


def _features(timm: Any, name: str, settings: dict[str, Any]) -> nn.Module:  # noqa: ANN401
    try:
        made: nn.Module = timm.create_model(name, features_only=True, **settings)
    except (AttributeError, NotImplementedError, TypeError) as error:
        raise UnknownComponent(_unusable(name, str(error))) from error
    if str(getattr(made, "output_fmt", "NCHW")).rpartition(".")[2] != "NCHW":
        raise UnknownComponent(_unusable(name, "its maps have their channels last"))
    strides, _ = _maps(made)
    if any(after != 2 * before for before, after in pairwise(strides)):
        found = f"its maps are {', '.join(map(str, strides))} times coarser than the image"
        raise UnknownComponent(_unusable(name, found))
    return made


def _unusable(name: str, found: str) -> str:
    return (
        f"{name} cannot be an encoder: {found}. Expected a convolutional network of timm, each of "
        "whose maps is twice coarser than the one before, as of resnet34 or efficientnet_b0."
    )


def _maps(encoder: nn.Module) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the stride and the channels of each set of maps."""
    info: Any = encoder.feature_info
    return tuple(info.reduction()), tuple(info.channels())


def _kept_values(encoder: nn.Module, image: Tensor) -> int:
    """Return how many values autograd keeps of a forward pass, each tensor once."""
    sizes: dict[int, tuple[object, int]] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = (storage, storage.nbytes() // tensor.element_size())  # noqa: SLF001
        return tensor

    for constant in (*encoder.parameters(), *encoder.buffers()):
        note(constant)
    constants = set(sizes)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        encoder(image)
    return sum(size for key, (_, size) in sizes.items() if key not in constants)


def _multiplications(encoder: nn.Module, image: Tensor) -> int:
    """Return how many multiplications the convolutions and linear layers of a pass take."""
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
