"""Sizes, intensities and positions of the predicted structures of each case."""

from typing import ClassVar, Literal

from autoseg.core.frozen import Frozen, NonNegativeInt
from autoseg.documents.document import Document


class ChannelStatistics(Frozen):
    """Intensities of one channel inside of a structure.

    Attributes:
        name: Name of the channel.
        mean: Mean intensity.
        std: Standard deviation of all voxels.
    """

    name: str
    mean: float
    std: float


class Interval(Frozen):
    """Extent of a structure along one axis, with the whole of its outer voxels.

    Attributes:
        low: Lowest coordinate.
        high: Highest coordinate.
    """

    low: float
    high: float


class StructureStatistics(Frozen):
    """One class or region of a predicted label map.

    Attributes:
        name: Name of the class or region.
        voxels: Number of voxels or pixels.
        volume_ml: Volume of a structure in a volume, ml.
        area_mm2: Area of a structure in a picture of known pixel size, mm².
        components: Number of connected components; voxels that share a corner are connected.
        largest_component_voxels: Voxels of the largest of them.
        centroid: Centre in coordinates (x, y, z) or (x, y); None if the structure is empty.
        extent: Extent along each of these axes; None if the structure is empty.
        channels: Intensities; empty if the structure is.
    """

    name: str
    voxels: NonNegativeInt
    volume_ml: float | None = None
    area_mm2: float | None = None
    components: NonNegativeInt = 0
    largest_component_voxels: NonNegativeInt = 0
    centroid: tuple[float, ...] | None = None
    extent: tuple[Interval, ...] | None = None
    channels: tuple[ChannelStatistics, ...] = ()


class CaseStatistics(Document):
    """The structures of one case.

    Attributes:
        name: Name of the case.
        unit: Unit of coordinates: mm, in those of the patient for medical volumes (to the left,
            posterior and superior, as in DICOM); or px if the pixel size is unknown.
        structures: Classes or regions, in the order of the labels.
    """

    MADE_BY: ClassVar[str] = "autoseg predict --statistics"
    schema_version: Literal[1] = 1
    name: str
    unit: Literal["mm", "px"]
    structures: tuple[StructureStatistics, ...]


class Statistics(Document):
    """The structures of all cases of a folder.

    Attributes:
        cases: The cases, sorted by name.
    """

    FILE_NAME: ClassVar[str] = "statistics.json"
    TABLE_NAME: ClassVar[str] = "statistics.csv"
    MADE_BY: ClassVar[str] = "autoseg predict --statistics"
    schema_version: Literal[1] = 1
    cases: tuple[CaseStatistics, ...]
