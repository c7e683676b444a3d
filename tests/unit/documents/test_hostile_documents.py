"""Documents that anyone may have changed are refused in a sentence that names file and field."""

import json

import pytest
from fakes import tiny_configuration, tiny_plan
from fingerprints import small_volumes

from autoseg.core.errors import DocumentError
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model import TrainedModel
from autoseg.documents.plan import Plan
from autoseg.documents.selection import Selection
from autoseg.documents.splits import Splits
from autoseg.preprocessing.storage import CaseRecord

LABELS = {"names": ["background", "organ"], "values": [0, 1]}
CASE = {"name": "a", "images": ["a.png"], "labels": "b.png"}
DATASET = {
    "name": "d",
    "root": "/d",
    "layout": "by rules",
    "num_axes": 2,
    "channel_names": ["T1"],
    "labels": LABELS,
    "cases": [CASE],
}
RESTORATION = {
    "axis_order": [0, 1],
    "full_shape": [9, 9],
    "crop": [[0, 9], [0, 9]],
    "spacing": [1, 1],
    "prepared_shape": [9, 9],
    "prepared_spacing": [1, 1],
}
RECORD = {
    "name": "a",
    "key": "k",
    "content_key": "c",
    "restoration": RESTORATION,
    "class_offsets": [0, 1],
}
PLAN = json.loads(tiny_plan(tiny_configuration((8, 8)), axis_order=(0, 1)).model_dump_json())
FINGERPRINT = json.loads(small_volumes(num_cases=2).model_dump_json())
SPLITS = {"seed": 0, "reason": "r", "folds": [{"train": ["a"], "validation": ["b"]}]}
SELECTION = {
    "members": ["2d"],
    "folds": [[0]],
    "postprocessing": [],
    "reason": "r",
    "candidates": [],
}
MODEL = {"configuration": "2d", "mirror_axes": []}
NETWORK = ("configurations", 0, "architecture")
ELSEWHERE = "../../../thesis"


def refusal(kind, document, place, value, tmp_path) -> str:
    """Return the message that refuses a document with another value at a place."""
    document = json.loads(json.dumps(document))
    part = document
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    path = tmp_path / "document.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DocumentError) as error:
        store.load(kind, path)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (DatasetSpec, DATASET),
        (CaseRecord, RECORD),
        (Plan, PLAN),
        (Fingerprint, FINGERPRINT),
        (Splits, SPLITS),
        (Selection, SELECTION),
        (TrainedModel, MODEL),
    ],
)
def test_the_documents_of_these_tests_are_valid(kind, document, tmp_path) -> None:
    (tmp_path / "document.json").write_text(json.dumps(document))
    store.load(kind, tmp_path / "document.json")


@pytest.mark.parametrize(
    ("kind", "document", "place"),
    [
        (DatasetSpec, DATASET, ("cases", 0, "name")),
        (DatasetSpec, DATASET | {"test_cases": [CASE]}, ("test_cases", 0, "name")),
        (CaseRecord, RECORD, ("name",)),
        (Plan, PLAN, ("configurations", 0, "name")),
        (Plan, PLAN, ("configurations", 0, "data_name")),
        (Plan, PLAN, ("configurations", 0, "previous_stage")),
        (Fingerprint, FINGERPRINT, ("cases", 0, "name")),
        (Splits, SPLITS, ("folds", 0, "train", 0)),
        (Splits, SPLITS, ("folds", 0, "validation", 0)),
        (Selection, SELECTION, ("members", 0)),
        (TrainedModel, MODEL, ("configuration",)),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(kind, document, place, tmp_path) -> None:
    assert "without slashes" in refusal(kind, document, place, ELSEWHERE, tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("configurations", 0, "batch_size"), 10**9),
        (("configurations", 0, "spacing", 0), 1e-300),
        ((*NETWORK, "encoder_convolutions", 0), 10**9),
        ((*NETWORK, "features", 0), 10**9),
        ((*NETWORK, "topology", "patch_shape", 0), 10**9),
        ((*NETWORK, "topology", "kernels", 0, 0), 10**9 + 1),
        ((*NETWORK, "topology", "strides", 1, 0), 10**9),
        ((*NETWORK, "topology", "strides"), [[1, 1]] * 10_000),
        (("configurations", 0, "recipe", "augmentations", 2, "sigma"), [0.5, 1e9]),
        (("configurations", 0, "recipe", "augmentations", 2, "sigma"), [1.0, 0.5]),
        (("configurations", 0, "recipe", "iterations_per_epoch"), 10**400),
        (("configurations", 0, "predicted_memory_gib"), float("inf")),
    ],
)
def test_a_number_that_would_cost_time_or_memory_without_end_is_refused(
    place, value, tmp_path
) -> None:
    named = ".".join(map(str, place))
    assert named.removeprefix("configurations.0.").rsplit(".", 2)[-1].strip("0123456789.") in (
        refusal(Plan, PLAN, place, value, tmp_path)
    )


@pytest.mark.parametrize(
    "field",
    [
        *("shape", "spacing", "shape_after_crop", "class_voxels", "class_centres"),
        *("class_extents", "intensities"),
    ],
)
def test_lists_of_uneven_lengths_are_refused(field, tmp_path) -> None:
    longer = FINGERPRINT["cases"][1][field] * 2
    message = refusal(Fingerprint, FINGERPRINT, ("cases", 1, field), longer, tmp_path)
    assert FINGERPRINT["cases"][1]["name"] in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("axis_order", [0, 0]),
        ("crop", [[0, 9], [5, 99]]),
        ("spacing", [1]),
        ("prepared_shape", [9, 0]),
        ("prepared_spacing", [1, -1]),
    ],
)
def test_a_prepared_case_whose_transform_is_not_consistent_is_refused(
    field, value, tmp_path
) -> None:
    assert "restoration" in refusal(CaseRecord, RECORD, ("restoration", field), value, tmp_path)


def test_a_label_value_of_64_bits_is_valid(tmp_path) -> None:
    labels = {"names": ["background", "organ"], "values": [0, 2**64 - 1]}
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(DATASET | {"labels": labels}))
    assert store.load(DatasetSpec, path).labels.values == (0, 2**64 - 1)
    assert "values.1" in refusal(DatasetSpec, DATASET, ("labels", "values", 1), 2**64, tmp_path)


def test_nesting_without_end_is_refused(tmp_path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("[" * 100_000)
    with pytest.raises(DocumentError, match="not a valid Plan"):
        store.load(Plan, path)
