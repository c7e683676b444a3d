"""Which type a training's convolutions compute in."""

from itertools import accumulate
from operator import mul

import torch

from autoseg.architectures import Topology
from autoseg.core.device import Precision, autocast_dtype

FAULTY_SIZE = 2
"""Voxels along an axis at which a 3-D convolution's weight gradient in bfloat16 is at times not a
number on a CPU, with kernels of 3. Source: measured with torch 2.13.0; sizes 1, 3 and 4 are
valid."""


def training_dtype(device: torch.device, precision: Precision, topology: Topology) -> torch.dtype:
    """Return what convolutions compute in: as `autocast_dtype`, but never what gives no number.

    Volumes of two planes so train in float32 on a CPU, unless a precision is asked for.
    """
    chosen = autocast_dtype(device, precision)
    is_faulty = device.type == "cpu" and chosen == torch.bfloat16 and _has_faulty_stage(topology)
    return torch.float32 if precision == "auto" and is_faulty else chosen


def _has_faulty_stage(topology: Topology) -> bool:
    """Return whether a 3-D convolution sees an axis of the faulty size with a kernel of 3."""
    if topology.num_axes < 3:
        return False
    for axis, size in enumerate(topology.patch_shape):
        divisors = accumulate((strides[axis] for strides in topology.strides), mul)
        for divisor, kernels in zip(divisors, topology.kernels, strict=True):
            if size // divisor == FAULTY_SIZE and kernels[axis] > 1:
                return True
    return False
