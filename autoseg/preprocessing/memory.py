"""How much memory preparing a case takes, and how much the machine has left."""

import os
from math import prod
from pathlib import Path

from autoseg.documents.fingerprint import CaseFingerprint
from autoseg.documents.preparation import PlannedData, PlannedPreparation
from autoseg.preprocessing.resample import resampled_shape, target_spacing

FLOAT_BYTES = 4

READING_COPIES = 3.5
"""Copies of a whole image, in float32, that exist at once while it is read and reoriented."""

WORKING_COPIES = 1.5
"""Copies of one channel, before and after resampling, that exist at once while it is prepared,
beside the image itself and the result. Measured: 0.48 GiB where this predicts 0.63 GiB, for a CT of
160 × 384 × 384 voxels."""

LABEL_BYTES = 4
"""Per voxel before and after resampling, for labels, masks and positions together."""

USABLE_SHARE = 0.8
"""Share of the free memory that is given to workers; the rest is for the system's file cache."""

BYTES_PER_GIB = 2**30

CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux tells a container its limit, in the second and the first version of cgroups."""


def preparation_bytes(
    case: CaseFingerprint, plan: PlannedPreparation, configuration: PlannedData
) -> int:
    """Return about how many bytes a process needs to read and prepare a case."""
    channels = len(plan.channel_names)
    spacing = tuple(case.spacing[axis] for axis in plan.axis_order)
    cropped = tuple(case.shape_after_crop[axis] for axis in plan.axis_order)
    target = target_spacing(configuration, spacing)
    read = prod(case.shape)
    kept, prepared = prod(cropped), prod(resampled_shape(cropped, spacing, target))
    working = (channels * (read + prepared) + WORKING_COPIES * (kept + prepared)) * FLOAT_BYTES
    working += LABEL_BYTES * (read + prepared)
    return int(max(reading_bytes(case.shape, channels) + LABEL_BYTES * prepared, working))


def reading_bytes(shape: tuple[int, ...], channels: int) -> int:
    """Return about how many bytes a process needs to read an image with its labels.

    Args:
        shape: Size in voxels.
        channels: Image channels.
    """
    return int((READING_COPIES * channels * FLOAT_BYTES + LABEL_BYTES) * prod(shape))


def affordable_workers(wanted: int, bytes_each: int, available: int | None) -> int:
    """Return how many processes fit into the memory: from 1 to `wanted`.

    Args:
        wanted: As many as the user or the machine's cores ask for.
        bytes_each: What one of them needs.
        available: Free memory in bytes; None where it is unknown.
    """
    if available is None:
        return wanted
    return max(1, min(wanted, int(USABLE_SHARE * available / max(bytes_each, 1))))


def fitting_workers(wanted: int, bytes_each: int) -> tuple[int, str]:
    """Return how many processes fit into this machine's memory, and a sentence if it decides."""
    available = available_bytes()
    affordable = affordable_workers(wanted, bytes_each, available)
    if affordable >= wanted or available is None:
        return affordable, ""
    return affordable, (
        f"{affordable} at a time instead of {wanted}: the largest needs about "
        f"{bytes_each / BYTES_PER_GIB:.1f} GiB and {available / BYTES_PER_GIB:.1f} GiB are free."
    )


def available_bytes() -> int | None:
    """Return the memory that is free for new work, or None where the system does not tell.

    That is what Linux calls available, or half of the machine's memory on other systems, and
    never more than the limit of the container that this process runs in.
    """
    known = [size for size in (_free_bytes(), _container_limit()) if size is not None]
    return min(known) if known else None


def _free_bytes() -> int | None:
    table = Path("/proc/meminfo")
    if table.is_file():
        for line in table.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return None


def _container_limit() -> int | None:
    texts = [path.read_text(encoding="ascii") for path in CONTAINER_LIMITS if path.is_file()]
    return min((int(text) for text in texts if text.strip().isdigit()), default=None)
