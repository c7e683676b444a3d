"""Zarr folders with one chunk per array, as OME-Zarr 0.4 (version 2) and 0.5 (version 3)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_array(folder: Path, data: np.ndarray, *, version: int = 2) -> None:
    """Write an array."""
    chunk = folder / "/".join("0" * data.ndim)
    shared = {"zarr_format": version, "shape": data.shape, "fill_value": 0}
    if version == 2:
        settings = {"chunks": data.shape, "dtype": data.dtype.str, "compressor": None}
        more = {"order": "C", "filters": None, "dimension_separator": "/"}
        write_json(folder / ".zarray", shared | settings | more)
    else:
        chunk = folder / "c" / "/".join("0" * data.ndim)
        grid = {"name": "regular", "configuration": {"chunk_shape": data.shape}}
        settings = {"node_type": "array", "data_type": data.dtype.name, "chunk_grid": grid}
        names = {"name": "default", "configuration": {"separator": "/"}}
        codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
        more = {"chunk_key_encoding": names, "codecs": codecs, "attributes": {}}
        write_json(folder / "zarr.json", shared | settings | more)
    chunk.parent.mkdir(parents=True, exist_ok=True)
    chunk.write_bytes(np.ascontiguousarray(data).tobytes())


def write_ome(
    folder: Path,
    levels: Sequence[np.ndarray],
    axes: str,
    sizes: Mapping[str, tuple[float, str]],
    *,
    version: int = 2,
) -> None:
    """Write an image of OME-Zarr.

    Args:
        folder: Its group.
        levels: Arrays of the pyramid, finest first.
        axes: A letter for each axis.
        sizes: Voxel size of an axis and its unit; 1 and no unit without one.
        version: Version of Zarr.
    """
    kinds = {"c": "channel", "t": "time"}
    named = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
    for axis in named:
        if unit := sizes.get(axis["name"], (1, ""))[1]:
            axis["unit"] = unit
    finest = [sizes.get(axis, (1.0, ""))[0] for axis in axes]
    scales = [finest, *([9] * len(axes) for _ in levels[1:])]
    datasets = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for n, scale in enumerate(scales)
    ]
    described = {"multiscales": [{"axes": named, "datasets": datasets}]}
    if version == 2:
        write_json(folder / ".zgroup", {"zarr_format": 2})
        write_json(folder / ".zattrs", described)
    else:
        group = {"zarr_format": 3, "node_type": "group"}
        write_json(folder / "zarr.json", group | {"attributes": {"ome": described}})
    for number, data in enumerate(levels):
        write_array(folder / str(number), data, version=version)
