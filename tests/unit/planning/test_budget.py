from math import prod

import pytest
from fingerprints import make_fingerprint, small_volumes

from autoseg.architectures import ARCHITECTURES
from autoseg.core.errors import PlanError
from autoseg.documents.plan import Plan
from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.planning.forecast import Machine, step_seconds, training_step_seconds
from autoseg.planning.ladder import FEWEST_STEPS_TO_WIDEN, LEAST_STEPS, REFERENCE_RECIPE_STEPS
from autoseg.planning.planner import make_plan
from autoseg.planning.table import plan_tables, summary_rows
from autoseg.planning.values import plan_values

CPU = Machine(accelerator_gib=None, cores=2)
CARD = Machine(accelerator_gib=8.0, cores=8)


def planned(seconds, machine=CPU, fingerprint=None, network="unet") -> Plan:
    return make_plan(
        fingerprint or small_volumes(),
        network=ARCHITECTURES[network],
        memory_gib=8.0,
        machine=machine,
        training_seconds=seconds,
    )


def training_steps(configuration, seconds, machine) -> float:
    """Return the steps that a training of so many seconds is predicted to have."""
    made = configuration
    step = training_step_seconds(made.architecture, made.batch_size, made.recipe, machine)
    return seconds / step


def reason(plan, field):
    return next(entry for entry in plan.decisions if entry.field == field)


def test_five_minutes_on_two_cores_keep_to_what_was_measured_to_work():
    chosen = planned(300.0).configuration(None)
    assert chosen.name == "3d_compact"
    assert chosen.architecture.features[0] == 16
    assert (chosen.batch_size, chosen.topology.patch_shape) == (2, (28, 40, 28))


def test_half_a_minute_gets_a_narrower_network_and_more_time_a_wider_one_and_larger_patches():
    chosen = [planned(60.0 * minutes).configuration(None) for minutes in (0.5, 5, 20, 60)]
    assert [entry.architecture.features[0] for entry in chosen] == [8, 16, 32, 32]
    voxels = [prod(entry.topology.patch_shape) for entry in chosen]
    assert voxels[0] == voxels[1] == voxels[2] < voxels[3]


def test_the_references_stay_in_the_plan_unchanged():
    usual, timed = planned(None), planned(300.0)
    for name in ("2d", "3d_fullres"):
        assert timed.configuration(name) == usual.configuration(name)
    assert timed.budget.configurations == ("2d_compact", "3d_compact")
    assert timed.training_seconds(timed.configuration(None)) == 300.0
    assert timed.training_seconds(timed.configuration("3d_fullres")) is None


def test_without_a_budget_nothing_is_timed():
    plan = planned(None)
    assert plan.budget is None
    assert plan.training_seconds(plan.configuration(None)) is None
    assert not [entry for entry in plan.decisions if entry.field.endswith("predicted_steps")]
    assert "in the budget" not in summary_rows(plan)[0]


def test_a_card_with_hours_gets_the_reference_by_its_own_recipe():
    plan = planned(8 * 3600.0, CARD)
    assert [entry.name for entry in plan.configurations] == ["2d", "3d_fullres"]
    assert plan.default_configuration == "3d_fullres"
    assert plan.budget.configurations == ("2d", "3d_fullres")
    assert "enough for its own recipe" in reason(plan, "default_configuration").because


def test_a_card_with_minutes_gets_the_size_of_the_reference_and_the_short_recipe():
    plan = planned(60.0, CARD)
    full, chosen = plan.configuration("3d_fullres"), plan.configuration(None)
    assert chosen.name == "3d_compact"
    assert chosen.architecture == full.architecture
    assert chosen.batch_size == full.batch_size
    assert chosen.recipe.optimizer == SHORT_RECIPE.optimizer
    assert chosen.loss == full.loss


def test_every_timed_configuration_gets_the_steps_that_its_recipe_needs():
    for seconds in (60.0, 600.0, 6000.0, 60000.0, 600000.0):
        plan = planned(seconds)
        for name in plan.budget.configurations:
            configuration = plan.configuration(name)
            is_short = configuration.recipe.optimizer == SHORT_RECIPE.optimizer
            steps = training_steps(configuration, seconds, CPU)
            assert is_short or steps > 0.9 * REFERENCE_RECIPE_STEPS  # longer online validation


def test_all_timed_configurations_have_one_recipe_so_that_they_can_race():
    for seconds in (60.0, 6e3, 6e4, 2e5, 6e5):
        plan = planned(seconds)
        kinds = {
            plan.configuration(name).recipe.optimizer.kind for name in plan.budget.configurations
        }
        assert len(kinds) == 1


def test_the_plan_says_why_and_how_many_steps():
    plan = planned(300.0)
    found = reason(plan, "3d_compact.predicted_steps")
    expected = training_steps(plan.configuration(None), 300.0, CPU)
    assert found.value == f"{expected:.0f} steps in 5 minutes"
    because = reason(plan, "3d_compact.architecture").because
    assert "16 features: in 5 minutes" in because
    assert "the next larger (32 features, 32768 voxels) would get" in because
    assert f"of {FEWEST_STEPS_TO_WIDEN}" in because
    assert "AdamW" in reason(plan, "3d_compact.recipe").because
    assert "In 5 minutes 3d_fullres gets" in reason(plan, "default_configuration").because


def test_every_value_of_a_timed_plan_has_its_decision():
    plan = planned(300.0)
    recorded = {decision.field: decision.value for decision in plan.decisions}
    assert plan_values(plan).items() <= recorded.items()


def test_the_table_shows_the_steps_beside_the_time():
    plan = planned(300.0)
    (*_, table) = plan_tables(plan, only=frozenset({"3d_compact"}))
    assert [row.field for row in table.rows[-2:]] == ["predicted_time", "predicted_steps"]
    header, rows = summary_rows(plan)
    column = header.index("in the budget")
    by_name = {row[0]: row[column] for row in rows}
    assert by_name["3d_fullres"] == ""
    assert by_name["3d_compact"].endswith("steps in 5 minutes")


def test_pictures_are_sized_too():
    plan = planned(120.0, fingerprint=make_fingerprint([(512, 600)] * 30, [(1.0, 1.0)] * 30))
    assert plan.default_configuration == "2d_compact"
    assert plan.budget.configurations == ("2d_compact",)


@pytest.mark.parametrize("network", ["unet_2015", "residual_encoder_unet", "trans_unet"])
def test_other_networks_are_sized_too(network):
    plan = planned(1200.0, network=network)
    chosen = plan.configuration(None)
    assert chosen.architecture.kind == network
    full = plan.configuration(chosen.data_name)
    costs = [step_seconds(entry.architecture, entry.batch_size, CPU) for entry in (chosen, full)]
    assert costs[0] < costs[1]


def test_a_budget_in_which_nothing_is_learnt_is_refused_with_the_least_that_would_do():
    with pytest.raises(
        PlanError, match=r"found 1 seconds per training.*about \d\d steps"
    ) as refusal:
        planned(1.0)
    assert f"time for {LEAST_STEPS} at least" in str(refusal.value)
    assert "autoseg run" in str(refusal.value)


def test_the_least_time_that_a_refusal_names_is_enough():
    smallest = planned(15.0).configuration(None)
    step = 15.0 / training_steps(smallest, 15.0, CPU)
    assert planned(1.01 * LEAST_STEPS * step).default_configuration == "3d_compact"
    with pytest.raises(PlanError):
        planned(0.9 * LEAST_STEPS * step)
