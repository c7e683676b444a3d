"""Estimate the memory for preparing a case, and limit worker processes by it."""

from math import prod

from autoseg.core.memory import BYTES_PER_GIB, available_bytes
from autoseg.documents.fingerprint import CaseFingerprint
from autoseg.documents.preparation import PlannedData, PlannedPreparation
from autoseg.preprocessing.resample import resampled_shape, target_spacing

FLOAT_BYTES = 4

READING_COPIES = 3.5
"""Copies of an image that exist at the same time while it is read and reoriented."""

WORKING_COPIES = 1.5
"""Copies of one channel, before and after resampling, that exist at the same time while it is
prepared, in addition to the image and the result. For a CT of 160 × 384 × 384 voxels, 0.48 GiB were
measured and 0.63 GiB predicted."""

LABEL_BYTES = 4
"""Bytes per voxel, before and after resampling, for labels, masks and positions together."""

USABLE_SHARE = 0.8
"""Share of the available memory that workers may use; the rest is for the system's file cache."""


def preparation_bytes(
    case: CaseFingerprint, plan: PlannedPreparation, configuration: PlannedData
) -> int:
    """Estimate the memory in bytes for reading and preparing a case.

    Args:
        case: Fingerprint of the case.
        plan: The plan.
        configuration: One of its configurations.
    """
    channels = len(plan.channel_names)
    spacing = tuple(case.spacing[axis] for axis in plan.axis_order)
    cropped = tuple(case.shape_after_crop[axis] for axis in plan.axis_order)
    target = target_spacing(configuration, spacing)
    read = prod(case.shape)
    kept, prepared = prod(cropped), prod(resampled_shape(cropped, spacing, target))
    working = (channels * (read + prepared) + WORKING_COPIES * (kept + prepared)) * FLOAT_BYTES
    working += LABEL_BYTES * (read + prepared)
    return int(max(reading_bytes(case.shape, channels) + LABEL_BYTES * prepared, working))


def reading_bytes(shape: tuple[int, ...], channels: int, voxel_bytes: int = FLOAT_BYTES) -> int:
    """Estimate the memory in bytes for reading an image with its labels.

    Args:
        shape: Shape in voxels.
        channels: Number of channels.
        voxel_bytes: Bytes per voxel and channel in memory.
    """
    return int((READING_COPIES * channels * voxel_bytes + LABEL_BYTES) * prod(shape))


def fitting_workers(wanted: int, bytes_each: int) -> tuple[int, str]:
    """Limit the number of worker processes by the available memory.

    Args:
        wanted: Number requested by the user or given by the CPU cores.
        bytes_each: Memory of one process, bytes.

    Returns:
        The number of processes, and a message if memory reduces it (empty if not).
    """
    available = available_bytes()
    if available is None:
        return wanted, ""
    affordable = max(1, min(wanted, int(USABLE_SHARE * available / max(bytes_each, 1))))
    if affordable >= wanted:
        return affordable, ""
    return affordable, (
        f"{affordable} at a time instead of {wanted}: the largest case needs about "
        f"{bytes_each / BYTES_PER_GIB:.1f} GiB, and {available / BYTES_PER_GIB:.1f} GiB of memory "
        "are available."
    )
