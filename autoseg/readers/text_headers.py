"""Check the headers of NRRD and MetaImage files, which are texts, before ITK parses them.

ITK's parsers copy some texts into arrays of fixed length and trust numbers, so that a damaged
header may crash the process or never end. Sources: teem.sourceforge.net/nrrd/format.html, and
"MetaIO" at docs.itk.org.
"""

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.core.formatting import format_count
from autoseg.readers.limits import DEFLATE_RATIO, check_size

MOST_HEADER_BYTES = 2**22
"""Greatest size of a header. Those of segmentations describe hundreds of structures."""

MOST_CHARACTERS = 1000
"""Greatest length of the line of a field; ITK copies some of them into arrays of 1024 bytes."""

META_AXES, NRRD_AXES = 4, 5
"""Greatest number of axes; the components of a voxel are an axis of an NRRD file."""

LARGEST, SMALLEST = 1e9, 1e-12
"""Greatest absolute value of numbers in a geometry, and least distance of voxels, mm."""

UNKNOWN_BYTES = 2**62
"""Stands for the size of files that are not known."""

MOST = 10**18
"""Greatest whole number."""

ORTHONORMAL_TOLERANCE = 1e-3
"""Greatest product of two directions that counts as rounding of a text."""

CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Bytes that are no text."""

WHOLE = re.compile(r"-?\d{1,18}")
VECTOR = re.compile(r"none|\([^()]*\)", re.IGNORECASE)

META_TYPES = {
    f"met_{sign}{name}{array}": size
    for name, size in zip(
        ("char", "short", "int", "long", "long_long", "float", "double"),
        (1, 2, 4, 8, 8, 4, 8),
        strict=True,
    )
    for sign in ("", "u")
    for array in ("", "_array")
}
"""Size of a value of each type of MetaImage, whose name is in upper case, bytes."""

NRRD_TYPES = {
    f"{sign}{name}": size
    for names, size in (
        (("char", "int8", "int8_t"), 1),
        (("short", "short int", "int16", "int16_t"), 2),
        (("int", "int32", "int32_t", "float"), 4),
        (("longlong", "long long", "long long int", "int64", "int64_t", "double"), 8),
    )
    for name in names
    for sign in ("", "u", "signed ", "unsigned ")
}
"""Size of a value of each type of NRRD, bytes."""


DATA_FILE = re.compile(r"^[ \t]*ElementDataFile[ \t]*[=:]", re.MULTILINE)
"""Last field of a MetaImage header. The name may also occur in a comment, which is no field."""


def check_meta_image(path: Path, data_files: Sequence[Path]) -> None:
    """Check the header of a MetaImage file.

    Args:
        path: The file.
        data_files: Files with the voxels; empty if they are named by a pattern.

    Raises:
        ValueError: If a field is damaged, or the voxels exceed a limit.
    """
    start = _start(path)
    last = DATA_FILE.search(start.decode("latin-1"))  # a character per byte
    if last is None:
        raise ValueError("its header lacks the field ElementDataFile")
    text, rest = start[: last.start()], start[last.end() :]
    _check_text([rest.partition(b"\n")[0]])
    fields = _Fields(text.splitlines(), "=:")
    (axes,) = fields.whole("NDims", 1, most=META_AXES)
    for name in ("ElementSpacing", "ElementSize"):
        _check_spacing(fields.numbers(name, axes))
    for name in ("Offset", "Origin", "Position", "CenterOfRotation"):
        fields.numbers(name, axes)
    for name in ("TransformMatrix", "Rotation", "Orientation"):
        if matrix := fields.numbers(name, axes * axes):
            _check_directions(np.reshape(matrix, (axes, axes)))
    shape = fields.whole("DimSize", axes)
    channels = fields.whole("ElementNumberOfChannels", 1, default=(1,))
    item_bytes = META_TYPES[fields.one_of("ElementType", META_TYPES)]
    stored = _bytes_in(data_files)
    for name in ("CompressedDataSize", "HeaderSize"):
        fields.whole(name, 1, default=(0,), least=-1, most=sum(stored))
    is_compressed = fields.text("CompressedData").lower().startswith(("t", "1"))
    is_text = fields.text("BinaryData").lower().startswith(("f", "0"))
    ratio = DEFLATE_RATIO if is_compressed or is_text else 1
    check_size((*shape, *channels), item_bytes, lambda: stored, ratio=ratio)


def check_nrrd(path: Path, data_files: Sequence[Path]) -> None:
    """Check the header of an NRRD file.

    Args:
        path: The file.
        data_files: Files with the voxels; empty if they are named by a pattern.

    Raises:
        ValueError: If a field is damaged, or the voxels exceed a limit.
    """
    lines = re.split(rb"\n\r?\n", _start(path), maxsplit=1)[0].splitlines()[1:]
    lines = [line for line in lines if b":=" not in line and not line.startswith(b"#")]
    fields = _Fields(lines, ":")
    (axes,) = fields.whole("dimension", 1, most=NRRD_AXES)
    _check_spacing(fields.numbers("spacings", axes))
    for name in ("axismins", "axismaxs"):
        fields.numbers(name, axes)
    fields.vectors("spaceorigin")
    if len(directions := fields.vectors("spacedirections")):
        check_vectors(directions)
    shape = fields.whole("sizes", axes)
    item_bytes = NRRD_TYPES[fields.one_of("type", NRRD_TYPES)]
    stored = _bytes_in(data_files)
    for name in ("byteskip", "lineskip"):
        fields.whole(name, 1, default=(0,), least=-1, most=sum(stored))
    ratio = 1 if fields.text("encoding").lower() == "raw" else DEFLATE_RATIO
    check_size(shape, item_bytes, lambda: stored, ratio=ratio)


def check_vectors(vectors: NDArray[np.float64]) -> None:
    """Check the vectors from voxel to voxel along each axis, one in each row.

    Raises:
        ValueError: If they are not at right angles, or a length is not that of a voxel.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    _check_spacing(lengths)
    _check_directions(vectors / lengths[:, None])


def _check_directions(directions: NDArray[np.float64]) -> None:
    products = directions @ directions.T
    if np.abs(products - np.eye(len(directions))).max() > ORTHONORMAL_TOLERANCE:
        raise ValueError("its directions are not orthonormal")


def _check_spacing(spacing: Iterable[float]) -> None:
    sizes = np.abs([size for size in spacing if not np.isnan(size)])  # NaN: not an axis of space
    if not ((sizes >= SMALLEST) & (sizes <= LARGEST)).all():
        raise ValueError(f"its spacing is {sizes}; expected {SMALLEST:g} to {LARGEST:g}")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_HEADER_BYTES)


def _bytes_in(files: Sequence[Path]) -> list[int]:
    return [file.stat().st_size for file in files] or [UNKNOWN_BYTES]


def _check_text(lines: Iterable[bytes]) -> None:
    """Check that the lines of a header are short texts.

    Raises:
        ValueError: If one is not.
    """
    for line in lines:
        if len(line) > MOST_CHARACTERS:
            raise ValueError(
                f"its header has a line of {len(line)} characters that begins {line[:16]!r}; "
                f"expected at most {MOST_CHARACTERS}"
            )
        if CONTROL.search(line):
            raise ValueError(f"its header has a line that is not text: {line[:40]!r}")


class _Fields:
    """Fields of a text header; where a name is repeated, each of its values is checked."""

    def __init__(self, lines: Sequence[bytes], separators: str) -> None:
        """Split lines into names and values.

        Args:
            lines: The lines of the header.
            separators: Characters of which the first one ends the name. That of MetaImage may be
                a colon, too.

        Raises:
            ValueError: If a line is not a short text. Only that of `content` may be long.
        """
        _check_text(line for line in lines if not line.lower().startswith(b"content:"))
        self._values: dict[str, list[str]] = defaultdict(list)
        for line in lines:
            name, *values = re.split(f"[{separators}]", line.decode("latin-1"), maxsplit=1)
            name = name.strip() if "=" in separators else name.replace(" ", "").lower()
            self._values[name] += map(str.strip, values)

    def text(self, name: str) -> str:
        """Return the value of a field; empty if there is none."""
        return (self._values[name] or [""])[-1]

    def one_of(self, name: str, known: Container[str]) -> str:
        """Return the value of a field that is one of several, in lower case."""
        for text in self._values[name] or [""]:
            if text.lower() not in known:
                raise _damaged(name, text, "a type of number")
        return self.text(name).lower()

    def numbers(self, name: str, count: int) -> tuple[float, ...]:
        """Return numbers of a geometry; empty if the field is missing. NaN stands for none."""
        found: list[float] = []
        for text in self._values[name]:
            try:
                found = [float(word) for word in text.split()]
            except ValueError:
                found = []
            if len(found) != count or any(abs(number) > LARGEST for number in found):
                raise _damaged(name, text, f"{count} numbers of at most {LARGEST:g}")
        return tuple(found)

    def whole(
        self,
        name: str,
        count: int,
        *,
        default: tuple[int, ...] = (),
        least: int = 1,
        most: int = MOST,
    ) -> tuple[int, ...]:
        """Return whole numbers.

        Args:
            name: Name of the field.
            count: Expected number of values.
            default: Values of a missing field; empty if it is required.
            least: Least value.
            most: Greatest value.
        """
        found = default
        for text in self._values[name] or ([] if default else [""]):
            words = text.split()
            found = tuple(int(word) for word in words if WHOLE.fullmatch(word))
            if not len(found) == len(words) == count or not all(least <= n <= most for n in found):
                limit = "or more" if most == MOST else f"to {most}"
                raise _damaged(
                    name, text, f"{format_count(count, 'whole number')} of {least} {limit}"
                )
        return found

    def vectors(self, name: str) -> NDArray[np.float64]:
        """Return vectors in parentheses, one in each row, without those that are `none`."""
        found: list[list[float]] = []
        for text in self._values[name]:
            words = VECTOR.findall(text)
            try:
                rows = [word[1:-1].split(",") for word in words if word.startswith("(")]
                found = [[float(number) for number in row] for row in rows]
            except ValueError:
                found = [[np.nan]]
            lengths = {len(row) for row in found}
            is_damaged = VECTOR.sub("", text).strip() or len(lengths) != 1
            if is_damaged or not (np.abs(found) <= LARGEST).all():
                raise _damaged(name, text, f"vectors of numbers of at most {LARGEST:g}")
        return np.array(found)


def _damaged(name: str, text: str, expected: str) -> ValueError:
    return ValueError(f"the field {name} of its header is {text[:80]!r}; expected {expected}")
