"""Average the outputs of several networks and flips."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Literal

import torch
from jaxtyping import Float
from torch import nn

from autoseg.core.device import autocast, to_device
from autoseg.core.tensors import ImageBatch, ScoredLogits
from autoseg.documents.plan import Configuration
from autoseg.inference.heads import SplitHeadNetwork, split_head
from autoseg.inference.tta_consistency import Overlap, TtaConsistency

Outputs = Float[torch.Tensor, "batch outputs *scored"]
"""Logits, or the features that a head computes logits from."""


@dataclass(frozen=True)
class Ensemble:
    """Trained networks of one configuration, ready to predict.

    Attributes:
        networks: One per fold, in evaluation mode, on `device`.
        device: Device that the networks run on.
        dtype: Autocast type of convolutions; float32 means no autocast.
        patch_shape: Size of the patch that the networks output, voxels; 2 or 3 axes.
        num_classes: Classes, background included.
        mirror_axes: Patch axes to flip for TTA; empty for none.
        blending: How tiles are averaged; see `Configuration`.
        margin: Voxels per axis and side by which the input is larger than the patch; empty for
            none.
        tta_consistency: Accumulates how consistent the networks are over the flips of one image;
            None to skip this.
        split_networks: The same networks, each split before its last layer, if the split networks
            have fewer features than there are classes; otherwise empty.
    """

    networks: tuple[nn.Module, ...]
    device: torch.device
    dtype: torch.dtype
    patch_shape: tuple[int, ...]
    num_classes: int
    mirror_axes: tuple[int, ...] = ()
    blending: Literal["exact", "nnunet"] = "exact"
    margin: tuple[int, ...] = ()
    tta_consistency: TtaConsistency | None = None
    split_networks: tuple[SplitHeadNetwork, ...] = ()

    @property
    def num_channels(self) -> int:
        """Channels of the result of `mean_outputs`: features of all networks, or classes."""
        return sum(part.num_features for part in self.split_networks) or self.num_classes

    @torch.inference_mode()
    def mean_logits(self, tiles: ImageBatch) -> ScoredLogits:
        """Return the mean float32 logits over all networks and all flips of `mirror_axes`.

        Source: nnU-Net (Isensee et al. 2021): logits, not probabilities, are averaged.
        """
        return self.scores(self.mean_outputs(tiles))

    @torch.inference_mode()
    def mean_outputs(self, tiles: ImageBatch) -> Outputs:
        """Compute the outputs to average over tiles: features of split networks, otherwise logits.

        Args:
            tiles: Batch of input tiles in main memory.

        Returns:
            Float32 means over all flips. Logits are also averaged over all networks; the features
            of several networks are concatenated.
        """
        tiles, recorders = to_device(tiles.numpy(), self.device), list[_FlipRecorder]()
        if self.split_networks:
            means = [
                self._mean_over_flips(part.trunk, part, tiles, recorders)
                for part in self.split_networks
            ]
            total = torch.cat(means, 1)
        elif not self.networks:
            msg = "an ensemble needs at least one network."
            raise ValueError(msg)
        else:
            total = self._mean_over_flips(self.networks[0], None, tiles, recorders)
            for network in self.networks[1:]:
                total.add_(self._mean_over_flips(network, None, tiles, recorders))
            if len(self.networks) > 1:
                total.div_(len(self.networks))
        for recorder in recorders:  # only after all networks ran: a batch may run out of memory
            recorder.commit()
        return total

    @torch.inference_mode()
    def scores(self, outputs: Outputs) -> ScoredLogits:
        """Compute the logits for averaged results of `mean_outputs`, on their device."""
        if not self.split_networks:
            return outputs
        sizes = [part.num_features for part in self.split_networks]
        features = torch.split(outputs, sizes, dim=1)
        total = self.split_networks[0].scores(features[0])
        for part, part_features in zip(self.split_networks[1:], features[1:], strict=True):
            total.add_(part.scores(part_features))
        count = len(self.split_networks)
        return total.div_(count) if count > 1 else total

    def _mean_over_flips(
        self,
        network: nn.Module,
        part: SplitHeadNetwork | None,
        tiles: ImageBatch,
        recorders: list["_FlipRecorder"],
    ) -> Outputs:
        """Compute the mean output of one network, or of its trunk, over all flips.

        Args:
            network: The network or the trunk.
            part: The split network of the trunk; None for a whole network.
            tiles: Batch of input tiles on the device.
            recorders: If TTA consistency is measured, the recorder of this network is appended.
        """
        unflipped, *others = _all_flips(self.mirror_axes)
        recorder = (
            _FlipRecorder(self.tta_consistency, part) if self.tta_consistency and others else None
        )
        mean = self._flipped_outputs(network, tiles, unflipped)
        if recorder is not None:
            recorder.record(mean)
        for axes in others:
            outputs = self._flipped_outputs(network, tiles, axes)
            if recorder is not None:
                recorder.record(outputs)
            mean.add_(outputs)
        if others:
            mean.div_(1 + len(others))
        if recorder is not None:
            recorder.finish(mean)
            recorders.append(recorder)
        return mean.contiguous()  # same memory layout as the sums that tiles are added to

    def _flipped_outputs(
        self, network: nn.Module, tiles: ImageBatch, axes: Sequence[int]
    ) -> Outputs:
        dims = [2 + axis for axis in axes]
        with autocast(self.device, self.dtype):
            outputs: torch.Tensor = network(tiles.flip(dims) if dims else tiles).logits
        return (outputs.flip(dims) if dims else outputs).float()  # flip copies, even along no axis


def build_ensemble(
    networks: Sequence[nn.Module],
    configuration: Configuration,
    *,
    device: torch.device,
    dtype: torch.dtype,
    mirror_axes: tuple[int, ...] = (),
) -> Ensemble:
    """Build an ensemble and set its networks to evaluation mode.

    Networks of nnU-Net are not split before their heads, so that their logits are rounded as in
    nnU-Net.

    Args:
        networks: Networks on `device`.
        configuration: Configuration of the networks.
        device: Device of the networks.
        dtype: Autocast type of convolutions; float32 means no autocast.
        mirror_axes: Patch axes to flip for TTA; empty for none.
    """
    keep_whole = configuration.blending == "nnunet"
    in_eval_mode = tuple(network.eval() for network in networks)
    return Ensemble(
        networks=in_eval_mode,
        device=device,
        dtype=dtype,
        patch_shape=configuration.topology.patch_shape,
        num_classes=configuration.architecture.num_classes,
        mirror_axes=mirror_axes,
        blending=configuration.blending,
        margin=configuration.architecture.output_margin(),
        split_networks=(() if keep_whole else split_head(in_eval_mode, configuration.architecture)),
    )


class _FlipRecorder:
    """Stores one network's predictions for each flip of some tiles until the mean is known."""

    def __init__(self, consistency: TtaConsistency, part: SplitHeadNetwork | None) -> None:
        self._consistency = consistency
        self._part = part
        self._predictions: list[torch.Tensor] = []
        self._overlap: Overlap | None = None

    def record(self, outputs: Outputs) -> None:
        """Store the prediction for one flip; `outputs` is not modified."""
        self._predictions.append(self._hard_predictions(outputs))

    def finish(self, mean: Outputs) -> None:
        """Compute the overlap of each flip with the mean, and free the stored predictions."""
        self._overlap = self._consistency.count_overlap(
            self._predictions, self._hard_predictions(mean)
        )
        self._predictions.clear()

    def commit(self) -> None:
        """Add the overlap to the TTA consistency."""
        if self._overlap is not None:
            self._consistency.add(self._overlap)

    def _hard_predictions(self, outputs: Outputs) -> torch.Tensor:
        if self._part is None:
            return self._consistency.hard_predictions(outputs)
        chunks = self._part.scores_in_chunks(outputs)
        return torch.cat([self._consistency.hard_predictions(scores) for scores in chunks])


def _all_flips(axes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return every subset of the axes, the empty one first."""
    return tuple(chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))
