"""What cannot work as stages of a cascade is refused with a sentence."""

import pytest
from fakes import LABELS, tiny_configuration, tiny_plan
from pydantic import ValidationError

from autoseg.documents.plan import Configuration, Plan

COARSE = tiny_configuration((8, 8, 8), name="coarse")
FLAT = tiny_configuration((8, 8), name="flat")


def after(previous: str, *, name: str = "cascade", cascade_channels: int = 2, axes: int = 3):
    """Return a configuration with a previous stage."""
    single = tiny_configuration((8,) * axes, name=name)
    network = single.architecture.model_copy(update={"in_channels": 1 + cascade_channels})
    return single.model_copy(update={"previous_stage": previous, "architecture": network})


def planned(*configurations: Configuration) -> Plan:
    return tiny_plan(*configurations, axis_order=(0, 1, 2))


def test_a_cascade_has_one_input_channel_more_per_foreground_class():
    plan = planned(COARSE, after("coarse"))
    assert LABELS.num_classes == 3
    assert plan.num_cascade_channels(plan.configuration("cascade")) == 2
    assert plan.num_cascade_channels(plan.configuration("coarse")) == 0
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_stages_may_follow_each_other():
    planned(COARSE, after("coarse", name="middle"), after("middle", name="fine"))


@pytest.mark.parametrize(
    ("configurations", "message"),
    [
        ((COARSE, after("rough")), r"previous_stage 'rough' is not in the plan"),
        ((after("cascade"),), "is a later stage"),
        ((after("b", name="a"), after("a", name="b")), "is a later stage"),
        ((COARSE, after("coarse", cascade_channels=3)), "the cascade input has 2; expected 3"),
        ((COARSE, after("coarse", cascade_channels=0)), "in_channels is 1"),
        ((FLAT, after("flat")), r"\['flat'\] have 2-D patches"),
        ((COARSE, after("coarse", axes=2)), r"\['cascade'\] have 2-D patches"),
    ],
)
def test_stages_that_cannot_work_are_refused(configurations, message):
    with pytest.raises(ValidationError, match=message):
        planned(*configurations)


def test_an_edited_network_must_fit_the_labels_and_the_patch():
    network = COARSE.architecture.model_copy(update={"num_classes": 5})
    with pytest.raises(ValidationError, match=r"num_classes is 5, but the dataset has 3 classes"):
        planned(COARSE.model_copy(update={"architecture": network}))
    with pytest.raises(ValidationError, match=r"median_shape needs 3 entries.*\[8\.0\]"):
        Configuration.model_validate(COARSE.model_dump() | {"median_shape": (8.0,)})


def test_each_image_channel_needs_a_normalizer_and_the_cascade_input_none():
    cascade = after("coarse")
    more = cascade.model_copy(update={"normalizers": cascade.normalizers * 3})
    with pytest.raises(ValidationError, match="found 3 normalizers for 1 image channels"):
        planned(COARSE, more)


def test_plans_agree_on_a_configuration_that_both_have():
    first, other = planned(COARSE, after("coarse")), planned(COARSE)
    assert first.is_compatible_with(other, COARSE)
    assert not first.is_compatible_with(other, first.configuration("cascade"))
    elsewhere = other.model_copy(update={"axis_order": (1, 0, 2)})
    assert not first.is_compatible_with(elsewhere, COARSE)
