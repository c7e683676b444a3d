"""Units of length that files state, and conversion of voxel sizes to one unit."""

from collections.abc import Sequence
from typing import NamedTuple
from unicodedata import normalize

from autoseg.core.geometry import Geometry, LengthUnit

MILLIMETRES: dict[str, float] = {
    **dict.fromkeys(("m", "meter", "metre"), 1e3),
    "dm": 1e2,
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 10.0),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1.0),
    "inch": 25.4,
    "in": 25.4,
    **dict.fromkeys(("μm", "um", "micron", "micrometer", "micrometre"), 1e-3),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-6),
    **dict.fromkeys(("å", "angstrom"), 1e-7),
    **dict.fromkeys(("pm", "picometer", "picometre"), 1e-9),
}
"""Length of each unit, mm; names in lower case, singular and Unicode form NFKC."""

NO_UNITS = ("", "pixel", "voxel", "px", "reference frame")
"""Names of units of images whose voxel size is unknown."""

KEPT_UNITS: dict[LengthUnit, float] = {"mm": 1.0, "µm": 1e-3, "nm": 1e-6}
"""Units of voxel sizes, mm. A size is in the largest one that is not above the unit of its file, so
that an image of microscopy keeps its numbers."""

DIGITS = 7
"""Significant digits of a voxel size: TIFF files store its inverse as a ratio of whole numbers."""


class Length(NamedTuple):
    """Voxel size along an axis.

    Attributes:
        value: At least 0.
        unit: Name of the unit as in the file.
    """

    value: float
    unit: str


def geometry_of(sizes: Sequence[Length]) -> Geometry | None:
    """Convert voxel sizes to the unit of the last axis; None if a size is not a positive number.

    Args:
        sizes: One per axis, array order.

    Raises:
        ValueError: If a unit is unknown.
    """
    if not all(0 < size.value < float("inf") for size in sizes):
        return None
    lengths = [millimetres(size.unit) for size in sizes]
    reference = lengths[-1]
    if reference is None:
        return _rounded([size.value for size in sizes], "mm")
    names: list[LengthUnit] = [name for name, mm in KEPT_UNITS.items() if mm <= reference]
    unit = names[0] if names else "nm"
    factors = [(length or reference) / KEPT_UNITS[unit] for length in lengths]
    return _rounded([size.value * step for size, step in zip(sizes, factors, strict=True)], unit)


def _rounded(spacing: Sequence[float], unit: LengthUnit) -> Geometry:
    return Geometry.plain(tuple(float(f"{value:.{DIGITS}g}") for value in spacing), unit)


def millimetres(unit: str) -> float | None:
    """Return the length of a unit, mm; None for units of an unknown voxel size, such as pixels.

    Raises:
        ValueError: If the unit is unknown.
    """
    decoded = unit.strip().lower().replace("\\u00b5", "µ")  # as ImageJ writes it
    name = normalize("NFKC", decoded)
    name = name.removesuffix("s") if len(name) > 3 else name
    if name in NO_UNITS:
        return None
    if name not in MILLIMETRES:
        raise ValueError(
            f"it states its voxel size in the unit {unit!r}; expected one of "
            f"{', '.join(MILLIMETRES)} or pixel. Correct the unit"
        )
    return MILLIMETRES[name]
