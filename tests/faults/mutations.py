"""Seeded changes to files: bytes, lengths, numbers in headers, JSON, and the parts of archives."""

import gzip
import hashlib
import io
import json
import re
import string
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Any

from faults.inputs import Files

PNG, GZIP, ZIP = b"\x89PNG\r\n\x1a\n", b"\x1f\x8b", b"PK\x03\x04"
LARGE_NUMBERS = (2**15, 2**16 - 1, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
FLOATS = (0.0, -0.0, 1e-310, 1e-30, -1.0, 1e30, 1e308, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    *("", " ", ".", "..", "../../../thesis", "/etc/hostname", "a" * 300, "\x1b[31mred", "<b>x</b>"),
    *("\0", "\n", "ä", "\ud800", "con", "-1", "1e400", "nan", "NaN", "{case}", "*", "[", "\\", "~"),
)
NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")
HEADER_BYTES = 400
MOST_CHANGES = 4


def mutated(files: Files, focus: str, chance: Random) -> Files:
    """Return the files of an input with a change to one whose name contains `focus`.

    Rarely, the file is deleted or replaced by another one.
    """
    changed = dict(files)
    name = chance.choice(sorted(name for name in changed if focus in name))
    if len(changed) > 1 and chance.random() < 0.03:
        del changed[name]
    elif len(changed) > 1 and chance.random() < 0.03:
        changed[name] = changed[chance.choice(sorted(changed))]
    else:
        changed[name] = mutated_content(changed[name], chance)
    return changed


def mutated_content(content: bytes, chance: Random) -> bytes:
    """Return a changed file; most often the format around the change stays valid."""
    if chance.random() < 0.75:
        for is_format, change in FORMATS:
            if is_format(content):
                with suppress(ValueError, EOFError, zlib.error, struct.error, zipfile.BadZipFile):
                    return change(content, chance)
    for _ in range(chance.randint(1, MOST_CHANGES)):
        content = chance.choice(BYTE_CHANGES)(content, chance)
    return content


def _flip(content: bytes, chance: Random) -> bytes:
    """Change single bytes."""
    made = bytearray(content)
    for _ in range(chance.randint(1, 8) if made else 0):
        made[_place(made, chance)] = chance.choice((0, 0xFF, 0x7F, 0x80, chance.randrange(256)))
    return bytes(made)


def _truncate(content: bytes, chance: Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _cut(content: bytes, chance: Random) -> bytes:
    begin = _place(content, chance)
    return content[:begin] + content[begin + chance.choice((1, 2, 4, 16, 256)) :]


def _repeat(content: bytes, chance: Random) -> bytes:
    begin = _place(content, chance)
    part = content[begin : begin + chance.choice((1, 4, 64, 1024))]
    return content[:begin] + part * chance.choice((2, 3, 100)) + content[begin + len(part) :]


def _extreme(content: bytes, chance: Random) -> bytes:
    """Overwrite a number of a binary header with an extreme one."""
    size, order = chance.choice((1, 2, 4, 8)), chance.choice("<>")
    kinds = {1: "B", 2: "H", 4: "If", 8: "Qd"}[size]
    kind = chance.choice(kinds)
    if kind in "fd":
        number = chance.choice(FLOATS)
        number = number if kind == "d" or abs(number) < 1e38 else float("inf")
    else:
        number = chance.choice((0, 1, 2, 3, 7, *LARGE_NUMBERS)) % 256**size
    begin = _place(content, chance) // size * size
    part = struct.pack(order + kind, number)
    return content[:begin] + part[: max(0, len(content) - begin)] + content[begin + size :]


def _number_in_text(content: bytes, chance: Random) -> bytes:
    """Replace a number that is written in digits."""
    found = list(NUMBER.finditer(content[: 16 * HEADER_BYTES]))
    if not found:
        return _flip(content, chance)
    begin, end = chance.choice(found).span()
    new = chance.choice((*map(str, LARGE_NUMBERS), "0", "-1", "1", "nan", "inf", "1e308", "1e-320"))
    return content[:begin] + new.encode() + content[end:]


BYTE_CHANGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_flip, _extreme, _extreme, _number_in_text, _truncate, _cut, _repeat),
)


def _place(content: bytes | bytearray, chance: Random) -> int:
    """Return a place in the file, half the time in its header."""
    end = len(content) if chance.random() < 0.5 else min(len(content), HEADER_BYTES)
    return chance.randrange(end) if end else 0


def _is_json(content: bytes) -> bool:
    return content[:64].lstrip()[:1] in (b"{", b"[")


def _change_json(content: bytes, chance: Random) -> bytes:
    if chance.random() < 0.01:
        return b"[" * 100_000
    root = {"": json.loads(content)}
    for _ in range(chance.randint(1, 3)):
        nodes = list(_nodes(root))
        place, key = chance.choice(nodes)
        _change_node(place, key, chance, chance.choice(nodes))
    return json.dumps(root.get("")).encode()


def _nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every object or list with each of its keys or places."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _nodes(value[key])


def _change_node(place: Any, key: Any, chance: Random, other: tuple[Any, Any]) -> None:
    value = place[key]
    extremes = (None, True, [], {}, *TEXTS, *LARGE_NUMBERS, *FLOATS, -1, 0, 10**400, [[]], [None])
    action = chance.randrange(8)
    if action == 0 and key != "":
        del place[key]
    elif action == 1 and isinstance(place, list):
        place.extend([value] * chance.choice((1, 2, 1000)))
    elif action == 2 and isinstance(place, dict) and key != "":
        place[chance.choice(TEXTS)] = place.pop(key)
    elif action == 3:
        place[key] = json.loads(json.dumps(other[0][other[1]]))
    elif action == 4 and isinstance(value, int | float):
        place[key] = chance.choice(
            (-value, value + 1, value * 1000, value // 3, str(value), [value])
        )
    elif action == 5 and isinstance(value, str):
        inner = chance.choice((*TEXTS, *string.punctuation))
        place[key] = chance.choice((value + inner, inner + value, value[1:], value * 100))
    elif action == 6:
        place[key] = chance.choice(([value], {"a": value}, [value, value]))
    else:
        place[key] = chance.choice(extremes)


def _change_zip(content: bytes, chance: Random) -> bytes:
    """Change a part of a zip, or which parts there are; the list of a model file is updated."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    place = chance.randrange(len(parts))
    name, part = parts[place]
    action = chance.randrange(10)
    if action == 0:
        parts[place] = (chance.choice(TEXTS) or "x", part)
    elif action == 1:
        parts.append((chance.choice((name, "../../../thesis", "/x", "a/b", "x\x1b[1m")), part))
    elif action == 2:
        del parts[place]
    elif action == 3:
        parts.append((f"{name}.zeros", bytes(2**24)))
    elif action == 4:
        parts[place] = (name, parts[chance.randrange(len(parts))][1])
    else:
        parts[place] = (name, mutated_content(part, chance))
    if chance.random() < 0.8:
        parts = _with_manifest(parts)
    method = chance.choice((zipfile.ZIP_STORED,) * 8 + (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    return _zipped(parts, method)


def _with_manifest(parts: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Let the manifest of a model file list the parts as they are now."""
    for place, (name, part) in enumerate(parts):
        if name == "manifest.json":
            try:
                manifest = json.loads(part)
            except (ValueError, RecursionError):  # it is damaged, too
                return parts
            if not isinstance(manifest, dict):
                return parts
            manifest["parts"] = [
                {"name": other, "size": len(inner), "sha256": hashlib.sha256(inner).hexdigest()}
                for other, inner in parts
                if other != name
            ]
            parts = [*parts[:place], (name, json.dumps(manifest).encode()), *parts[place + 1 :]]
    return parts


def _zipped(parts: list[tuple[str, bytes]], method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, part in parts:
            entry = zipfile.ZipInfo(name.encode(errors="replace").decode())
            archive.writestr(entry, part, method)
    return stream.getvalue()


def _change_gzip(content: bytes, chance: Random) -> bytes:
    return gzip.compress(mutated_content(gzip.decompress(content), chance), 1, mtime=0)


def _change_png(content: bytes, chance: Random) -> bytes:
    """Change a chunk of a PNG, whose checksum is updated."""
    made, place, chunks = content[:8], 8, []
    while place + 8 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    changed = chance.randrange(len(chunks))
    kind, inner = chunks[changed]
    if kind == b"IDAT" and chance.random() < 0.5:
        inner = zlib.compress(_flip(zlib.decompress(inner), chance))
    else:
        inner = chance.choice(BYTE_CHANGES)(inner, chance)
    chunks[changed] = (kind, inner)
    for name, part in chunks:
        made += struct.pack(">I", len(part)) + name + part
        made += struct.pack(">I", zlib.crc32(name + part))
    return made


def _is_safetensors(content: bytes) -> bool:
    return len(content) > 16 and content[8:10] == b'{"'


def _change_safetensors(content: bytes, chance: Random) -> bytes:
    """Change the header of a safetensors file, whose length is updated."""
    size = int.from_bytes(content[:8], "little")
    header = _change_json(content[8 : 8 + size], chance)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _is_text(content: bytes) -> bool:
    return sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in content[:100]) > 90


FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, Random], bytes]], ...] = (
    (lambda content: content.startswith(GZIP), _change_gzip),
    (lambda content: content.startswith(ZIP), _change_zip),
    (lambda content: content.startswith(PNG), _change_png),
    (_is_safetensors, _change_safetensors),
    (_is_json, _change_json),
    (_is_text, _number_in_text),
)
"""Formats, and changes that keep what is around the change valid."""
