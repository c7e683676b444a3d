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
        channels: Name of each channel, if there is a file per channel.
        inferred: Sentences on the channels and on the groups.
        sources: Tables and lists that were read, relative to the folder.
        notes: Sentences on what was found and left out.
    """

    cases: tuple[CaseFiles, ...]
    test_cases: tuple[CaseFiles, ...]
    validation: tuple[str, ...]
    form: LabelForm
    parts: dict[str, LabelParts]
    channels: tuple[str, ...]
    inferred: tuple[str, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...]
