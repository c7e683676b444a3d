"""Volumes of classes in units that people use."""

from collections.abc import Sequence
from math import prod

from autoseg.core.geometry import LengthUnit


def volume_unit(unit: LengthUnit, num_axes: int) -> str:
    """Return the unit of `volume_of`: millilitres for volumes in mm; areas of 2-D images."""
    if num_axes == 2:
        return "px" if unit == "px" else f"{unit}²"
    return {"mm": "mL", "px": "1000 voxels"}.get(unit, f"1000 {unit}³")


def volume_of(voxels: int, spacing: Sequence[float]) -> float:
    """Return the volume of some voxels in thousands of the cubed unit, or the area of pixels."""
    return voxels * prod(spacing) / (1000 if len(spacing) == 3 else 1)
