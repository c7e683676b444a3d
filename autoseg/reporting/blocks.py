"""Parts of a report: sections with texts, tables, charts and pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

Cell = str | float | int | None
"""A cell of a table; None is drawn as a dash and sorted last."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Heading.
        hint: Explanation, shown when the pointer is over the heading.
        digits: Significant digits of numbers.
    """

    title: str
    hint: str = ""
    digits: int = 4


@dataclass(frozen=True)
class Text:
    """A paragraph, or a list of sentences.

    Attributes:
        lines: The sentences; several are drawn as a list.
        title: Heading; empty for none.
        is_warning: Whether it is drawn as a warning.
    """

    kind: ClassVar[str] = "text"
    lines: tuple[str, ...]
    title: str = ""
    is_warning: bool = False


@dataclass(frozen=True)
class Table:
    """A table that can be sorted and filtered.

    Attributes:
        title: Heading.
        columns: The columns.
        rows: One cell per column.
        note: Sentence below the heading.
        case_column: Position of the column with names of cases, which link to their pictures; None
            for no such column.
    """

    kind: ClassVar[str] = "table"
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    case_column: int | None = None


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: Heading.
        option: The chart as ECharts describes it (https://echarts.apache.org/en/option.html).
        note: Sentence below the heading: what is drawn, and how it is read.
        height: Height in pixels.
        is_half: Whether it takes half of the width, so that two charts are next to each other.
    """

    kind: ClassVar[str] = "chart"
    title: str
    option: Mapping[str, object]
    note: str = ""
    height: int = 320
    is_half: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture of a case.

    Attributes:
        name: Name of the case.
        caption: Text below the picture.
        source: The picture as a data URI.
        is_marked: Whether it is drawn with a frame of attention.
    """

    name: str
    caption: str
    source: str
    is_marked: bool = False


@dataclass(frozen=True)
class Gallery:
    """A sheet of small pictures.

    Attributes:
        title: Heading.
        pictures: The pictures.
        note: Sentence below the heading.
    """

    kind: ClassVar[str] = "gallery"
    title: str
    pictures: tuple[Picture, ...]
    note: str = ""


@dataclass(frozen=True)
class SlicedCase:
    """The slices of a case, each layer as one picture with the slices below each other.

    Attributes:
        name: Name of the case.
        caption: Text above the slices.
        rows: Height of a slice in pixels.
        columns: Width of a slice in pixels.
        slices: Number of each slice in the image, counted from 1.
        image: Data URI of the image.
        layers: Data URIs of further layers by name: `reference` and `prediction`, whose grey values
            are class indices, and `distance`.
        largest_distance: Distance of the grey value 255 of the layer `distance`.
        unit: Unit of this distance.
        first: Position in `slices` that is shown first.
    """

    name: str
    caption: str
    rows: int
    columns: int
    slices: tuple[int, ...]
    image: str
    layers: Mapping[str, str]
    largest_distance: float = 0.0
    unit: str = "mm"
    first: int = 0


@dataclass(frozen=True)
class SliceViewer:
    """Cases whose slices can be looked through.

    Attributes:
        title: Heading.
        cases: The cases.
        class_names: Names of the foreground classes.
        colours: Their colours.
        note: Sentence below the heading.
    """

    kind: ClassVar[str] = "slices"
    title: str
    cases: tuple[SlicedCase, ...]
    class_names: tuple[str, ...]
    colours: tuple[str, ...]
    note: str = ""


Block = Text | Table | Chart | Gallery | SliceViewer


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        key: Name in links.
        title: Heading.
        blocks: Contents.
    """

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Fact:
    """A number at the top of a report.

    Attributes:
        name: What it is.
        value: The value with its unit.
        hint: Further text.
        state: Whether it is drawn as a warning.
    """

    name: str
    value: str
    hint: str = ""
    state: Literal["plain", "warning"] = "plain"


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: Name of what is reported on.
        subtitle: One sentence.
        facts: Numbers at the top.
        sections: The parts.
        footer: Sentence at the end.
    """

    title: str
    subtitle: str
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
    footer: str = field(default="")
