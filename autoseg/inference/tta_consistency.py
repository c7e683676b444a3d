"""Measure the consistency of a network's predictions under test-time mirroring (TTA).

Uncertain predictions change when the input is mirrored. For each class, the prediction for every
flip is compared with the mean prediction over all flips. The Dice of the two, over all tiles of an
image, is the TTA consistency of the class. It is measured for each network separately, so that
single folds and ensembles of folds are comparable.

Source: Wang et al., "Aleatoric uncertainty estimation with test-time augmentation for medical image
    segmentation with convolutional neural networks", Neurocomputing 338 (2019); Roy et al.,
    "Bayesian QuickNAT", NeuroImage 195 (2019), whose pairwise Dice of samples predicts quality.
"""

import torch
from jaxtyping import Int64

from autoseg.core.tensors import ScoredLogits

Overlap = Int64[torch.Tensor, "2 predicted"]
"""Voxel counts per output, summed over flips: voxels in the predictions of both the flip and the
mean, and voxels in the prediction of the flip plus those of the mean."""


class TtaConsistency:
    """Accumulates overlaps over the tiles of one image, for one configuration."""

    def __init__(self, num_outputs: int, *, is_regional: bool) -> None:
        """Start with zero counts.

        Args:
            num_outputs: Logits per voxel: one per class, or one per region.
            is_regional: Whether the outputs are regions, which may overlap.
        """
        self._is_regional = is_regional
        self._overlap = torch.zeros((2, num_outputs), dtype=torch.int64)

    def hard_predictions(self, logits: ScoredLogits) -> torch.Tensor:
        """Convert logits to classes or region masks, which are small enough to store per flip."""
        if self._is_regional:
            return logits > 0
        return logits.argmax(dim=1).to(torch.int16)

    def count_overlap(self, flips: list[torch.Tensor], mean: torch.Tensor) -> Overlap:
        """Count the overlap of each flip's prediction with the mean prediction of one network.

        The result is not accumulated until it is passed to `add`: if a later network runs out of
        memory, the whole batch of tiles is discarded and repeated in smaller batches.
        """
        mean_counts = self._counts(mean)
        overlap = torch.zeros_like(self._overlap)
        for flip in flips:
            common = flip & mean if self._is_regional else mean[flip == mean]
            overlap += torch.stack([self._counts(common), self._counts(flip) + mean_counts])
        return overlap

    def add(self, overlap: Overlap) -> None:
        """Accumulate an overlap."""
        self._overlap += overlap

    def dice(self) -> tuple[float | None, ...]:
        """Return the TTA consistency of each target, 0 … 1; None if it is in no prediction.

        The targets are in the order of `LabelScheme.targets`: regions, or classes without the
        background.
        """
        first = 0 if self._is_regional else 1
        pairs = self._overlap.T.tolist()
        return tuple(2 * both / size if size else None for both, size in pairs[first:])

    def _counts(self, prediction: torch.Tensor) -> torch.Tensor:
        if self._is_regional:
            return prediction.transpose(0, 1).flatten(1).sum(dim=1).cpu()
        return torch.bincount(prediction.flatten().int(), minlength=self._overlap.shape[1]).cpu()
