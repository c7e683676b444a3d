"""Average the outputs of several networks and flips."""

from collections.abc import Iterator, Sequence
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
from autoseg.inference.tiling import STEP
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
        step: Largest distance between tiles, as a fraction of the patch; 0 < step <= 1.
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
    step: float = STEP
    margin: tuple[int, ...] = ()
    tta_consistency: TtaConsistency | None = None
    split_networks: tuple[SplitHeadNetwork, ...] = ()

    @property
    def num_channels(self) -> int:
        """Channels of the result of `mean_outputs`: features of all networks, or classes."""
        return sum(part.num_features for part in self.split_networks) or self.num_classes

    @torch.inference_mode()
    def mean_outputs(self, tiles: ImageBatch) -> Outputs:
        """Compute the outputs to average over tiles: features of split networks, otherwise logits.

        Args:
            tiles: Batch of input tiles in main memory.

        Returns:
            Float32 means over all flips. Logits are also averaged over all networks; the features
            of several networks are concatenated.

        Source: nnU-Net (Isensee et al. 2021): logits, not probabilities, are averaged.
        """
        tiles, overlaps = to_device(tiles.numpy(), self.device), list[Overlap]()
        if self.split_networks:
            mean = torch.cat(
                [
                    self._mean_over_flips(part.trunk, part, tiles, overlaps)
                    for part in self.split_networks
                ],
                dim=1,
            )
        elif not self.networks:
            msg = "an ensemble needs at least one network."
            raise ValueError(msg)
        else:
            means = (self._mean_over_flips(each, None, tiles, overlaps) for each in self.networks)
            mean = _mean_in_place(means, len(self.networks))
        if self.tta_consistency is not None:
            for overlap in overlaps:  # only after all networks ran: a batch may run out of memory
                self.tta_consistency.add(overlap)
        return mean

    @torch.inference_mode()
    def scores(self, outputs: Outputs) -> ScoredLogits:
        """Compute the logits for averaged results of `mean_outputs`, on their device."""
        if not self.split_networks:
            return outputs
        sizes = [part.num_features for part in self.split_networks]
        features = torch.split(outputs, sizes, dim=1)
        pairs = zip(self.split_networks, features, strict=True)
        return _mean_in_place((part.scores(each) for part, each in pairs), len(features))

    def _mean_over_flips(
        self,
        network: nn.Module,
        part: SplitHeadNetwork | None,
        tiles: ImageBatch,
        overlaps: list[Overlap],
    ) -> Outputs:
        """Compute the mean output of one network, or of its trunk, over all flips.

        Args:
            network: The network or the trunk.
            part: The split network of the trunk; None for a whole network.
            tiles: Batch of input tiles on the device.
            overlaps: If TTA consistency is measured, the overlap of this network is appended.
        """
        consistency = self.tta_consistency if self.mirror_axes else None
        predictions: list[torch.Tensor] = []

        def flipped_outputs() -> Iterator[Outputs]:
            for axes in _all_flips(self.mirror_axes):
                outputs = self._flipped_outputs(network, tiles, axes)
                if consistency is not None:
                    predictions.append(_hard_predictions(consistency, part, outputs))
                yield outputs
                del outputs  # see `_mean_in_place`

        mean = _mean_in_place(flipped_outputs(), 2 ** len(self.mirror_axes))
        if consistency is not None:
            hard_mean = _hard_predictions(consistency, part, mean)
            overlaps.append(consistency.count_overlap(predictions, hard_mean))
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


def _mean_in_place(tensors: Iterator[torch.Tensor], count: int) -> torch.Tensor:
    """Average tensors one after the other, in the memory of the first one."""
    total = next(tensors)
    for each in tensors:
        total.add_(each)
        del each  # otherwise, its memory would be in use while the next one is computed
    return total.div_(count) if count > 1 else total


def _hard_predictions(
    consistency: TtaConsistency, part: SplitHeadNetwork | None, outputs: Outputs
) -> torch.Tensor:
    """Convert the outputs of a network, or of a split network's trunk, to hard predictions."""
    if part is None:
        return consistency.hard_predictions(outputs)
    return torch.cat(list(map(consistency.hard_predictions, part.scores_in_chunks(outputs))))


def _all_flips(axes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return every subset of the axes, the empty one first."""
    return tuple(chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))
