"""Segmentation heads: the convolutions with a kernel of 1 that give scores of the classes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override


def segmentation_head(num_axes: int) -> Callable[[int, int], nn.Module]:
    """Return the class of the head for 2 or 3 axes, made from the numbers of features and scores.

    Its parameters are named and shaped as those of torch's convolution with a kernel of 1. Maps are
    `batch features *space`, scores `batch scores *space`.
    """
    return SegmentationHead2d if num_axes == 2 else SegmentationHead3d


class SegmentationHead2d(nn.Conv2d):
    """A head for maps of 2 axes; on a CPU its scores are float32, also under autocast."""

    def __init__(self, features: int, scores: int) -> None:
        super().__init__(features, scores, kernel_size=1)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        return _product(self, maps) if maps.device.type == "cpu" else super().forward(maps)


class SegmentationHead3d(nn.Conv3d):
    """A head for maps of 3 axes; on a CPU its scores are float32, also under autocast."""

    def __init__(self, features: int, scores: int) -> None:
        super().__init__(features, scores, kernel_size=1)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        return _product(self, maps) if maps.device.type == "cpu" else super().forward(maps)


def _product(head: nn.Conv2d | nn.Conv3d, maps: Tensor) -> Tensor:
    """Return the scores as a matrix product in the type of the weights, channels last in memory.

    oneDNN's convolution in bfloat16 with few outputs writes beyond its memory: on a CPU with AMX
    and torch 2.13.0, `Conv3d(16, 4, 1)` on 2 × 16 × 8×128×128 ended in a segmentation fault.
    """
    with torch.autocast("cpu", enabled=False):
        voxels = maps.movedim(1, -1).to(head.weight.dtype)
        return F.linear(voxels, head.weight.flatten(1), head.bias).movedim(-1, 1)
