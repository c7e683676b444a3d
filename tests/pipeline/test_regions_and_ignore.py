"""Overlapping regions and sparse annotations from the dataset to the scores."""

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import io
from synthetic import write_picture, write_volume

from autoseg.core.compute import Compute
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace
from autoseg.optimizers.adamw import AdamW
from autoseg.preprocessing.storage import open_case
from autoseg.stages.evaluate.evaluate import evaluate
from autoseg.stages.evaluate.known_labels import known_labels
from autoseg.stages.plan.plan import plan
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.stages.preprocess import preprocess
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train

RIM, CORE, IGNORE = 100, 200, 255
DECLARED = {
    "labels": {"background": 0, "whole": [RIM, CORE], "core": CORE, "ignore": IGNORE},
    "regions_class_order": [RIM, CORE],
}
STEPS = 100


def disc(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a grey picture of a disc with a bright core, and its labels."""
    random = np.random.default_rng(index)
    rows, columns = np.meshgrid(np.arange(48), np.arange(40), indexing="ij")
    row, column = random.uniform(16, 32), random.uniform(14, 26)
    distance = np.hypot(rows - row, columns - column)
    labels = np.zeros((48, 40), np.uint8)
    labels[distance < 11] = RIM
    labels[distance < 6] = CORE
    grey = 60 + 0.6 * labels + random.normal(0, 6, labels.shape)
    return np.clip(grey, 1, 255).astype(np.uint8), labels


def with_scribbles(labels: np.ndarray, index: int) -> np.ndarray:
    """Return labels of which only every sixth row, and the same share of columns, is annotated."""
    rows, columns = np.indices(labels.shape)
    annotated = (rows % 6 == index % 6) | (columns % 6 == index % 6)
    return np.where(annotated, labels, IGNORE).astype(np.uint8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sparse") / "discs"
    for index in range(6):
        image, labels = disc(index)
        write_picture(image, root / "images" / f"disc_{index}.png")
        write_picture(with_scribbles(labels, index), root / "labels" / f"disc_{index}.png")
    (root / "dataset.json").write_text(json.dumps(DECLARED))
    return root


def quick(made: Plan) -> Plan:
    """Return the plan with a learning rate at which so small a network learns in few steps."""
    configuration = made.configuration(None)
    recipe = configuration.recipe.model_copy(update={"optimizer": AdamW(learning_rate=0.02)})
    faster = configuration.model_copy(update={"recipe": recipe})
    return made.model_copy(update={"configurations": (faster,)})


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory, shrink) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("sparse_work") / "work")
    made = plan(dataset, workspace, workers=1, progress=Silent())
    store.save(quick(shrink(made, (32, 32))), workspace.plan)
    request = TrainRequest(
        fold=0, length=TrainingDuration(iterations=STEPS), compute=Compute(device="cpu", workers=0)
    )
    train(workspace, request, progress=Silent())
    return workspace


def test_the_network_has_one_output_per_region(trained: Workspace) -> None:
    made = store.load(Plan, trained.plan)
    assert made.labels.ignore == IGNORE
    assert made.configuration(None).architecture.num_classes == 2
    assert made.configuration(None).loss.class_weights is None


def test_the_fingerprint_counts_annotated_voxels_alone(trained: Workspace) -> None:
    measured = store.load(Fingerprint, trained.fingerprint)
    for index, case in enumerate(measured.cases):
        annotated = with_scribbles(disc(index)[1], index)
        expected = tuple(np.count_nonzero(annotated == value) for value in (0, RIM, CORE))
        assert case.class_voxels == expected


def test_prepared_cases_say_where_somebody_annotated(trained: Workspace) -> None:
    made = store.load(Plan, trained.plan)
    folder = trained.preprocessed(made.configuration(None).data_name)
    case = open_case(folder / "disc_0")
    classes = case.read_classes()
    assert set(np.unique(classes)) == {0, 1, 2, 3}
    annotated, whole, core = case.foreground
    assert len(annotated) == np.count_nonzero(classes != 3)
    assert len(whole) == np.count_nonzero((classes == 1) | (classes == 2))
    assert len(core) == np.count_nonzero(classes == 2)


def test_scribbles_teach_both_regions(trained: Workspace, tmp_path: Path) -> None:
    (images, references, outputs) = (tmp_path / name for name in ("images", "references", "out"))
    for index in range(20, 23):
        image, labels = disc(index)
        write_picture(image, images / f"{index}.png")
        write_picture(labels, references / f"{index}.png")
    options = PredictOptions(model=trained.root, compute=Compute(device="cpu", workers=1))
    predict(images, outputs, options, Silent())
    found = {int(value) for path in outputs.glob("*.png") for value in np.unique(io.imread(path))}
    assert found == {0, RIM, CORE}
    labels = known_labels(trained.root)
    report = evaluate(outputs, references, labels=labels, workers=1, progress=Silent())
    dice = {entry.name: entry.means.dice.value for entry in report.classes}
    assert list(dice) == ["whole", "core"]
    assert min(dice.values()) > 0.7


def test_held_out_cases_are_scored_where_somebody_annotated(trained: Workspace) -> None:
    made = store.load(Plan, trained.plan)
    folder = trained.fold(made.default_configuration, 0)
    assert (folder / "overlay.png").is_file()
    report = json.loads((folder / "validation" / "evaluation.json").read_text())
    assert not report["issues"]
    for case in report["cases"]:
        index = int(case["name"].removeprefix("disc_"))
        annotated = with_scribbles(disc(index)[1], index)
        counted = [scores["reference_voxels"] for scores in case["classes"]]
        whole, core = np.isin(annotated, (RIM, CORE)), annotated == CORE
        assert counted == [np.count_nonzero(whole), np.count_nonzero(core)]


def test_a_volume_with_a_few_annotated_slices_is_prepared(tmp_path: Path) -> None:
    root = tmp_path / "volumes"
    random = np.random.default_rng(0)
    for index in range(2):
        labels = np.zeros((12, 24, 20), np.uint8)
        labels[2:10, 5:19, 5:15] = 1
        image = (labels * 3 + random.normal(5, 1, labels.shape)).astype(np.float32)
        sparse = np.full_like(labels, 9)
        sparse[[3, 8]] = labels[[3, 8]]
        write_volume(image, root / "images" / f"{index}.nii.gz", spacing=(1.0, 1.0, 1.0 + index))
        write_volume(sparse, root / "labels" / f"{index}.nii.gz", spacing=(1.0, 1.0, 1.0 + index))
    declared = {"labels": {"background": 0, "box": 1, "ignore": 9}}
    (root / "dataset.json").write_text(json.dumps(declared))
    workspace = Workspace(tmp_path / "work")
    plan(root, workspace, workers=1, progress=Silent())
    preprocess(workspace, configuration="3d_fullres", workers=1, progress=Silent())
    for name in ("0", "1"):
        case = open_case(workspace.preprocessed("3d_fullres") / name)
        annotated, box = case.foreground
        sliced = case.record.restoration.axis_order.index(0)
        assert len(np.unique(annotated[:, sliced])) == 2
        assert len(np.unique(box[:, sliced])) == 2
