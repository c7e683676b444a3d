"""The cases that the general rules find in a folder."""

from dataclasses import dataclass

from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.label_forms import LabelForm
from autoseg.documents.dataset import CaseFiles


@dataclass(frozen=True)
class RecognisedCases:
    """The cases of a folder.

    Attributes:
        cases: Cases to train on and to hold out; `labels` of those whose labels are converted is
            the first of their files.
        test_cases: Labelled test cases.
        validation: Names of the cases of a validation part.
        form: How the label files store the classes.
        parts: The label files of each case.
        notes: Sentences on what was found and left out.
        channels: Name of each channel; empty if it is not known.
        channel_source: Where these names are from.
        group_source: Where the groups are from.
    """

    cases: tuple[CaseFiles, ...]
    test_cases: tuple[CaseFiles, ...]
    validation: tuple[str, ...]
    form: LabelForm
    parts: dict[str, LabelParts]
    notes: tuple[str, ...]
    channels: tuple[str, ...] = ()
    channel_source: str = "the names of files"
    group_source: str = ""
