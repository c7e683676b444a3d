import re
from dataclasses import replace
from math import prod

import pytest
from fingerprints import make_fingerprint, small_volumes

from autoseg.architectures import ARCHITECTURES
from autoseg.core.errors import PlanError
from autoseg.documents.plan import Plan
from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.planning.budget import LEAST_STEPS
from autoseg.planning.expected_dice import coverage
from autoseg.planning.forecast import Machine, step_seconds, training_step_seconds
from autoseg.planning.planner import make_plan
from autoseg.planning.table import plan_tables, summary_rows
from autoseg.planning.values import plan_values

CPU = Machine(accelerator_gib=None, cores=2)
SLOW = Machine(accelerator_gib=None, cores=1)
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


def decision_on(plan, field):
    return next(entry for entry in plan.decisions if entry.field == field)


def organ(**settings):
    """Return the fingerprint of large volumes with an organ in the middle."""
    return make_fingerprint(
        [(90, 140, 200)] * 15,
        [(1.0, 1.0, 1.0)] * 15,
        **{"extents": (1.0, 0.1), "coarse_dice": (0.99, 0.98, 0.97, 0.96, 0.93), **settings},
    )


def test_a_short_training_of_an_organ_sees_much_of_the_image_at_coarser_voxels():
    chosen = planned(120.0, fingerprint=organ()).configuration("3d_compact")
    assert chosen.data_name.startswith("3d_fullres_x")
    assert min(chosen.spacing) >= 2
    assert coverage(chosen.topology.patch_shape, chosen.median_shape) > 0.3


def test_detail_that_coarser_voxels_lose_keeps_the_full_resolution():
    fine = (0.7, 0.5, 0.4, 0.3, 0.2)
    plan = planned(120.0, fingerprint=organ(coarse_dice=fine))
    assert plan.configuration(None).data_name in {"2d", "3d_fullres"}


def test_labels_that_were_not_measured_at_coarser_voxels_keep_the_full_resolution():
    plan = planned(120.0, fingerprint=organ(coarse_dice=None))
    assert plan.configuration("3d_compact").data_name == "3d_fullres"


def test_classes_that_are_everywhere_need_less_context():
    shapes = [(512, 512)] * 30
    texture, place = (
        planned(
            300.0,
            fingerprint=make_fingerprint(shapes, [(1.0, 1.0)] * 30, extents=(1.0, extent)),
        ).configuration(None)
        for extent in (1.0, 0.05)
    )
    assert prod(texture.topology.patch_shape) < prod(place.topology.patch_shape)


def test_more_time_gives_more_of_a_network_and_finer_voxels():
    made = [planned(60.0 * minutes, fingerprint=organ()) for minutes in (1, 2000)]
    short, long = (plan.configuration("3d_compact") for plan in made)
    assert min(short.spacing) > min(long.spacing)
    steps = [made.architecture.multiplication_count() for made in (short, long)]
    assert steps[0] < steps[1]


def timer(seconds):
    """Return a timer by which a step takes so many seconds, and the list of what it was asked."""
    asked = []

    def time_steps(steps):
        asked.append(steps)
        return {step: seconds(step) for step in steps}

    return time_steps, asked


def timed_plan(seconds, time_steps) -> Plan:
    return make_plan(
        organ(),
        network=ARCHITECTURES["unet"],
        memory_gib=8.0,
        machine=replace(CPU, time_steps=time_steps),
        training_seconds=seconds,
    )


def test_the_best_candidates_are_timed_until_they_stay_the_best():
    predicted = planned(300.0, fingerprint=organ()).configuration("3d_compact")

    def seconds(step):  # as predicted, but what was best takes long
        network, batch_size = step
        is_best = network == predicted.architecture
        return (5.0 if is_best else 1.0) * step_seconds(network, batch_size, CPU)

    time_steps, asked = timer(seconds)
    made = timed_plan(300.0, time_steps)
    chosen = made.configuration("3d_compact")
    assert chosen.architecture != predicted.architecture
    assert (predicted.architecture, predicted.batch_size) in asked[0]
    assert 1 <= len(asked) <= 3
    steps = [step for round_ in asked for step in round_]
    assert len(steps) == len(set(steps))  # none twice
    assert (chosen.architecture, chosen.batch_size) in steps
    forecast = decision_on(made, "3d_compact.predicted_steps")
    assert "timed on this machine" in forecast.reason


def test_a_timed_step_takes_what_it_took_and_corrects_the_predictions_of_others():
    first, other = (
        planned(seconds, fingerprint=organ()).configuration("3d_compact")
        for seconds in (60.0, 120_000.0)
    )
    predicted = [step_seconds(made.architecture, made.batch_size, CPU) for made in (first, other)]
    machine = Machine(None, 2, timed={(first.architecture, first.batch_size): 3 * predicted[0]})
    found = [step_seconds(made.architecture, made.batch_size, machine) for made in (first, other)]
    assert first.architecture != other.architecture
    assert found == pytest.approx([3 * seconds for seconds in predicted])
    planes = planned(60.0, fingerprint=organ()).configuration("2d_compact")
    assert step_seconds(planes.architecture, 2, machine) == step_seconds(
        planes.architecture, 2, CPU
    )


def test_without_timed_steps_the_plan_goes_by_predictions():
    time_steps, asked = timer(lambda _: 1.0)
    made = timed_plan(300.0, lambda _: {})
    assert made == planned(300.0, fingerprint=organ())
    assert timed_plan(None, time_steps) == planned(None, fingerprint=organ())
    assert asked == []  # nor is anything timed for a plan without a time


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
    assert "in the budget" not in summary_rows(plan)[0]


def test_a_card_with_hours_gets_the_reference_by_its_own_recipe():
    plan = planned(8 * 3600.0, CARD)
    assert [entry.name for entry in plan.configurations] == ["2d", "3d_fullres"]
    assert plan.default_configuration == "3d_fullres"
    assert plan.budget.configurations == ("2d", "3d_fullres")
    assert "enough for the reference recipe" in decision_on(plan, "default_configuration").reason


def test_a_card_with_minutes_gets_wider_networks_than_a_cpu_and_the_short_recipe():
    on_card, on_cpu = (planned(300.0, machine).configuration(None) for machine in (CARD, CPU))
    assert on_card.name == "3d_compact"
    assert on_card.architecture.features[0] > on_cpu.architecture.features[0]
    assert on_card.recipe.optimizer == SHORT_RECIPE.optimizer


def test_all_timed_configurations_have_one_recipe_so_that_they_can_race():
    for seconds in (60.0, 6e3, 6e4, 2e5, 6e5):
        plan = planned(seconds)
        kinds = {
            plan.configuration(name).recipe.optimizer.kind for name in plan.budget.configurations
        }
        assert len(kinds) == 1


def test_the_plan_says_why_and_how_many_steps():
    plan = planned(300.0, fingerprint=organ())
    chosen = plan.configuration(None)
    found = decision_on(plan, f"{chosen.name}.predicted_steps")
    assert found.value == f"{training_steps(chosen, 300.0, CPU):.0f} steps in 5 min"
    reason = decision_on(plan, f"{chosen.name}.architecture").reason
    assert "expected to lose the least Dice in 5 min" in reason
    assert "from its voxels" in reason
    assert "the next one (" in reason
    assert "AdamW" in decision_on(plan, f"{chosen.name}.recipe").reason
    assert "is expected to lose" in decision_on(plan, "default_configuration").reason


def test_the_plan_says_what_a_patch_sees_and_what_its_voxels_resolve():
    plan = planned(120.0, fingerprint=organ())
    chosen = plan.configuration(None)
    share = coverage(chosen.topology.patch_shape, chosen.median_shape)
    assert decision_on(plan, f"{chosen.name}.predicted_coverage").value == f"{round(100 * share)} %"
    factor = round(min(chosen.spacing))
    dice = dict(zip((2, 3, 4, 6), (0.98, 0.97, 0.96, 0.93), strict=True))[factor]
    assert decision_on(plan, f"{chosen.name}.predicted_resolution").value == f"Dice {dice:.3f}"
    assert "at full resolution" in decision_on(plan, f"{chosen.name}.spacing").reason


def test_every_value_of_a_timed_plan_has_its_decision():
    plan = planned(300.0)
    recorded = {decision.field: decision.value for decision in plan.decisions}
    assert plan_values(plan).items() <= recorded.items()


def test_the_table_shows_the_steps_beside_the_time():
    plan = planned(300.0)
    (*_, table) = plan_tables(plan, only=frozenset({"3d_compact"}))
    assert [row.field for row in table.rows[-4:]] == [
        "predicted_time",
        "predicted_steps",
        "predicted_coverage",
        "predicted_resolution",
    ]
    header, rows = summary_rows(plan)
    column = header.index("in the budget")
    by_name = {row[0]: row[column] for row in rows}
    assert by_name["3d_fullres"] == ""
    assert by_name["3d_compact"].endswith("steps in 5 min")


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


def test_a_budget_that_is_too_small_is_refused_and_a_sufficient_one_is_named():
    with pytest.raises(
        PlanError, match=r"budget of 1 s per training is too small.*about \d\d steps"
    ) as refusal:
        planned(1.0, SLOW, organ())
    assert f"needs at least {LEAST_STEPS}" in str(refusal.value)
    assert "autoseg run" in str(refusal.value)


def test_the_least_time_that_a_refusal_names_is_enough():
    with pytest.raises(PlanError) as refusal:
        planned(1.0, SLOW, organ())
    seconds = int(re.search(r"--budget (\d+)s", str(refusal.value))[1])
    assert planned(float(seconds), SLOW, organ()).budget is not None
    with pytest.raises(PlanError):
        planned(seconds / 10, SLOW, organ())
