"""Several networks that answer as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Literal

import torch
from jaxtyping import Float
from torch import nn

from autoseg.core.device import autocast, to_device
from autoseg.core.tensors import ImageBatch, ScoredLogits
from autoseg.inference.heads import SplitHeadNetwork
from autoseg.inference.tta_consistency import Overlap, TtaConsistency

Outputs = Float[torch.Tensor, "batch outputs *scored"]
"""Logits, or the features that they are made of."""


@dataclass(frozen=True)
class Ensemble:
    """Trained networks of one configuration, ready to predict.

    Attributes:
        networks: One per fold, in evaluation mode, on `device`.
        device: Where they run.
        dtype: What convolutions compute in; float32 means no autocast.
        patch_shape: Size of what they score, voxels; 2 or 3 axes.
        num_classes: Classes, background included.
        mirror_axes: Patch axes whose flips are averaged over; empty for none.
        blending: How tiles are averaged; see `Configuration`.
        margin: Voxels per axis and side that their input has around the patch; empty for none.
        agreement: Where it is added up how far the networks agree with themselves over the flips of
            one image; None measures nothing.
        parts: The same networks, each split before its last layer, where they have fewer features
            there than classes; else empty.
    """

    networks: tuple[nn.Module, ...]
    device: torch.device
    dtype: torch.dtype
    patch_shape: tuple[int, ...]
    num_classes: int
    mirror_axes: tuple[int, ...] = ()
    blending: Literal["exact", "nnunet"] = "exact"
    margin: tuple[int, ...] = ()
    agreement: TtaConsistency | None = None
    parts: tuple[SplitHeadNetwork, ...] = ()

    @property
    def num_channels(self) -> int:
        """Channels of what `mean_outputs` returns: features of all networks, or classes."""
        return sum(part.num_features for part in self.parts) or self.num_classes

    @torch.inference_mode()
    def mean_logits(self, tiles: ImageBatch) -> ScoredLogits:
        """Return the mean float32 logits over all networks and all flips of `mirror_axes`.

        Source: nnU-Net (Isensee et al. 2021): logits, not probabilities, are averaged.
        """
        return self.scores(self.mean_outputs(tiles))

    @torch.inference_mode()
    def mean_outputs(self, tiles: ImageBatch) -> Outputs:
        """Return what may be averaged over tiles: of split networks the features, else logits.

        Float32 means over all flips; logits also over all networks, while the features of several
        networks stand one behind the other.

        Args:
            tiles: In main memory.
        """
        tiles, watches = to_device(tiles.numpy(), self.device), list[_Watch]()
        if self.parts:
            means = [self._own_mean(part.trunk, part, tiles, watches) for part in self.parts]
            total = torch.cat(means, 1)
        elif not self.networks:
            msg = "an ensemble needs at least one network."
            raise ValueError(msg)
        else:
            total = self._own_mean(self.networks[0], None, tiles, watches)
            for network in self.networks[1:]:
                total.add_(self._own_mean(network, None, tiles, watches))
            if len(self.networks) > 1:
                total.div_(len(self.networks))
        for watch in watches:  # now that no network can run out of memory any more
            watch.count()
        return total

    @torch.inference_mode()
    def scores(self, outputs: Outputs) -> ScoredLogits:
        """Return the logits that averages of `mean_outputs` stand for, on their device."""
        if not self.parts:
            return outputs
        sizes = [part.num_features for part in self.parts]
        features = torch.split(outputs, sizes, dim=1)
        total = self.parts[0].scores(features[0])
        for part, own in zip(self.parts[1:], features[1:], strict=True):
            total.add_(part.scores(own))
        return total.div_(len(self.parts)) if len(self.parts) > 1 else total

    def _own_mean(
        self,
        network: nn.Module,
        part: SplitHeadNetwork | None,
        tiles: ImageBatch,
        watches: list["_Watch"],
    ) -> Outputs:
        """Return the mean over all flips of what one network, or its trunk, says.

        Args:
            network: The network or the trunk.
            part: Where the trunk comes from; None for a whole network.
            tiles: On the device.
            watches: Gets one more, if it is asked how far networks agree with themselves.
        """
        unflipped, *others = _all_flips(self.mirror_axes)
        watch = _Watch(self.agreement, part) if self.agreement and others else None
        mean = self._flipped_outputs(network, tiles, unflipped)
        if watch is not None:
            watch.see(mean)
        for axes in others:
            outputs = self._flipped_outputs(network, tiles, axes)
            if watch is not None:
                watch.see(outputs)
            mean.add_(outputs)
        if others:
            mean.div_(1 + len(others))
        if watch is not None:
            watch.finish(mean)
            watches.append(watch)
        return mean.contiguous()  # as the sums are that tiles are added to

    def _flipped_outputs(
        self, network: nn.Module, tiles: ImageBatch, axes: Sequence[int]
    ) -> Outputs:
        dims = [2 + axis for axis in axes]
        with autocast(self.device, self.dtype):
            outputs: torch.Tensor = network(tiles.flip(dims) if dims else tiles).logits
        return (outputs.flip(dims) if dims else outputs).float()  # flip copies, even along no axis


class _Watch:
    """Keeps what one network outputs to each flip of some tiles, until its mean is known."""

    def __init__(self, agreement: TtaConsistency, part: SplitHeadNetwork | None) -> None:
        self._agreement = agreement
        self._part = part
        self._outputs: list[torch.Tensor] = []
        self._overlap: Overlap | None = None

    def see(self, outputs: Outputs) -> None:
        """Take what the network says to one flip, which stays as it is."""
        self._outputs.append(self._decided(outputs))

    def finish(self, mean: Outputs) -> None:
        """Find how far the flips agree with their mean; their outputs are let go of."""
        self._overlap = self._agreement.counted(self._outputs, self._decided(mean))
        self._outputs.clear()

    def count(self) -> None:
        """Let it count."""
        if self._overlap is not None:
            self._agreement.add(self._overlap)

    def _decided(self, outputs: Outputs) -> torch.Tensor:
        if self._part is None:
            return self._agreement.answer(outputs)
        parts = self._part.scores_in_parts(outputs)
        return torch.cat([self._agreement.answer(scores) for scores in parts])


def _all_flips(axes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return every subset of the axes, the empty one first."""
    return tuple(chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))
