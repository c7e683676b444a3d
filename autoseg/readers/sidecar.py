"""JSON files with the voxel size of an image whose format does not store it."""

import json
from pathlib import Path
from typing import Any

from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry
from autoseg.core.json_text import parse_json
from autoseg.readers.lengths import Length, geometry_of
from autoseg.readers.names import without_channel_suffix


def sidecars_of(path: Path) -> tuple[Path, ...]:
    """Return the sidecar `CASE.json` next to `CASE.tif` or `CASE_0000.tif`; empty if none."""
    stem = path.name[: -len(path.suffix)]
    names = dict.fromkeys((f"{stem}.json", f"{without_channel_suffix(stem)}.json"))
    found = [path.with_name(name) for name in names if path.with_name(name).is_file()]
    return tuple(found[:1])


def sidecar_geometry(path: Path, num_axes: int) -> Geometry | None:
    """Return the geometry in the sidecar of an image; None without a sidecar.

    It contains `{"spacing": [z, y, x]}`, and optionally the `unit`, e.g. µm; otherwise it is mm.

    Args:
        path: The image.
        num_axes: Number of its axes. A spacing of 3 axes also describes a single page.

    Raises:
        CaseError: If the sidecar contains anything else.
    """
    sidecars = sidecars_of(path)
    if not sidecars:
        return None
    text = sidecars[0].read_text(encoding="utf-8-sig", errors="replace")
    content: Any
    try:
        content = parse_json(text)
    except ValueError:
        content = text
    spacing = content.get("spacing") if isinstance(content, dict) else None
    if isinstance(spacing, list) and all(map(_is_length, spacing)):
        own = spacing[1:] if (len(spacing), num_axes) == (3, 2) else spacing
        if len(own) == num_axes and (geometry := _geometry(own, content.get("unit", "mm"))):
            return geometry
    raise CaseError(
        f'{sidecars[0].name} should contain {{"spacing": [{num_axes} positive numbers]}} in array '
        'order (z, y, x), and "unit": "µm" or "nm" unless it is in mm; found '
        f"{str(content)[:80]}. Correct it. If it does not describe the "
        f"spacing of {path.name}, move it to another folder."
    )


def write_sidecar(path: Path, geometry: Geometry) -> None:
    """Write the sidecar of an image."""
    unit = {} if geometry.unit == "mm" else {"unit": geometry.unit}
    with atomic_write(path.with_suffix(".json")) as temporary:
        text = json.dumps({"spacing": geometry.spacing, **unit}, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8")


def _geometry(spacing: list[int | float], unit: object) -> Geometry | None:
    try:
        return geometry_of([Length(float(value), str(unit)) for value in spacing])
    except ValueError:
        return None


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < float("inf")
