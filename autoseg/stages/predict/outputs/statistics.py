"""Sizes, intensities and positions of the structures of each case, and tables of all cases."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from autoseg.core.atomic_write import atomic_write
from autoseg.datasets.inputs import InputCase
from autoseg.documents import store
from autoseg.documents.statistics import CaseStatistics, Statistics, StructureStatistics
from autoseg.evaluation.structures import measure_structures
from autoseg.stages.predict.outputs.base import CaseOutput, CasePrediction

AXES = "xyz"

FOLDER = "statistics"

SIZES = ("voxels", "volume_ml", "area_mm2", "components", "largest_component_voxels")
"""Columns of the table that are attributes of `StructureStatistics`."""


@dataclass(frozen=True)
class StatisticsOutput(CaseOutput):
    """`statistics/CASE.json` per case, and tables of all of these.

    An interrupted command therefore measures no case twice, and the tables have all cases that any
    command with this option wrote into the folder.
    """

    needs_voxels: ClassVar[bool] = True

    @override
    def paths(self, case: InputCase) -> tuple[Path, ...]:
        return (self.folder / FOLDER / f"{case.name}.json",)

    @override
    def write(self, prediction: CasePrediction) -> None:
        found = measure_structures(
            prediction.case.name,
            prediction.image,
            prediction.values,
            self.plan.labels,
            self.plan.channel_names,
        )
        store.save(found, *self.paths(prediction.case))

    @override
    def finish(self) -> None:
        """Write the tables of all cases.

        Raises:
            DocumentError: If the file of a case is damaged.
        """
        paths = sorted((self.folder / FOLDER).glob("*.json"))
        cases = tuple(store.load(CaseStatistics, path) for path in paths)
        if not cases:
            return
        cases = tuple(sorted(cases, key=lambda case: case.name))
        store.save(Statistics(cases=cases), self.folder / Statistics.FILE_NAME)
        rows = [_row(case, structure) for case in cases for structure in case.structures]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (
            atomic_write(self.folder / Statistics.TABLE_NAME) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)


def _row(case: CaseStatistics, structure: StructureStatistics) -> dict[str, str]:
    """Return one line of the table; cells without a value are empty."""
    row: dict[str, object] = {"case": case.name, "class": structure.name}
    row |= {column: getattr(structure, column) for column in SIZES}
    row["unit"] = case.unit
    centroid, extent = structure.centroid or (), structure.extent or ()
    for number, axis in enumerate(AXES):
        row[f"centroid_{axis}"] = centroid[number] if number < len(centroid) else None
    for number, axis in enumerate(AXES):
        row[f"min_{axis}"] = extent[number].low if number < len(extent) else None
        row[f"max_{axis}"] = extent[number].high if number < len(extent) else None
    for channel in structure.channels:
        row |= {f"mean_{channel.name}": channel.mean, f"std_{channel.name}": channel.std}
    return {column: _cell(value) for column, value in row.items()}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
