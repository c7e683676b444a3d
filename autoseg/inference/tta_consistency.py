"""Measure how far a network agrees with itself when its input is mirrored.

Where it is unsure, mirrored inputs give other outputs. For each class, the answer to every flip is
compared with the network's mean answer over all flips; the overlap of both, over all tiles of an
image, is the agreement of that class. It is measured for each network by itself, so that one fold's
network and several folds together can be compared.

Source: Wang et al., "Aleatoric uncertainty estimation with test-time augmentation for medical image
    segmentation with convolutional neural networks", Neurocomputing 338 (2019); Roy et al.,
    "Bayesian QuickNAT", NeuroImage 195 (2019), whose pairwise Dice of samples predicts quality.
"""

from typing import NamedTuple

import torch

from autoseg.core.tensors import ScoredLogits


class Overlap(NamedTuple):
    """Voxels per output, summed over flips.

    Attributes:
        common: Of flip and mean alike.
        sizes: Of the flip, and of the mean.
    """

    common: torch.Tensor
    sizes: torch.Tensor


class TtaConsistency:
    """Adds up overlaps, tile by tile; one per image and configuration."""

    def __init__(self, num_outputs: int, *, is_regional: bool) -> None:
        """Begin with nothing.

        Args:
            num_outputs: Scores per voxel: one per class, or one per region.
            is_regional: Whether they are those of regions, which may overlap.
        """
        self._is_regional = is_regional
        self._common = torch.zeros(num_outputs, dtype=torch.int64)
        self._sizes = torch.zeros(num_outputs, dtype=torch.int64)

    def answer(self, logits: ScoredLogits) -> torch.Tensor:
        """Return what logits stand for, small enough to keep one per flip."""
        if self._is_regional:
            return logits > 0
        return logits.argmax(dim=1).to(torch.int16)

    def counted(self, flips: list[torch.Tensor], mean: torch.Tensor) -> Overlap:
        """Return the overlaps of one network's outputs to some tiles: to each flip, with the mean.

        They do not count before they are added: a batch of tiles may have to be given up, and asked
        about again in parts, after some of several networks have answered.
        """
        of_mean = self._counts(mean)
        sizes, common = (torch.zeros_like(self._sizes) for _ in range(2))
        for flip in flips:
            sizes += self._counts(flip) + of_mean
            common += self._common_counts(flip, mean)
        return Overlap(common, sizes)

    def add(self, overlap: Overlap) -> None:
        """Take what was counted."""
        self._common += overlap.common
        self._sizes += overlap.sizes

    def dice(self) -> tuple[float | None, ...]:
        """Return the agreement of each target, 0 … 1; None where no answer has it.

        In the order of `LabelScheme.targets`: of each region, or of each class but the background.
        """
        first = 0 if self._is_regional else 1
        pairs = zip(self._common.tolist(), self._sizes.tolist(), strict=True)
        return tuple(2 * both / size if size else None for both, size in pairs)[first:]

    def _counts(self, answer: torch.Tensor) -> torch.Tensor:
        if self._is_regional:
            return _per_region(answer)
        return torch.bincount(answer.flatten().int(), minlength=len(self._sizes)).cpu()

    def _common_counts(self, flip: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        return _per_region(flip & mean) if self._is_regional else self._counts(mean[flip == mean])


def _per_region(masks: torch.Tensor) -> torch.Tensor:
    """Return the voxels of each region over a batch."""
    return masks.transpose(0, 1).flatten(1).sum(dim=1).cpu()
