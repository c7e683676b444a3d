"""Names of the segments that segmentation programs store in the header of an NRRD file."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from autoseg.core.json_text import parse_json

SLICER_FIELD = re.compile(r"^Segment(\d+)_(Name|LabelValue|Layer)$")
"""Fields of 3D Slicer. Source: slicer.readthedocs.io, developer guide, Segmentations."""

MITK_GROUPS = "org.mitk.multilabel.segmentation.labelgroups"
"""Field of MITK. Source: mitkMultiLabelSegmentationIO.cpp and mitkMultiLabelIOHelper.cpp of MITK
2024.12."""


class Segment(NamedTuple):
    """A named structure.

    Attributes:
        name: Its name.
        value: Value of its voxels.
        layer: Channel that holds them; segments of different channels may overlap.
    """

    name: str
    value: int
    layer: int

    @property
    def key(self) -> str:
        """The name without differences of case and spaces, which have no meaning."""
        return " ".join(self.name.split()).casefold()


def segments_in(fields: Mapping[str, str]) -> tuple[Segment, ...]:
    """Return the segments in the fields of a header; empty if it names none.

    Raises:
        ValueError: If a field is not of the program's format.
    """
    if MITK_GROUPS in fields:
        groups: Any = parse_json(fields[MITK_GROUPS])
        return tuple(
            Segment(str(label["name"]), int(label["value"]), layer)
            for layer, group in enumerate(groups)
            for label in group.get("labels") or ()
        )
    numbered: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for field, text in fields.items():
        if found := SLICER_FIELD.match(field):
            numbered[int(found[1])][found[2]] = text
    has_values = any("LabelValue" in segment for segment in numbered.values())
    return tuple(
        Segment(
            segment["Name"],
            int(segment.get("LabelValue", 1)),
            # before Slicer 4.11, each segment had a layer of its own, in which it was 1
            int(segment.get("Layer", 0 if has_values else number)),
        )
        for number, segment in sorted(numbered.items())
        if "Name" in segment
    )
