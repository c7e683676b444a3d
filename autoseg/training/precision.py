"""Choose the data type of convolutions in a training."""

import numpy as np
import torch

from autoseg.architectures import Topology
from autoseg.core.device import Precision, autocast_dtype

FAULTY_SIZE = 2
"""Voxels along an axis at which the weight gradient of a 3-D convolution with kernels of 3 in
bfloat16 is sometimes NaN on a CPU. Source: measured with torch 2.13.0; sizes 1, 3 and 4 are valid.
"""


def training_dtype(device: torch.device, precision: Precision, topology: Topology) -> torch.dtype:
    """Return the dtype of `autocast_dtype`, but never a dtype that yields NaN.

    Volumes of two planes are trained in float32 on a CPU unless a precision is requested.

    Args:
        device: Device to train on.
        precision: Requested precision; "auto" chooses by device.
        topology: Topology of the network.
    """
    chosen = autocast_dtype(device, precision)
    is_faulty = device.type == "cpu" and chosen == torch.bfloat16 and _has_faulty_stage(topology)
    return torch.float32 if precision == "auto" and is_faulty else chosen


def _has_faulty_stage(topology: Topology) -> bool:
    """Return True if a 3-D convolution with a kernel of 3 gets an axis of the faulty size."""
    sizes = np.array(topology.patch_shape) // np.cumprod(topology.strides, axis=0)
    is_faulty = (sizes == FAULTY_SIZE) & (np.array(topology.kernels) > 1)
    return topology.num_axes == 3 and bool(is_faulty.any())
