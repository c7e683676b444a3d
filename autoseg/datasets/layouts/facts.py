"""What was recognised in a folder, in words: the lines that `plan` and `inspect` print."""

from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from autoseg.core.formatting import format_count, format_names
from autoseg.core.labels import LabelScheme
from autoseg.datasets.layouts.declared_labels import BACKGROUND
from autoseg.datasets.layouts.pairing import relative_to_root
from autoseg.documents.dataset import DatasetSpec

DESCRIPTION = "dataset.json"
"""The file that describes a dataset."""

MOST_FILES = 3
"""Most files of an example that are printed."""


@dataclass(frozen=True)
class Sources:
    """Where the properties of a dataset are from.

    Attributes:
        example: Label files of the first case.
        channels: The channels and their source.
        classes: Source of the classes.
        groups: Source of the groups.
        are_converted: Whether label maps are made from other files.
    """

    example: tuple[Path, ...]
    channels: str
    classes: str = DESCRIPTION
    groups: str = DESCRIPTION
    are_converted: bool = False


@dataclass(frozen=True)
class Fact:
    """One property of a dataset, such as its classes."""

    subject: str
    text: str

    @override
    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


def facts(spec: DatasetSpec, sources: Sources) -> tuple[Fact, ...]:
    """Return the properties of a dataset and where they are from."""
    case = spec.cases[0]
    images, labels = (
        format_names([relative_to_root(path, spec.root) for path in paths], MOST_FILES)
        for paths in (case.images, sources.example)
    )
    found = [
        Fact("layout", f"{spec.layout}, {spec.num_axes}-D images"),
        Fact("cases", _cases(spec)),
        Fact("example", f"{case.name}: {images} with {labels}"),
        Fact("channels", sources.channels),
        Fact("classes", f"{listed_classes(spec.labels)}, from {sources.classes}"),
    ]
    groups = [c.group for c in (*spec.cases, *spec.test_cases) if c.group is not None]
    if groups:
        number = format_count(len(set(groups)), "group")
        found.append(Fact("groups", f"{number}, such as {groups[0]}, from {sources.groups}"))
    return tuple(found)


def _cases(spec: DatasetSpec) -> str:
    held_out = {name for fold in spec.splits for name in fold.validation}
    text = format_count(len(spec.cases), "case")
    if len(spec.splits) == 1:
        verb = "is" if len(held_out) == 1 else "are"
        text += f", of which {len(held_out)} {verb} held out as the validation part"
    elif spec.splits:
        text += f" in {len(spec.splits)} given folds"
    return text + (
        f", {format_count(len(spec.test_cases), 'test case')}" if spec.test_cases else ""
    )


def listed_classes(labels: LabelScheme) -> str:
    """List the values and names of classes, with the background first."""
    names = [f"{value}={name}" for value, name in zip(labels.values, labels.names, strict=True)]
    if labels.names[0].lower() != BACKGROUND:
        names[0] += " (background)"
    names += [] if labels.ignore is None else [f"{labels.ignore}=ignore"]
    regions = [f"{region.name} ({format_names(region.values, 20)})" for region in labels.regions]
    return ", ".join(names) + (f"; regions {', '.join(regions)}" if regions else "")
