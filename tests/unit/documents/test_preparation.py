"""A plan's outline says the same of preparation as the plan, and refuses the same."""

import json

import pytest
from fakes import tiny_configuration, tiny_plan
from pydantic import ValidationError

from autoseg.core.errors import PlanError
from autoseg.documents.plan import Plan
from autoseg.documents.preparation import PlannedPreparation
from autoseg.preprocessing.storage import preparation_key

SOURCE = (("images/a.nii.gz", 100, 5),)


@pytest.fixture
def plan() -> Plan:
    flat, whole = tiny_configuration((8, 8), name="2d"), tiny_configuration((8, 8, 8), name="3d")
    return tiny_plan(flat, whole, axis_order=(0, 1, 2))


def test_a_case_has_the_same_key_by_a_plan_and_by_its_outline(plan) -> None:
    outline = PlannedPreparation.model_validate_json(plan.model_dump_json())
    for whole, part in zip(plan.configurations, outline.configurations, strict=True):
        assert preparation_key(plan, whole, SOURCE) == preparation_key(outline, part, SOURCE)
        assert part.patch_shape == whole.topology.patch_shape
    assert outline.configuration(None).name == plan.configuration(None).name


def test_an_outline_looks_at_no_network(plan) -> None:
    document = json.loads(plan.model_dump_json())
    document["configurations"][0]["architecture"]["kind"] = "no_network"
    assert PlannedPreparation.model_validate(document).configuration("2d").name == "2d"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema_version", 1, "Input should be 2"),
        ("default_configuration", "4d", "must be one of the configurations"),
        ("axis_order", [0, 0, 1], "axis_order must be a permutation of 0 … 2"),
        ("channel_names", ["a", "b"], "1 normalizers for 2 image channels"),
    ],
)
def test_plan_and_outline_refuse_the_same(plan, field, value, message) -> None:
    document = json.loads(plan.model_dump_json()) | {field: value}
    for kind in (Plan, PlannedPreparation):
        with pytest.raises(ValidationError, match=message):
            kind.model_validate(document)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data_name", "../elsewhere", "not a valid folder name"),
        ("spacing", [1.0, 1.0, 1.0], "spacing needs 2 entries, one per patch axis"),
        ("spacing", [1.0, float("inf")], "finite number"),
    ],
)
def test_both_refuse_the_same_configurations(plan, field, value, message) -> None:
    document = json.loads(plan.model_dump_json())
    document["configurations"][0][field] = value
    for kind in (Plan, PlannedPreparation):
        with pytest.raises(ValidationError, match=message):
            kind.model_validate(document)


def test_an_unknown_configuration_lists_those_there_are(plan) -> None:
    outline = PlannedPreparation.model_validate_json(plan.model_dump_json())
    with pytest.raises(PlanError, match=r"no configuration '4d'.*2d, 3d"):
        outline.configuration("4d")
