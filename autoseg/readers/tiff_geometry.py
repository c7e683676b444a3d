"""Voxel sizes that ImageJ and OME-TIFF files store, and the metadata that stores them."""

from math import isclose, prod
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from autoseg.core.geometry import Geometry
from autoseg.readers.lengths import Length, geometry_of
from autoseg.readers.orientation import TRANSPOSED

TiffFile: TypeAlias = Any
"""A `tifffile.TiffFile`; tifffile is imported only where it is used."""

INCH_MM = 25.4

RESOLUTION_UNITS = {2: "inch", 3: "cm"}
"""Values of the tag ResolutionUnit. Source: TIFF 6.0, section 8."""

LEAST_DPI, GREATEST_DPI, DPI_TOLERANCE = 36, 600, 0.01
"""A whole number of pixels per inch in this range, within the tolerance, is a resolution for
printing; ImageJ keeps it as a calibration."""

FINE_DPI = (720, 800, 1000, 1200, 1440, 1600, 1800, 2000, 2400)
"""Finer resolutions for printing; others are pixel sizes of microscopes, such as 25400 for 1 µm."""

IMAGEJ_UNITS = {"µm": "micron"}
"""Names of units in ImageJ's metadata, which is ASCII."""

IMAGEJ_TYPES = ("uint8", "uint16", "float32")
"""Data types of ImageJ's stacks."""

IMAGEJ_BYTES = 2**32 - 2**16
"""Most bytes of a stack that fit into a file without 64-bit offsets."""


def stored_geometry(file: TiffFile, num_axes: int) -> Geometry | None:
    """Return the voxel size of an ImageJ or OME-TIFF file; None if it stores none.

    The resolution of other TIFF files is meant for printing.

    Args:
        file: The open file.
        num_axes: Number of axes of the image: y and x, or a stack of these.

    Raises:
        ValueError: If a unit of length is unknown.
    """
    if file.is_ome:
        sizes = _ome_sizes(file.ome_metadata)
    elif file.is_imagej:
        sizes = _imagej_sizes(file)
    else:
        return None
    geometry = geometry_of(sizes[-num_axes:])
    if geometry is None or (geometry.unit == "mm" and set(geometry.spacing) == {1.0}):
        return None
    tag = file.pages[0].tags.get("Orientation")
    if tag is not None and tag.value in TRANSPOSED:
        *slices, rows, columns = geometry.spacing
        geometry = Geometry.plain((*slices, columns, rows), geometry.unit)
    return geometry


def _ome_sizes(text: str) -> list[Length]:
    """Return the sizes along z, y and x; 0 if unknown. Source: OME schema 2016-06, Pixels."""
    pixels: dict[str, str] = next(
        (item.attrib for item in ET.fromstring(text).iter() if item.tag.endswith("}Pixels")), {}
    )
    names = [f"PhysicalSize{axis}" for axis in "ZYX"]
    return [
        Length(float(pixels.get(name, 0)), str(pixels.get(f"{name}Unit", "µm"))) for name in names
    ]


def ome_planes(text: str) -> int:
    """Return the number of planes that OME metadata describes."""
    pixels = [item.attrib for item in ET.fromstring(text).iter() if item.tag.endswith("}Pixels")]
    return sum(prod(int(one.get(f"Size{axis}", 1)) for axis in "ZCT") for one in pixels)


def _imagej_sizes(file: TiffFile) -> list[Length]:
    """Return the sizes along z, y and x as ImageJ shows them; 0 for a print resolution.

    Source: ij/io/FileOpener.java and ij/io/TiffDecoder.java of ImageJ 1.54.
    """
    metadata, tags = file.imagej_metadata or {}, file.pages[0].tags
    resolution_unit = tags.get("ResolutionUnit")
    default = RESOLUTION_UNITS.get(int(resolution_unit.value), "") if resolution_unit else ""
    unit = str(metadata.get("unit", default))
    sizes = [
        Length(abs(float(metadata.get("spacing", 1.0))), str(metadata.get("zunit", unit))),
        Length(_pixel_size(tags.get("YResolution")), str(metadata.get("yunit", unit))),
        Length(_pixel_size(tags.get("XResolution")), unit),
    ]
    return [Length(0.0, "")] * 3 if _is_for_printing(sizes[-1]) else sizes


def _pixel_size(tag: Any) -> float:  # noqa: ANN401  (a tifffile.TiffTag or None)
    pixels, length = tag.value if tag is not None else (1, 1)
    return length / pixels if pixels else 1.0


def _is_for_printing(size: Length) -> bool:
    """Return True if a pixel size in inches or cm is a usual number of pixels per inch."""
    inch = {"inch": 1.0, "in": 1.0, "cm": INCH_MM / 10}.get(size.unit)
    if inch is None or not size.value:
        return False
    dpi = inch / size.value
    is_usual = LEAST_DPI <= dpi <= GREATEST_DPI + DPI_TOLERANCE or round(dpi) in FINE_DPI
    return is_usual and isclose(dpi, round(dpi), abs_tol=DPI_TOLERANCE)


def options_for(geometry: Geometry, voxels: NDArray[np.generic], path: Path) -> dict[str, Any]:
    """Return options of `tifffile.imwrite` that store a voxel size; empty if the file cannot.

    Args:
        geometry: Geometry of the image.
        voxels: The image, one channel.
        path: The file: OME-TIFF by its ending, or else one of ImageJ.
    """
    axes = "ZYX"[-geometry.num_axes :]
    if ".ome." in path.name.lower():
        sizes = dict(zip(axes, geometry.spacing, strict=True))
        lengths = {f"PhysicalSize{axis}": size for axis, size in sizes.items()}
        units = {f"PhysicalSize{axis}Unit": geometry.unit for axis in axes}
        return {"ome": True, "metadata": {"axes": axes, **lengths, **units}}
    if str(voxels.dtype) not in IMAGEJ_TYPES or voxels.nbytes > IMAGEJ_BYTES:
        return {}
    depth = {"spacing": geometry.spacing[0]} if geometry.num_axes == 3 else {}
    unit = IMAGEJ_UNITS.get(geometry.unit, geometry.unit)
    rows, columns = geometry.spacing[-2:]
    metadata: dict[str, Any] = {"axes": axes, "unit": unit, **depth}
    return {"imagej": True, "resolution": (1 / columns, 1 / rows), "metadata": metadata}
