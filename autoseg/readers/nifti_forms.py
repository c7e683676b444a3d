"""Position of a NIfTI image in space: the qform and the sform of its header.

A header may have both, and they may differ: programs that prefer one of them then show the image
in another place than programs that prefer the other. Source: nifti1.h and nifti2.h,
nifti.nimh.nih.gov.
"""

import gzip
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.core.atomic_write import atomic_write
from autoseg.core.geometry import Geometry
from autoseg.readers.nifti_header import byte_order, is_compressed, is_version_2, open_decompressed
from autoseg.readers.text_headers import LARGEST

HEADER_BYTES = 352
"""Size of a NIfTI-1 header with the four bytes that announce extensions."""

AFFINE_TOLERANCE = 1e-3
"""Greatest difference of entries of two affine matrices, mm, that counts as rounding."""

Affine = NDArray[np.float64]


@dataclass(frozen=True)
class NiftiForms:
    """Fields of a header that place the voxels in space.

    Attributes:
        pixdim: Sign of the third axis of the qform, and the sizes of voxels along 7 axes, mm.
        codes: Codes of qform and sform; 0 if the header does not have it.
        quaternion: Numbers b, c and d of the qform's rotation.
        offset: Position of the first voxel by the qform, mm.
        rows: Rows of the sform's matrix, 12 numbers.
    """

    pixdim: tuple[float, ...]
    codes: tuple[int, int]
    quaternion: tuple[float, ...]
    offset: tuple[float, ...]
    rows: tuple[float, ...]

    @classmethod
    def from_file(cls, path: Path) -> "NiftiForms":
        """Read the forms of a file, compressed or not."""
        with open_decompressed(path) as file:
            header = file.read(540)
        order = byte_order(header)
        if is_version_2(header):
            pixdim = struct.unpack_from(f"{order}8d", header, 104)
            codes = struct.unpack_from(f"{order}2i", header, 344)
            numbers = struct.unpack_from(f"{order}18d", header, 352)
        else:
            pixdim = struct.unpack_from(f"{order}8f", header, 76)
            codes = struct.unpack_from(f"{order}2h", header, 252)
            numbers = struct.unpack_from(f"{order}18f", header, 256)
        return cls(pixdim, codes, numbers[:3], numbers[3:6], numbers[6:])

    def check(self) -> None:
        """Check the numbers that place the voxels; ITK does not end with infinite ones.

        Raises:
            ValueError: If one is not finite, or is too large.
        """
        used = [*self.pixdim[1:4], *(self.rows if self.codes[1] else ())]
        used += (*self.quaternion, *self.offset) if self.codes[0] else ()
        if not (np.abs(used) <= LARGEST).all():
            shown = " ".join(f"{number:g}" for number in used)
            raise ValueError(
                f"the voxel sizes, sform or qform in its header are not finite, or too large: "
                f"{shown}; expected numbers of at most {LARGEST:g}"
            )

    @property
    def qform(self) -> Affine | None:
        """Matrix from voxel (x, y, z) to position in mm (right, anterior, superior), or None."""
        if not self.codes[0]:
            return None
        b, c, d = self.quaternion
        a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * b * c - 2 * a * d, 2 * b * d + 2 * a * c],
                [2 * b * c + 2 * a * d, a * a + c * c - b * b - d * d, 2 * c * d - 2 * a * b],
                [2 * b * d - 2 * a * c, 2 * c * d + 2 * a * b, a * a + d * d - b * b - c * c],
            ]
        )
        sizes = np.array(self.pixdim[1:4])
        sizes[2] *= -1 if self.pixdim[0] < 0 else 1
        return np.hstack([rotation * sizes, np.reshape(self.offset, (3, 1))])

    @property
    def sform(self) -> Affine | None:
        """Matrix from voxel (x, y, z) to position in mm (right, anterior, superior), or None."""
        return np.reshape(self.rows, (3, 4)) if self.codes[1] else None

    @property
    def affine(self) -> Affine:
        """The sform, otherwise the qform, otherwise the sizes of the voxels alone."""
        if self.sform is not None:
            return self.sform
        plain = np.hstack([np.diag(self.pixdim[1:4]), np.zeros((3, 1))])
        return plain if self.qform is None else self.qform

    @property
    def geometry(self) -> Geometry:
        """Geometry of `affine`, in array order and with axes to left, posterior and superior."""
        matrix = self.affine * np.array([[-1.0], [-1.0], [1.0]])
        spacing = np.linalg.norm(matrix[:, :3], axis=0)
        direction = (matrix[:, :3] / spacing)[::-1, ::-1]
        return Geometry(
            spacing=tuple(map(float, spacing[::-1])),
            origin=tuple(map(float, matrix[::-1, 3])),
            direction=tuple(tuple(map(float, row)) for row in direction),
        )

    @property
    def disagree(self) -> bool:
        """Whether qform and sform place the image differently."""
        return _differ(self.qform, self.sform) if all(self.codes) else False

    @property
    def difference(self) -> str:
        """Rows of qform and sform if they place the image differently; empty if they do not."""
        if not self.disagree:
            return ""
        return f"qform {_format_rows(self.qform)}, sform {_format_rows(self.sform)}"

    def is_kept_by(self, other: "NiftiForms") -> bool:
        """Return True if another header places the image as this one, by each form it has."""
        pairs = ((self.qform, other.qform), (self.sform, other.sform))
        return not _differ(self.affine, other.affine) and not any(
            own is not None and _differ(own, found) for own, found in pairs
        )


def _format_rows(affine: Affine | None) -> str:
    rows = () if affine is None else affine
    return "[" + "; ".join(" ".join(f"{round(x, 3) + 0.0:g}" for x in row) for row in rows) + "]"


def _differ(first: Affine | None, second: Affine | None) -> bool:
    if first is None or second is None:
        return first is not second
    return bool(np.abs(first - second).max() > AFFINE_TOLERANCE)


def keep_forms(path: Path, forms: NiftiForms) -> None:
    """Give a NIfTI-1 file the forms of another file, if they place the image differently.

    Args:
        path: The file, which is replaced atomically.
        forms: The forms to write, with their codes.
    """
    if forms.is_kept_by(NiftiForms.from_file(path)):
        return
    with open_decompressed(path) as file, atomic_write(path) as temporary:
        header = bytearray(file.read(HEADER_BYTES))
        order = byte_order(header)
        struct.pack_into(f"{order}4f", header, 76, *forms.pixdim[:4])
        struct.pack_into(f"{order}2h", header, 252, *forms.codes)
        numbers = (*forms.quaternion, *forms.offset, *forms.rows)
        struct.pack_into(f"{order}18f", header, 256, *numbers)
        with gzip.open(temporary, "wb") if is_compressed(path) else temporary.open("wb") as target:
            target.write(header)
            shutil.copyfileobj(file, target)
