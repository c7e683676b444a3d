"""Initialise a network with pretrained weights as far as they fit.

Tensors with the same name and shape are copied. The first convolution is adapted to other channels,
the heads to other classes. Other tensors with a different shape (kernels, features, stages) keep
their random initialisation.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn

from autoseg.core.errors import TrainingError
from autoseg.documents.recipe import Recipe
from autoseg.documents.run import Pretraining, TensorGroup

FIRST_STAGE = re.compile(r".*?\d+\.")
"""Prefix of the tensor names of a network's first stage: up to the first number."""

WARM_UP = 0.05
"""Share of a fine-tuning in which the learning rate rises from zero, so that new heads do not
destroy pretrained features. Source: nnU-Net's trainers for pretrained weights (development version
of 2025), 50 of 1000 epochs; Ulrich et al., MICCAI 2023."""


@dataclass(frozen=True)
class Interface:
    """Names of the inputs and outputs of a network.

    Attributes:
        channels: Image channels. Any further input channels are cascade input.
        outputs: Classes (background first) or regions, one per output channel.
    """

    channels: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Pretrained:
    """Pretrained weights, with the interfaces of the source and the target network.

    Attributes:
        model: Display name of the source model.
        tensors: Weights of the source model, by name.
        there: Interface of the source model.
        here: Interface of the network to initialise.
    """

    model: str
    tensors: Mapping[str, Tensor]
    there: Interface
    here: Interface

    @cached_property
    def sha256(self) -> str:
        """Hash of the names, shapes, dtypes and values of all weights."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            values = self.tensors[name].contiguous()
            digest.update(f"{name}:{tuple(values.shape)}:{values.dtype}\n".encode())
            digest.update(values.cpu().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def load_into(self, network: nn.Module) -> Pretraining:
        """Load the weights that fit into a network, and return a record of all tensors.

        Raises:
            TrainingError: If no weight fits.
        """
        own = network.state_dict()
        stems = _kernels(own, _names(network, "stems")).keys() or _first_stage_stems(own)
        heads = _names(network, "heads")
        copied: dict[str, Tensor] = {}
        adapted: dict[str, Tensor] = {}
        for name in own.keys() & self.tensors.keys():
            source = self.tensors[name].to(own[name])
            fitted = self._fitted(own[name], source, is_stem=name in stems, is_head=name in heads)
            if fitted is not None:
                (copied if fitted is source else adapted)[name] = fitted
        if not copied and not adapted:
            msg = (
                f"no weight of {self.model} fits this network: its features or kernels differ. "
                "Train without --pretrained, or copy `features` and `kernels` from the plan.json "
                "of that model to this plan.json."
            )
            raise TrainingError(msg)
        network.load_state_dict({**own, **copied, **adapted})
        used = copied.keys() | adapted.keys()
        return Pretraining(
            model=self.model,
            sha256=self.sha256,
            taken=_group(own, copied),
            adapted=_group(own, adapted),
            fresh=_group(own, own.keys() - used),
            unused=_group(self.tensors, self.tensors.keys() - used),
        )

    def _fitted(
        self, own: Tensor, source: Tensor, *, is_stem: bool, is_head: bool
    ) -> Tensor | None:
        """Return the initial values of a tensor, `source` itself if unchanged; None if unfit."""
        if is_stem:
            return adapted_stem(own, source, here=self.here.channels, there=self.there.channels)
        if is_head:
            return adapted_head(own, source, here=self.here.outputs, there=self.there.outputs)
        return source if source.shape == own.shape else None


def _kernels(tensors: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return the named weights of convolutions, without biases."""
    return {name: tensors[name] for name in tensors if name in names and tensors[name].ndim > 2}


def _first_stage_stems(tensors: Mapping[str, Tensor]) -> set[str]:
    """Return the names of the convolutions that see the image, usually only the first one.

    The first stage may have a residual shortcut with a second convolution on the image. It has the
    same number of inputs as the first one, unlike later convolutions, whose inputs are features. If
    the number of image channels equals that of features, only the first convolution is returned.
    """
    kernels = _kernels(tensors, tensors)
    first = next(iter(kernels), "")
    stage = FIRST_STAGE.match(first)
    if stage is None or kernels[first].shape[0] == kernels[first].shape[1]:
        return {first}
    return {
        name
        for name, tensor in kernels.items()
        if name.startswith(stage[0]) and tensor.shape[1] == kernels[first].shape[1]
    }


def _names(network: nn.Module, attribute: str) -> set[str]:
    """Return the names of the tensors of the modules in an attribute; empty if it is missing."""
    modules = cast("Iterable[nn.Module]", getattr(network, attribute, ()))
    chosen = {id(parameter) for module in modules for parameter in module.parameters()}
    return {name for name, parameter in network.named_parameters() if id(parameter) in chosen}


def adapted_stem(
    own: Tensor, source: Tensor, *, here: tuple[str, ...], there: tuple[str, ...]
) -> Tensor | None:
    """Adapt the weights of the first convolution to other image channels; None if they do not fit.

    A channel with the same name in both networks keeps its weights; other channels get the mean
    over all channels of the source. If no name is shared, the channels are copied in their order if
    their number is equal; if not, all get the mean, scaled so that the sum over channels is kept.
    Weights of the cascade input are copied if its number of channels is equal.

    Source: Carreira & Zisserman, CVPR 2017, section 2.4 (repeat and divide); matching names is
    autoseg's own rule.

    Args:
        own: `(features, inputs, *kernel)`, initial weights of the network.
        source: `(features, inputs, *kernel)`, pretrained weights.
        here: Names of the network's image channels.
        there: Names of the source's image channels.
    """
    if source.shape[0] != own.shape[0] or source.shape[2:] != own.shape[2:]:
        return None
    partners = _partners(here, there)
    in_order = tuple(range(len(there)))
    if set(partners) == {None} and len(here) == len(there):
        partners = in_order
    extra = own.shape[1] - len(here)
    has_same_extra = source.shape[1] - len(there) == extra
    if has_same_extra and partners == in_order:
        return source
    result = own.clone()
    mean = source[:, : len(there)].mean(dim=1)
    if set(partners) == {None}:
        mean = mean * (len(there) / len(here))
    for channel, place in enumerate(partners):
        result[:, channel] = mean if place is None else source[:, place]
    if extra and has_same_extra:
        result[:, len(here) :] = source[:, len(there) :]
    return result


def adapted_head(
    own: Tensor, source: Tensor, *, here: tuple[str, ...], there: tuple[str, ...]
) -> Tensor | None:
    """Adapt the weights or biases of a head to other classes; None if no name is shared.

    An output with the same name in both networks gets the pretrained row; the others keep their
    initial values.

    Args:
        own: `(outputs, …)`, initial values of the network.
        source: `(outputs, …)`, pretrained values.
        here: Names of the network's outputs.
        there: Names of the source's outputs.
    """
    partners = _partners(here, there)
    if source.shape[1:] != own.shape[1:] or set(partners) == {None}:
        return None
    if partners == tuple(range(len(there))):
        return source
    result = own.clone()
    for row, place in enumerate(partners):
        if place is not None:
            result[row] = source[place]
    return result


def fine_tuning(recipe: Recipe) -> Recipe:
    """Return a recipe with the learning rate and warm-up of a fine-tuning."""
    optimizer, schedule = recipe.optimizer, recipe.schedule
    rate = optimizer.fine_tuning_factor * optimizer.learning_rate
    return recipe.model_copy(
        update={
            "optimizer": optimizer.model_copy(update={"learning_rate": rate}),
            "schedule": schedule.model_copy(update={"warm_up": max(WARM_UP, schedule.warm_up)}),
        }
    )


def _partners(here: tuple[str, ...], there: tuple[str, ...]) -> tuple[int | None, ...]:
    """Return the index in `there` of each name in `here`, ignoring case; None if missing."""
    places = {name.casefold(): place for place, name in reversed(list(enumerate(there)))}
    return tuple(places.get(name.casefold()) for name in here)


def _group(tensors: Mapping[str, Tensor], names: Collection[str]) -> TensorGroup:
    chosen = [name for name in tensors if name in names]
    return TensorGroup(names=tuple(chosen), weights=sum(tensors[name].numel() for name in chosen))
