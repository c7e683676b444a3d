"""Pictures with the outlines of the prediction."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from autoseg.datasets.inputs import InputCase
from autoseg.stages.predict.outputs.base import CaseOutput, CasePrediction


@dataclass(frozen=True)
class PreviewOutput(CaseOutput):
    """`preview/CASE.png`: the slice with the most foreground, with areas and outlines."""

    needs_voxels: ClassVar[bool] = True

    @override
    def paths(self, case: InputCase) -> tuple[Path, ...]:
        return (self.folder / "preview" / f"{case.name}.png",)

    @override
    def write(self, prediction: CasePrediction) -> None:
        from autoseg.evaluation.overlay import draw_preview, make_panel

        labels, image = self.plan.labels, prediction.image
        classes = labels.encode(prediction.values)
        panel = make_panel(prediction.case.name, image.voxels, classes, classes)
        (path,) = self.paths(prediction.case)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows, columns = image.geometry.spacing[-2:]
        draw_preview(panel, labels.names, path, aspect=rows / columns)
