"""The grid of a DICOM series, on which segmentations are drawn."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.core.errors import CaseError, MissingPackage
from autoseg.readers.dicom_planes import Plane, series_planes
from autoseg.readers.dicom_series import load

SLICE_TOLERANCE = 0.3
"""Largest distance of a frame or contour from a slice, as a fraction of the slice spacing."""


@dataclass(frozen=True)
class SliceGrid:
    """Slices of a DICOM series, sorted by position.

    Attributes:
        planes: The slices.
        shape: Slices, rows and columns.
        series: UID of the series.
        frame_of_reference: UID of the coordinate system; empty if there is none.
    """

    planes: tuple[Plane, ...]
    shape: tuple[int, int, int]
    series: str
    frame_of_reference: str

    @classmethod
    def of(cls, image: Path) -> "SliceGrid":
        """Read the slices of the series that a file belongs to.

        Raises:
            CaseError: If they do not form an evenly spaced grid.
        """
        try:
            planes = series_planes(image)
            header = load(image)
            shape = (len(planes), int(header.Rows), int(header.Columns))
        except (CaseError, MissingPackage):
            raise
        except Exception as error:
            raise CaseError(f"{image} cannot be read: {error}.") from error
        uids = (str(header.get(key) or "") for key in ("SeriesInstanceUID", "FrameOfReferenceUID"))
        return cls(tuple(planes), shape, *uids)

    @property
    def spacing(self) -> float:
        """Distance of slices, mm."""
        first, last = self.planes[0], self.planes[-1]
        distance = float((last.position - first.position) @ first.normal)
        return distance / (len(self.planes) - 1) if distance else first.thickness

    def indices(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return slice, row and column of points (x, y, z) in mm; whole numbers are centres."""
        first = self.planes[0]
        offsets = points - first.position
        columns, rows = (offsets @ direction for direction in first.directions)
        slices = offsets @ first.normal / self.spacing
        return np.stack([slices, rows / first.spacing[0], columns / first.spacing[1]], axis=-1)

    def slice_of(self, points: NDArray[np.float64], name: str) -> int | None:
        """Return the slice that points (x, y, z) of a plane are on; None outside of the image.

        Args:
            points: Points in mm.
            name: What the points belong to, for the message.

        Raises:
            CaseError: If they are between slices or not on one slice.
        """
        places = self.indices(points)[:, 0]
        number = round(float(places.mean()))
        if np.abs(places - number).max() > SLICE_TOLERANCE:
            distance = np.abs(places - number).max() * self.spacing
            raise CaseError(
                f"{name} is up to {distance:.2f} mm away from the nearest slice of the image; the "
                f"slices are {self.spacing:.2f} mm apart. Expected each contour or frame on one "
                "slice. Export the segmentation on the grid of the image."
            )
        return number if 0 <= number < self.shape[0] else None
