"""What a folder holds, apart from times, so that two folders can be compared."""

import gzip
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

IGNORED = re.compile(r"\.partial|(^|/)(crash\.log|training\.lock|training_process\.json)$")
"""Files that a killed command leaves and nothing reads: partial ones, the log of its end, and the
lock of a fold, which the system has released."""

IS_TIME = re.compile(r"seconds|created|since|date$|time$|^sha256$|^size$|^peak_memory")
"""Fields of documents that hold times or memory in use, or hashes and sizes of such documents."""


def contents_of(folder: Path) -> dict[str, str]:
    """Return a hash of every file's content, by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: _hash(_comparable(name, path.read_bytes(), str(folder)))
        for name, path in named.items()
        if not IGNORED.search(name)
    }


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """List the files that are missing, should not exist, or have other contents."""
    lines = [f"{name} is missing" for name in expected.keys() - found.keys()]
    lines += [f"{name} should not exist" for name in found.keys() - expected.keys()]
    both = expected.keys() & found.keys()
    lines += [f"{name} differs" for name in both if found[name] != expected[name]]
    return sorted(lines)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _comparable(name: str, content: bytes, folder: str) -> bytes:
    """Return a file's content without times and without the place of its folder."""
    content = content.replace(folder.encode(), b"FOLDER")
    if name.endswith((".png", ".html")):
        return content[:8]  # figures and reports show times
    if name.endswith(".gz"):
        return gzip.decompress(content)
    if name.endswith(".json"):
        return json.dumps(_without_times(json.loads(content)), sort_keys=True).encode()
    if name.endswith(".jsonl"):
        lines = [_without_times(json.loads(line)) for line in content.splitlines()]
        return json.dumps(lines, sort_keys=True).encode()
    if name.endswith(".md"):
        return re.sub(rb"\d+(\.\d+)? ?(s|min|h|seconds|minutes)\b", b"", content)
    if name.endswith("checkpoint.safetensors"):
        return content[8 + int.from_bytes(content[:8], "little") :]  # its header holds times
    if name.endswith(".autoseg"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {part: archive.read(part) for part in archive.namelist()}
        comparable = {part: _comparable(part, inner, folder) for part, inner in parts.items()}
        return repr([(part, _hash(inner)) for part, inner in comparable.items()]).encode()
    return content


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: entry for key, entry in value.items() if not IS_TIME.search(key)}
        return {key: _without_times(entry) for key, entry in kept.items()}
    return [_without_times(entry) for entry in value] if isinstance(value, list) else value
