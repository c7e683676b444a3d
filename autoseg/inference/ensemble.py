"""Several networks that answer as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Literal

import torch
from torch import nn

from autoseg.core.device import autocast
from autoseg.core.tensors import ImageBatch, ScoredLogits
from autoseg.inference.agreement import Agreement


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
    """

    networks: tuple[nn.Module, ...]
    device: torch.device
    dtype: torch.dtype
    patch_shape: tuple[int, ...]
    num_classes: int
    mirror_axes: tuple[int, ...] = ()
    blending: Literal["exact", "nnunet"] = "exact"
    margin: tuple[int, ...] = ()
    agreement: Agreement | None = None

    @torch.inference_mode()
    def mean_logits(self, tiles: ImageBatch) -> ScoredLogits:
        """Return the mean float32 logits over all networks and all flips of `mirror_axes`.

        Source: nnU-Net (Isensee et al. 2021): logits, not probabilities, are averaged.
        """
        tiles = tiles.to(self.device)
        flips = _all_flips(self.mirror_axes)
        total: torch.Tensor | None = None
        for network in self.networks:
            watch = _Watch(self.agreement) if self.agreement and len(flips) > 1 else None
            for axes in flips:
                logits = self._flipped_logits(network, tiles, axes)
                if watch is not None:
                    watch.see(logits)
                total = logits if total is None else total.add_(logits)
            if watch is not None:
                watch.finish()
        if total is None:
            msg = "an ensemble needs at least one network."
            raise ValueError(msg)
        return total.div_(len(self.networks) * len(flips))

    def _flipped_logits(
        self, network: nn.Module, tiles: ImageBatch, axes: Sequence[int]
    ) -> ScoredLogits:
        dims = [2 + axis for axis in axes]
        with autocast(self.device, self.dtype):
            logits: torch.Tensor = network(tiles.flip(dims) if dims else tiles).logits
        logits = logits.float()
        return logits.flip(dims) if dims else logits  # flip copies, even along no axis


class _Watch:
    """Keeps what one network answers to each flip of some tiles, until its mean is known."""

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement
        self._answers: list[torch.Tensor] = []
        self._total: torch.Tensor | None = None

    def see(self, logits: ScoredLogits) -> None:
        """Take the logits of one flip, which stay as they are."""
        self._answers.append(self._agreement.answer(logits))
        self._total = logits.clone() if self._total is None else self._total.add_(logits)

    def finish(self) -> None:
        """Add the agreement of the flips with their mean."""
        if self._total is not None:
            self._agreement.add(self._answers, self._agreement.answer(self._total))


def _all_flips(axes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return every subset of the axes, the empty one first."""
    return tuple(chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))
