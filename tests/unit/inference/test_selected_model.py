"""Loaded configurations predict together: averaged probabilities, then post-processing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import LABELS, threshold_model, tiny_plan
from selections import CPU, SOLID, STEP, noise_image, save_selected, selection_of

from autoseg.core.case import Image
from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry
from autoseg.documents.store import save
from autoseg.inference.averaging import ensemble_class_map
from autoseg.inference.prediction import (
    predict_classes,
    predict_image,
    predict_logits,
    prepare_for_model,
    probability_grid,
)
from autoseg.inference.probabilities import compress_probabilities
from autoseg.inference.selected_model import SelectedModel, as_selected_model, load_selection
from autoseg.models.model_selection import find_selection
from autoseg.stages.export import ExportOptions, export
from autoseg.stages.predict.predictor import Predictor


@pytest.fixture
def work(tmp_path) -> Path:
    """Return a work folder with four trained configurations and a selection of two."""
    return save_selected(tmp_path / "autoseg_work" / "balls")


def loaded(path: Path) -> SelectedModel:
    return load_selection(find_selection(path), CPU)


def test_networks_are_ready_to_predict(work):
    model = loaded(work)
    assert (model.path, model.postprocessing) == (work, (STEP,))
    assert [member.ensemble.mirror_axes for member in model.members] == [(0, 1), (0, 1)]
    assert not any(member.ensemble.networks[0].training for member in model.members)
    ensemble = model.members[0].ensemble
    logits = ensemble.scores(ensemble.mean_outputs(torch.zeros(1, 1, 8, 8, 8)))
    assert logits.shape == (1, 3, 8, 8, 8)


def test_several_members_average_their_probabilities(work):
    """Means of float and of quantised probabilities give almost the same classes."""
    model = loaded(work)
    whole = noise_image()
    parts = []
    for member in model.members:
        prepared = prepare_for_model(whole, member.loaded)
        grid = probability_grid(prepared, member.loaded)
        parts.append(compress_probabilities(predict_logits(prepared, member), grid))
    expected = model.values(ensemble_class_map(parts, workers=1))
    found = predict_image(whole, model, workers=2)
    np.testing.assert_array_equal(found, expected)
    assert found.shape == whole.shape
    assert set(np.unique(found)) <= set(LABELS.values)
    alone = [
        predict_classes(prepare_for_model(whole, member.loaded), member) for member in model.members
    ]
    assert not np.array_equal(alone[0], alone[1])


def test_post_processing_is_the_last_step():
    voxels = np.full((1, 12, 14, 30), 1.0, dtype=np.float32)
    voxels[0, 2:8, 2:8, 2:12] = 6
    voxels[0, 9:11, 9:11, 20:22] = 6
    whole = Image(voxels, *[Geometry.plain((1.0, 1.0, 1.0))] * 2, noise_image().reorientation)
    plan = tiny_plan(SOLID, axis_order=(0, 1, 2))
    model = as_selected_model(threshold_model(plan))
    assert np.count_nonzero(predict_image(whole, model) == 3) == 6 * 6 * 10 + 2 * 2 * 2
    processed = SelectedModel(model.path, model.members, (STEP,))
    assert np.count_nonzero(predict_image(whole, processed) == 3) == 6 * 6 * 10


def test_an_issue_of_one_member_is_an_issue_of_the_image(work):
    model = loaded(work)
    network = model.members[0].ensemble.networks[0]
    with torch.no_grad():
        network.heads[0].bias.fill_(float("nan"))
    with pytest.raises(CaseError, match="NaN"):
        predict_image(noise_image(), model)


def test_the_model_file_predicts_bit_for_bit_as_the_selection(work, tmp_path):
    manifest = export(work, tmp_path / "m.autoseg", ExportOptions())
    assert (manifest.members, manifest.stages) == (("3d_fullres", "2d"), ())
    from_file = Predictor(tmp_path / "m.autoseg", device="cpu", precision="float32")
    from_work = Predictor(work, device="cpu", precision="float32")
    assert len(from_file.model.members) == 2
    assert from_file.model.postprocessing == (STEP,)
    np.testing.assert_array_equal(
        from_file.predict(noise_image()), from_work.predict(noise_image())
    )


@pytest.mark.parametrize("members", [("3d_cascade_fullres",), ("3d_cascade_fullres", "3d_lowres")])
def test_a_cascade_takes_its_stages_along(work, tmp_path, members):
    save(selection_of(*members), work / "selection.json")
    manifest = export(work, tmp_path / "m.autoseg", ExportOptions())
    assert manifest.members == members
    assert set(manifest.configurations) == {"3d_cascade_fullres", "3d_lowres"}
    from_file = loaded(tmp_path / "m.autoseg")
    assert from_file.members[0].previous.loaded.configuration.name == "3d_lowres"
    expected = predict_image(noise_image(), loaded(work))
    np.testing.assert_array_equal(predict_image(noise_image(), from_file), expected)
