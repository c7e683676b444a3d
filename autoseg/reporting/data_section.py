"""The section of a report on the images and labels of a dataset."""

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from autoseg.core.formatting import format_number, format_shape
from autoseg.core.geometry import length_unit
from autoseg.documents.fingerprint import QUANTILE_LEVELS, CaseFingerprint, Fingerprint
from autoseg.reporting.blocks import (
    Block,
    Cell,
    Column,
    Gallery,
    Picture,
    Section,
    Table,
    Text,
)
from autoseg.reporting.case_look import CaseLook
from autoseg.reporting.charts import Axis, box_chart, scatter_chart
from autoseg.reporting.duplicates import Duplicate, near_duplicates
from autoseg.reporting.outliers import LARGEST_SCORE, outliers
from autoseg.reporting.units import volume_of, volume_unit

QUARTILES = tuple(QUANTILE_LEVELS.index(level) for level in (0.25, 0.5, 0.75))
MOST_PICTURES = 200
MOST_LINEAR = 20.0
"""Ratio of the largest and the smallest volume from which on the axis is logarithmic."""

MOST_CLASSES = 40
"""Classes that have a column of their own in the table of cases."""


@dataclass(frozen=True)
class DataFindings:
    """Measurements of a dataset.

    Attributes:
        fingerprint: Fingerprint of the dataset.
        recognised: Sentences on what was recognised.
        groups: Group of each case that has one.
        looks: Looks at training cases, all or some of them.
        test_looks: Looks at test cases.
        held_out: Fold that holds each case out, by name.
        unread: Sentences on cases that could not be read.
    """

    fingerprint: Fingerprint
    recognised: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    looks: tuple[CaseLook, ...] = ()
    test_looks: tuple[CaseLook, ...] = ()
    held_out: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes."""
        return self.fingerprint.labels.names[1:]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the training cases."""
        return tuple(case.name for case in self.fingerprint.cases)

    @property
    def volume_unit(self) -> str:
        """Unit of `volumes`."""
        axes = self.fingerprint.num_axes
        edges = (edge for case in self.fingerprint.cases for edge in case.spacing)
        return volume_unit(length_unit(axes, edges, self.fingerprint.unit), axes)

    def volumes(self, index: int) -> tuple[float | None, ...]:
        """Return the volume of a foreground class in each case; None where it is absent."""
        return tuple(
            volume_of(case.class_voxels[index + 1], case.spacing) or None
            for case in self.fingerprint.cases
        )


def data_section(data: DataFindings) -> Section:
    """Build the section on the images and labels."""
    unusual = unusual_cases(data)
    blocks: list[Block] = []
    if data.recognised:
        blocks.append(Text(data.recognised, "What was recognised"))
    blocks += _duplicates(data)
    if unusual:
        rows = tuple((name, "; ".join(reasons)) for name, reasons in unusual.items())
        note = (
            f"{len(rows)} of {len(data.names)} cases have values far from those of the others: a "
            f"modified z-score beyond {LARGEST_SCORE} of a volume, an intensity, a size or a "
            "spacing."
        )
        columns = Column("case"), Column("unusual")
        blocks.append(Table("Unusual cases", columns, rows, note, case_column=0))
    if data.unread:
        blocks.append(Text(data.unread, "Cases that could not be drawn", is_warning=True))
    blocks += [_volumes(data), _intensities(data), _grids(data), *_placement(data)]
    blocks += [_cases(data, unusual), *_pictures(data, unusual)]
    return Section("data", "Data", tuple(blocks))


def unusual_cases(data: DataFindings) -> dict[str, list[str]]:
    """Return the unusual values of cases, by their names: those far from the other cases."""
    cases, names = data.fingerprint.cases, data.names
    found: dict[str, list[str]] = {}

    def add(title: str, values: Sequence[float | None], shown: Sequence[float | None]) -> None:
        known = [value for value in shown if value is not None]
        for name in outliers(names, values):
            value = shown[names.index(name)]
            middle = format_number(float(np.median(known)), 3)
            text = f"{title} {format_number(value or 0, 3)}, median of all cases {middle}"
            found.setdefault(name, []).append(text)

    for index, name in enumerate(data.class_names):
        volumes = data.volumes(index)
        logs = [None if volume is None else float(np.log(volume)) for volume in volumes]
        add(f"{name} {data.volume_unit}", logs, volumes)
    for index, channel in enumerate(data.fingerprint.channel_names):
        medians = [_quantiles(case, index)[1] for case in cases]
        add(f"median intensity of {channel}", medians, medians)
        widths = [case.intensities[index].std for case in cases]
        add(f"deviation of intensities of {channel}", widths, widths)
    extents = [float(np.prod(case.shape)) for case in cases]
    add("number of voxels", [float(np.log(extent)) for extent in extents], extents)
    for axis in range(data.fingerprint.num_axes):
        spacings = [case.spacing[axis] for case in cases]
        add(f"spacing of axis {axis}", [float(np.log(value)) for value in spacings], spacings)
    return dict(sorted(found.items(), key=lambda entry: -len(entry[1])))


def _quantiles(case: CaseFingerprint, channel: int) -> tuple[float, float, float]:
    values = case.intensities[channel].quantiles
    low, middle, high = (values[place] for place in QUARTILES)
    return low, middle, high


def _duplicates(data: DataFindings) -> list[Block]:
    """List near-duplicates; those in training and test images, or in several folds, first."""
    looks = (*data.looks, *data.test_looks)
    if len(looks) < 2:
        return []
    pairs = near_duplicates([look.name for look in looks], [look.means for look in looks])
    if not pairs:
        count = len(looks)
        return [Text((f"No two of the {count} compared images are nearly the same.",))]
    places = {**data.held_out, **{look.name: "test" for look in data.test_looks}}

    def part(pair: Duplicate) -> str:
        one, other = (places.get(name, "training") for name in (pair.first, pair.second))
        if "test" in (one, other) and one != other:
            return "training and test"
        if one != other:
            return "different folds"
        return f"both in {one}"

    leaks = [pair for pair in pairs if not part(pair).startswith("both")]
    ordered = [*leaks, *(pair for pair in pairs if pair not in leaks)]
    rows = tuple(
        (pair.first, pair.second, pair.correlation, part(pair), data.groups.get(pair.first))
        for pair in ordered
    )
    columns = tuple(map(Column, ("case", "other case", "correlation", "where", "group")))
    blocks: list[Block] = []
    if leaks:
        text = (
            f"{len(leaks)} pairs of images that are nearly the same are in different folds, or in "
            "training and test images: scores on them are too good. Give both the same group, or "
            "remove one of each."
        )
        blocks.append(Text((text,), is_warning=True))
    note = "Images are compared at a coarse resolution; the correlation is 1 for equal images."
    return [*blocks, Table("Near-duplicates", columns, rows, note, case_column=0)]


def _volumes(data: DataFindings) -> Block:
    values = {
        name: [volume for volume in data.volumes(index) if volume is not None]
        for index, name in enumerate(data.class_names)
    }
    note = "Cases in which a class occurs. Boxes span the quartiles; points are outliers."
    axis = volume_axis(data.volume_unit, [volume for group in values.values() for volume in group])
    return box_chart("Volumes of classes", values, axis, note=note)


def volume_axis(unit: str, volumes: Sequence[float]) -> Axis:
    """Return an axis for volumes, logarithmic if they differ by more than a factor of 20."""
    if not volumes or max(volumes) < MOST_LINEAR * min(volumes):
        return Axis(unit)
    return Axis(unit, is_log=True)


def _intensities(data: DataFindings) -> Block:
    points = {
        channel: [
            (case.name, low_middle_high[1], low_middle_high[2] - low_middle_high[0])
            for case in data.fingerprint.cases
            for low_middle_high in (_quantiles(case, index),)
        ]
        for index, channel in enumerate(data.fingerprint.channel_names)
    }
    note = "Foreground intensities, one point per case and channel."
    axes = Axis("median"), Axis("interquartile range")
    return scatter_chart("Intensities", points, axes, note=note)


def _grids(data: DataFindings) -> Block:
    """Count how often each combination of spacing and orientation occurs."""
    kinds = Counter(
        (_spacing(case.spacing), case.axis_directions or "unknown", case.unit)
        for case in data.fingerprint.cases
    )
    shapes: dict[tuple[str, str, str], list[tuple[int, ...]]] = {}
    for case in data.fingerprint.cases:
        key = _spacing(case.spacing), case.axis_directions or "unknown", case.unit
        shapes.setdefault(key, []).append(case.shape)
    rows = tuple(
        (*key, count, format_shape(np.median(shapes[key], axis=0).round().astype(int).tolist()))
        for key, count in kinds.most_common()
    )
    columns = (
        Column("spacing", "distance of voxels along each axis, in array order"),
        Column("axis directions", "patient directions of the array axes, such as S, P, L"),
        Column("unit"),
        Column("cases"),
        Column("median shape"),
    )
    return Table("Spacings and orientations", columns, rows)


def _spacing(spacing: Sequence[float]) -> str:
    return " × ".join(format_number(value, 3) for value in spacing)


def _placement(data: DataFindings) -> list[Block]:
    """Count the classes that touch the border or are scattered."""
    if not data.looks:
        return []
    columns = (
        Column("class"),
        Column("cases with it"),
        Column("touches the border", "cases in which it reaches the edge of the image"),
        Column("components, median"),
        Column("components, most"),
        Column("case with the most"),
    )
    rows = []
    for index, name in enumerate(data.class_names):
        counts = {look.name: look.components[index] for look in data.looks}
        present = [count for count in counts.values() if count]
        if not present:
            continue
        most = max(counts, key=lambda each: counts[each])
        touching = sum(look.touching[index] for look in data.looks)
        row = name, len(present), touching, float(np.median(present)), counts[most], most
        rows.append(row)
    note = f"Of the {len(data.looks)} drawn cases. Scattered labels have many components."
    return [Table("Placement of classes", columns, tuple(rows), note, case_column=5)]


def _cases(data: DataFindings, unusual: Mapping[str, Sequence[str]]) -> Block:
    shown = range(min(len(data.class_names), MOST_CLASSES))
    volumes = [data.volumes(index) for index in shown]
    groups, held_out = data.groups, data.held_out
    columns = [Column("case"), Column("shape"), Column("spacing"), Column("axes")]
    columns += [Column("group")] if groups else []
    columns += [Column("held out by")] if held_out else []
    columns += [Column(f"{name}, median") for name in data.fingerprint.channel_names]
    columns += [Column(f"{data.class_names[index]}, {data.volume_unit}") for index in shown]
    columns += [Column("unusual")]
    rows: list[tuple[Cell, ...]] = []
    for place, case in enumerate(data.fingerprint.cases):
        row: list[Cell] = [case.name, format_shape(case.shape), _spacing(case.spacing)]
        row.append(case.axis_directions or None)
        row += [groups.get(case.name)] if groups else []
        row += [held_out.get(case.name)] if held_out else []
        row += [_quantiles(case, index)[1] for index in range(len(case.intensities))]
        row += [volumes[index][place] for index in shown]
        row.append("; ".join(unusual.get(case.name, ())))
        rows.append(tuple(row))
    return Table("Cases", tuple(columns), tuple(rows), case_column=0)


def _pictures(data: DataFindings, unusual: Mapping[str, Sequence[str]]) -> list[Block]:
    """Draw the sheet of small pictures, unusual cases first."""
    if not data.looks:
        return []
    ordered = sorted(data.looks, key=lambda look: (look.name not in unusual, look.name))
    pictures = tuple(
        Picture(
            name=look.name,
            caption=look.name,
            source=f"data:image/webp;base64,{b64encode(look.thumbnail).decode('ascii')}",
            is_marked=look.name in unusual,
        )
        for look in ordered[:MOST_PICTURES]
    )
    total = len(data.fingerprint.cases)
    note = (
        f"{len(pictures)} of {total} cases: the slice with the most foreground, with the outlines "
        "of the classes. Unusual cases have a frame and come first."
    )
    return [Gallery("Contact sheet", pictures, note)]
