"""Top-k cross-entropy: cross-entropy of the hardest voxels only.

Source: Wu et al., arXiv 1605.06885, section 3.2 (online bootstrapping); a share of the voxels
instead of a threshold is from Ma et al., Medical Image Analysis 71 (2021), equation 3, k = 10 %.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Loss, Targets, Valid
from autoseg.losses.cross_entropy import ClassWeights, cross_entropy_terms, term_weights

Share = Annotated[float, Field(gt=0, le=1)]


@LOSSES.register
class TopK(Loss):
    """Mean cross-entropy of the hardest valid voxels of the batch, at least one.

    The share refers to the valid voxels, without the ignored ones. With class weights, voxels are
    ranked by weighted cross-entropy, and the result is the weighted mean. The cross-entropies of
    several regions are averaged per voxel first.

    Attributes:
        fraction: Share of the valid voxels to average.
        class_weights: Weight of each class, background first (or of each
            region); None means equal weights.
    """

    kind: Literal["topk"] = "topk"
    fraction: Share = 0.1
    class_weights: ClassWeights = None

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        terms = cross_entropy_terms(logits, labels)
        weights = term_weights(terms, labels, self.class_weights)
        if weights is None:
            weights = torch.ones_like(terms)
        each, weight = (terms * weights).sum(dim=1), weights.sum(dim=1)
        if valid is not None:
            each, weight = each[valid], weight[valid]
        if each.numel() == 0:
            return each.sum()  # 0 with a gradient of 0
        count = max(1, round(self.fraction * each.numel()))
        hardest, indices = each.flatten().topk(count, sorted=False)
        return hardest.sum() / weight.flatten()[indices].sum()
