"""Limits on the numbers of a plan that cost time or memory.

A plan may be edited, and a model file may come from anyone. Each limit is far beyond what is
useful, but low enough that a network can be described before its memory is predicted.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

MOST_STAGES = 16
"""Maximum number of stages of a network."""

PatchEdge = Annotated[int, Field(ge=1, le=65536)]
"""Size of a patch along an axis, voxels."""

Stride = Annotated[int, Field(ge=1, le=64)]
"""Downsampling factor of a stage along an axis."""

Kernel = Annotated[int, Field(ge=1, le=31)]
"""Size of a convolution along an axis, voxels."""

Width = Annotated[int, Field(ge=1, le=16384)]
"""Number of features."""

Channels = Annotated[int, Field(ge=1, le=65536)]
"""Number of image channels, or of classes."""

LayerCount = Annotated[int, Field(ge=1, le=64)]
"""Number of layers of one kind, in a stage or in a network."""

BatchSize = Annotated[int, Field(ge=1, le=65536)]
"""Patches per optimiser step."""

Spacing = Annotated[float, Field(ge=1e-9, le=1e9)]
"""Voxel size along an axis, mm or px."""


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    """Return a range whose first number must not be larger than its second one."""
    if limits[0] > limits[1]:
        msg = f"found the range {list(limits)}; expected the smaller number first."
        raise ValueError(msg)
    return limits


_Limit = Annotated[float, Field(ge=0, le=100)]
Range = Annotated[tuple[_Limit, _Limit], AfterValidator(_ascending)]
"""Smallest and largest value of an augmentation."""

Degrees = Annotated[float, Field(ge=0, le=360)]
"""Largest angle of a rotation."""
