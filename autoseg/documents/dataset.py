"""What the user's folder says: cases, channels, labels."""

from pathlib import Path
from typing import Literal

from autoseg.core.frozen import Frozen
from autoseg.core.labels import LabelScheme


class CaseFiles(Frozen):
    """The files of one case.

    Attributes:
        name: Name of the case; outputs are called after it.
        images: One file with all channels, or one file per channel, in channel order.
        labels: The reference segmentation.
        group: Cases of one group (patient) never stand on both sides of a split.
    """

    name: str
    images: tuple[Path, ...]
    labels: Path
    group: str | None = None


class DatasetSpec(Frozen):
    """A dataset, whatever layout it is stored in.

    Attributes:
        name: Name of the dataset; the work folder is called after it.
        root: The dataset's folder.
        layout: Which layout it was recognised as.
        num_axes: 2 for truly two-dimensional images, otherwise 3.
        channel_names: One name per image channel.
        labels: The classes.
        inferred: Sentences on everything that no JSON said and that was taken from the files.
        cases: Sorted by name.
        test_cases: Cases that are scored at the end and otherwise left alone, sorted by name.
    """

    schema_version: Literal[1] = 1
    name: str
    root: Path
    layout: str
    num_axes: Literal[2, 3]
    channel_names: tuple[str, ...]
    labels: LabelScheme
    inferred: tuple[str, ...] = ()
    cases: tuple[CaseFiles, ...]
    test_cases: tuple[CaseFiles, ...] = ()
