"""Description of a dataset: cases, channels, labels."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from autoseg.core.frozen import Frozen
from autoseg.core.labels import LabelScheme
from autoseg.core.mask_form import MaskForm
from autoseg.core.names import EXPECTED, is_file_name
from autoseg.documents.document import Document
from autoseg.documents.splits import Fold


def is_valid_folder_name(name: str) -> bool:
    """Return True if a name can be that of a case, and therefore of a folder."""
    return is_file_name(name)


class CaseFiles(Frozen):
    """The files of one case.

    Attributes:
        name: Name of the case, also used for outputs.
        images: One file with all channels, or one file per channel, in channel order.
        labels: The reference.
        group: Group of the case, e.g. its patient; a group is never split between training and
            held-out cases.
    """

    name: str
    images: tuple[Path, ...]
    labels: Path
    group: str | None = None


def _with_valid_names(cases: tuple[CaseFiles, ...]) -> tuple[CaseFiles, ...]:
    """Return the cases, all of whose names must be valid."""
    for case in cases:
        if not is_file_name(case.name):
            msg = f"the name {case.name[:80]!a} of a case is not valid; {EXPECTED}."
            raise ValueError(msg)
    return cases


NamedCases = Annotated[tuple[CaseFiles, ...], AfterValidator(_with_valid_names)]
"""Cases with valid names; `CaseFiles` of cases that will be left out may have any."""


class LayoutOptions(Frozen):
    """Choices of the user for reading a folder.

    Attributes:
        images: Patterns of image files, such as `scans/{case}_{channel}.nii.gz`.
        labels: Patterns of label files, such as `labels/{case}_seg.nii.gz`.
        mask: How label files store the classes; None to find out.
        label_map: Class of each value (`255`) or colour (`128:64:128`) in label files.
        table: A table of cases and the names of its columns, `FILE:image,label,group,split`; the
            file is absolute or relative to the dataset.
        test: Patterns of files or folders whose cases are test cases.
        series: Patterns of the descriptions of DICOM series; others are left out.
    """

    images: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    mask: MaskForm | None = None
    label_map: dict[str, str] = Field(default_factory=dict)
    table: str | None = None
    test: tuple[str, ...] = ()
    series: tuple[str, ...] = ()

    @property
    def choose_files(self) -> bool:
        """Whether they decide which files are images and labels."""
        are_several = self.mask in ("classes", "objects")  # label files of each case
        return bool(self.images or self.labels or self.table or self.series or are_several)

    @property
    def label_form(self) -> MaskForm | None:
        """How label files store the classes; a label map of colours says it, too."""
        has_colours = any(":" in key for key in self.label_map)
        return "colours" if has_colours else self.mask


AUTOMATIC = LayoutOptions()
"""No choices of the user."""


class DatasetSpec(Document):
    """A dataset, independent of the layout it is stored in.

    Attributes:
        name: Name of the dataset, also used for the work folder.
        root: Folder of the dataset.
        layout: Recognised layout.
        num_axes: 2 for two-dimensional images, otherwise 3.
        channel_names: One name per image channel.
        labels: The classes.
        inferred: Sentences on what was recognised, and where it was found.
        cases: Cases for training and cross-validation, sorted by name.
        test_cases: Cases that are only used for scoring at the end, sorted by name.
        splits: Folds that the dataset itself gives, such as a validation part.
        options: Choices of the user that the cases were found with.
    """

    FILE_NAME: ClassVar[str] = "dataset.json"
    MADE_BY: ClassVar[str] = "autoseg plan DATASET"
    schema_version: Literal[1] = 1
    name: str
    root: Path
    layout: str
    num_axes: Literal[2, 3]
    channel_names: tuple[str, ...]
    labels: LabelScheme
    inferred: tuple[str, ...] = ()
    cases: NamedCases
    test_cases: NamedCases = ()
    splits: tuple[Fold, ...] = ()
    options: LayoutOptions = AUTOMATIC
