"""Imported models put voxels into the classes that nnU-Net itself puts them into.

nnU-Net plans, trains and predicts here, so these tests take minutes and run only where it is
installed: `pip install -e ".[test,parity]"`, then `pytest -m parity --junitxml parity.xml`, which
records the shares of equal voxels.
"""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from nnunet_reference import (
    Kind,
    copy_decathlon,
    predict,
    prepare,
    train,
    write_cascade_inputs,
    write_dataset,
)
from skimage import io

from autoseg.core.compute import Compute
from autoseg.core.progress import Silent
from autoseg.stages.import_nnunet import ImportOptions, import_nnunet
from autoseg.stages.predict.predict import PredictOptions
from autoseg.stages.predict.predict import predict as predict_with_autoseg

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        find_spec("nnunetv2") is None,
        reason="nnunetv2 is not installed: pip install -e '.[test,parity]'",
    ),
    pytest.mark.filterwarnings("ignore"),
]

TRAINED, RANDOM = 0.9999, 0.999
"""Share of voxels that must be equal; with random weights tiles disagree most."""

FLAT = {
    "configuration": "2d",
    "patch": (32, 32),
    "strides": ((1, 1), (2, 2), (2, 2)),
}
TURNED_CT = {"channel": "CT", "shape": (40, 44, 20), "spacing": (1.0, 1.0, 4.0)}
REGIONS = {
    "labels": {"background": 0, "whole": [1, 2], "dim": 2},
    "more": {"regions_class_order": [1, 2]},
}
KINDS = {
    "3d_fullres, random": Kind(),
    "3d_fullres": Kind(steps=30),
    "3d_fullres, two folds": Kind(steps=15, folds=2),
    "CT, turned axes, random": Kind(**TURNED_CT),
    "CT, turned axes": Kind(**TURNED_CT, steps=20),
    "2d of volumes": Kind(**FLAT, steps=30),
    "2d of pictures, random": Kind(**FLAT, shape=(60, 70), spacing=(1.0, 1.0)),
    "residual encoder": Kind(planner="nnUNetPlannerResEncM", steps=30),
    "residual encoder, random": Kind(planner="nnUNetPlannerResEncM"),
    "3d_lowres, random": Kind(configuration="3d_lowres"),
    "3d_lowres": Kind(configuration="3d_lowres", steps=30),
    "regions, random": Kind(**REGIONS),
    "regions": Kind(**REGIONS, steps=20),
}
HIPPOCAMPI = {
    "2d": Kind(**FLAT, steps=80),
    "3d_fullres": Kind(patch=(24, 32, 24), strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)), steps=60),
}


@pytest.mark.parametrize("name", KINDS)
def test_labels_are_those_of_nnunet(name, tmp_path, monkeypatch, record_property) -> None:
    kind = KINDS[name]
    prepare(tmp_path, monkeypatch.setenv)
    unseen = write_dataset(kind, tmp_path)
    model = train(kind, tmp_path, monkeypatch.setenv)
    predict(model, unseen, tmp_path / "theirs")
    share = equal_share(model, unseen, tmp_path)
    record_property("equal voxels", share)
    assert share >= (TRAINED if kind.steps else RANDOM)


@pytest.mark.parametrize("steps", [0, 20], ids=["random", "trained"])
def test_labels_of_a_cascade_are_those_of_nnunet(
    steps, tmp_path, monkeypatch, record_property
) -> None:
    later = Kind(configuration="3d_cascade_fullres", steps=steps)
    prepare(tmp_path, monkeypatch.setenv)
    unseen = write_dataset(later, tmp_path)
    first = train(replace(later, configuration="3d_lowres"), tmp_path, monkeypatch.setenv)
    if steps:
        write_cascade_inputs(first, later.configuration, tmp_path)
    predict(first, unseen, tmp_path / "first")
    model = train(later, tmp_path, monkeypatch.setenv)
    predict(model, unseen, tmp_path / "theirs", tmp_path / "first")
    share = equal_share(model, unseen, tmp_path)
    record_property("equal voxels", share)
    assert share >= (TRAINED if steps else RANDOM)


@pytest.mark.real
@pytest.mark.parametrize("name", HIPPOCAMPI)
def test_hippocampi_get_the_labels_of_nnunet(
    name, real_data, tmp_path, monkeypatch, record_property
) -> None:
    prepare(tmp_path, monkeypatch.setenv)
    unseen = copy_decathlon(real_data / "Task04_Hippocampus", tmp_path, num_unseen=4)
    model = train(HIPPOCAMPI[name], tmp_path, monkeypatch.setenv)
    predict(model, unseen, tmp_path / "theirs")
    share = equal_share(model, unseen, tmp_path)
    record_property("equal voxels", share)
    assert share >= TRAINED


def equal_share(model: Path, unseen: Path, root: Path) -> float:
    """Return the share of voxels with equal labels, after checking that there is foreground."""
    import_nnunet(model, root / "model.autoseg", ImportOptions(), Silent())
    options = PredictOptions(
        model=root / "model.autoseg", compute=Compute(device="cpu", precision="float32", workers=1)
    )
    report = predict_with_autoseg(unseen, root / "ours", options, Silent())
    assert not report.failures
    theirs = np.concatenate([labels(root / "theirs" / path.name) for path in report.written])
    ours = np.concatenate([labels(path) for path in report.written])
    assert len(np.unique(theirs)) > 1
    return float(np.mean(ours == theirs))


def labels(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        return io.imread(path).ravel()
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).ravel()
