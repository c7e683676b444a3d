"""Segmentation heads: 1 × 1 convolutions that predict the logits of the classes."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override


def segmentation_head(num_axes: int) -> Callable[[int, int], nn.Module]:
    """Return a function that creates a segmentation head for 2 or 3 axes.

    It takes the number of features and the number of logits. The head's parameters have the names
    and shapes of a 1 × 1 convolution in PyTorch. It maps `batch features *space` to
    `batch logits *space`.
    """
    return partial(SegmentationHead2d if num_axes == 2 else SegmentationHead3d, kernel_size=1)


class SegmentationHead2d(nn.Conv2d):
    """2-D segmentation head; on a CPU its logits are float32 even under autocast."""

    @override
    def forward(self, maps: Tensor) -> Tensor:
        return _product(self, maps) if maps.device.type == "cpu" else super().forward(maps)


class SegmentationHead3d(nn.Conv3d):
    """3-D segmentation head; on a CPU its logits are float32 even under autocast."""

    @override
    def forward(self, maps: Tensor) -> Tensor:
        return _product(self, maps) if maps.device.type == "cpu" else super().forward(maps)


def _product(head: nn.Conv2d | nn.Conv3d, maps: Tensor) -> Tensor:
    """Compute the logits as a matrix product in the dtype of the weights, channels last in memory.

    oneDNN's bfloat16 convolution with few outputs writes out of bounds: on a CPU with AMX and
    PyTorch 2.13.0, `Conv3d(16, 4, 1)` on 2 × 16 × 8×128×128 caused a segmentation fault.
    """
    with torch.autocast("cpu", enabled=False):
        voxels = maps.movedim(1, -1).to(head.weight.dtype)
        return F.linear(voxels, head.weight.flatten(1), head.bias).movedim(-1, 1)
