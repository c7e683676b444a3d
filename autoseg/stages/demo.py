"""`autoseg demo`: plan, train and predict on two small synthetic datasets in a few minutes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.compute import Compute
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.datasets.phantoms import write_pictures, write_volumes
from autoseg.documents.report import Report
from autoseg.documents.workspace import Workspace
from autoseg.evaluation.overlay import draw_overlay, make_panel
from autoseg.readers import read_image, read_labels
from autoseg.readers.names import is_image_name
from autoseg.stages.evaluate.evaluate import evaluate
from autoseg.stages.plan.plan import PlanRequest, Timing, plan
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.stages.train.duration import TrainingDuration, parse_duration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train

DEMO_SEED = 7


@dataclass(frozen=True)
class DemoResult:
    """Result on one demo dataset.

    Attributes:
        name: Name of the dataset.
        report: Scores on unseen cases.
        overlay: Image file that shows the predictions of the unseen cases.
    """

    name: str
    report: Report
    overlay: Path


def demo(
    folder: Path, *, budget: str, compute: Compute, progress: Progress
) -> tuple[DemoResult, ...]:
    """Create a 3-D and a 2-D dataset; plan, train, predict unseen cases and score them on each.

    Args:
        folder: Output folder.
        budget: Training time per dataset, e.g. "50s".
        compute: Device and cache folder.
        progress: Receives messages and progress.
    """
    timing = Timing(
        cache=compute.cache, budget_seconds=parse_duration(budget), device=compute.device
    )
    kinds: tuple[Callable[[Path, int], tuple[Path, Path]], ...] = (write_volumes, write_pictures)
    results = []
    for write in kinds:
        dataset, unseen = write(folder / "data", DEMO_SEED)
        progress.say(f"\n{dataset.name}: {dataset}")
        length = TrainingDuration(budget=budget)
        request = TrainRequest(fold=0, length=length, compute=compute)
        results.append(_run(dataset, unseen, folder, timing, request, progress))
    return tuple(results)


def _run(
    dataset: Path,
    unseen: Path,
    folder: Path,
    timing: Timing,
    request: TrainRequest,
    progress: Progress,
) -> DemoResult:
    workspace = Workspace(folder / dataset.name)
    workers = default_workers()
    planning = PlanRequest(timing=timing)
    labels = plan(dataset, workspace, planning, workers=workers, progress=progress).labels
    train(workspace, request, progress=progress)
    outputs = folder / f"{dataset.name}_predictions"
    options = PredictOptions(model=workspace.root, compute=request.compute)
    predict(unseen / "images", outputs, options, progress)
    report = evaluate(outputs, unseen / "labels", labels=labels, workers=workers, progress=progress)
    overlay = folder / f"{dataset.name}.png"
    panels = []
    for path in sorted(entry for entry in outputs.iterdir() if is_image_name(entry)):
        image = read_image((unseen / "images" / path.name,))
        reference = labels.encode(read_labels(unseen / "labels" / path.name, like=image).values)
        prediction = labels.encode(read_labels(path, like=image).values)
        panels.append(make_panel(path.name, image.voxels, reference, prediction))
    draw_overlay(tuple(panels), labels.names, overlay)
    return DemoResult(name=dataset.name, report=report, overlay=overlay)
