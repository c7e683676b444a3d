"""Write model files reproducibly: the same parts always give the same bytes."""

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from safetensors.torch import save

from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import ModelError
from autoseg.documents.archive import ArchivePart, Manifest
from autoseg.documents.store import to_json_text
from autoseg.models.archive.contents import MANIFEST_NAME, largest_bytes
from autoseg.models.folder import Tensors

EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)
"""Date of every entry, the earliest that a zip can hold, so that the output is reproducible."""

PLAIN_FILE = 0o100644 << 16
"""External attributes of every entry: a regular file with mode 644."""


class Content(NamedTuple):
    """A part to write.

    Attributes:
        name: A name that matches one of `contents.KINDS`.
        content: The bytes of the part.
    """

    name: str
    content: bytes


def write_archive(
    path: Path,
    contents: Iterable[Content],
    *,
    members: Sequence[str],
    stages: Sequence[str] = (),
    precision: Literal["float32", "float16"],
) -> Manifest:
    """Write a model file atomically and return its manifest.

    Args:
        path: Output file; an existing one is replaced.
        contents: All parts except the manifest; only one is held in memory at a time.
        members: Names of the configurations that predict.
        stages: Names of the previous stages of cascades among the members.
        precision: Number type of the weights.

    Raises:
        ModelError: If a part has a name or size that reading would reject.
    """
    parts = []
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for part in contents:
            _write(archive, part)
            digest = hashlib.sha256(part.content).hexdigest()
            parts.append(ArchivePart(name=part.name, size=len(part.content), sha256=digest))
        manifest = Manifest(
            autoseg=version("autoseg"),
            members=tuple(members),
            stages=tuple(stages),
            precision=precision,
            parts=tuple(parts),
        )
        _write(archive, Content(MANIFEST_NAME, to_json_text(manifest).encode()))
    return manifest


def serialize_weights(tensors: Tensors, precision: Literal["float32", "float16"]) -> bytes:
    """Serialise weights in safetensors format, in single or half precision.

    Raises:
        ModelError: If a weight exceeds the range of half precision.
    """
    if precision == "float32":
        return save({name: tensor.contiguous() for name, tensor in tensors.items()})
    return save({name: _halved(name, tensor) for name, tensor in tensors.items()})


def _halved(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Convert floating-point values to half precision, whose range they must not exceed."""
    if not tensor.is_floating_point():
        return tensor.contiguous()
    halved = tensor.to(torch.float16)
    if bool(torch.isfinite(tensor).all()) and not bool(torch.isfinite(halved).all()):
        msg = (
            f"the weights {name} reach {float(tensor.abs().max()):g}; half precision holds at most "
            "65504. Export without --half."
        )
        raise ModelError(msg)
    return halved.contiguous()


def _write(archive: zipfile.ZipFile, part: Content) -> None:
    limit = largest_bytes(part.name)
    if limit is None or len(part.content) > limit:
        msg = (
            f"a model file cannot contain {part.name} with {len(part.content)} bytes. Names of "
            "configurations may have only letters, digits, '_', '-' and '.'. Rename the "
            "configuration in the plan, or export with --half if the weights are too large."
        )
        raise ModelError(msg)
    entry = zipfile.ZipInfo(part.name, date_time=EARLIEST_DATE)
    entry.create_system = 3  # Unix, so that the bytes do not depend on the system
    entry.external_attr = PLAIN_FILE
    archive.writestr(entry, part.content)
