"""Model files that were tampered with."""

import hashlib
import io
import json
import pickle
import zipfile
import zlib
from pathlib import Path

import torch

TEN_GB = 10 * 2**30


def contents_of(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(parts: dict[str, bytes], path: Path, *, update_manifest: bool = True) -> Path:
    """Write parts as a zip; the manifest is made to fit unless that is what is tested."""
    parts = dict(parts)
    if update_manifest:
        manifest = json.loads(parts["manifest.json"])
        manifest["parts"] = [
            {"name": name, "size": len(part), "sha256": hashlib.sha256(part).hexdigest()}
            for name, part in parts.items()
            if name != "manifest.json"
        ]
        parts["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return path


def appended(file: Path, path: Path, entry: zipfile.ZipInfo | str, content: bytes = b"x") -> Path:
    """Write a copy of a model file with one more entry."""
    path.write_bytes(file.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, content)
    return path


def with_manifest(file: Path, path: Path, **changes) -> Path:
    parts = contents_of(file)
    parts["manifest.json"] = json.dumps(json.loads(parts["manifest.json"]) | changes).encode()
    return written(parts, path, update_manifest=False)


class Bomb:
    """Unpickling it would write a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def pickled(path, *, with_torch: bool) -> bytes:
    if not with_torch:
        return pickle.dumps(Bomb(path))
    stream = io.BytesIO()
    torch.save({"weight": Bomb(path)}, stream)
    return stream.getvalue()


def zeros_compressed(size: int) -> bytes:
    """Return a raw deflate stream that becomes `size` zeros; its middle repeats, so it is quick."""
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    million = bytes(2**20)
    first = coder.compress(million) + coder.flush(zlib.Z_FULL_FLUSH)
    return first * (size // 2**20) + coder.flush(zlib.Z_FINISH)
