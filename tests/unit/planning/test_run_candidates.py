import pytest
from fingerprints import make_fingerprint, small_volumes

from autoseg.architectures import ARCHITECTURES
from autoseg.documents.plan import Plan
from autoseg.planning.forecast import Machine, step_seconds
from autoseg.planning.planner import make_plan
from autoseg.planning.run_candidates import (
    first_share,
    next_training,
    reference_seconds,
    remaining_trainings,
    run_candidates,
    training_seconds,
    with_previous_stages,
)

CPU = Machine(accelerator_gib=None, cores=2)
CARD = Machine(accelerator_gib=8.0, cores=8)


def planned(fingerprint, machine) -> Plan:
    return make_plan(fingerprint, network=ARCHITECTURES["unet"], memory_gib=8.0, machine=machine)


@pytest.fixture(scope="module")
def on_cpu():
    return planned(small_volumes(), CPU)


@pytest.fixture(scope="module")
def large():
    """A plan with a cascade."""
    return planned(make_fingerprint([(300, 512, 512)] * 50, [(1.0, 0.8, 0.8)] * 50), CARD)


def order(plan, names, dice_of, num_folds=3, affordable=None):
    """Return every training of a race, in order."""
    dice, trained = {}, []
    while (key := next_training(plan, names, num_folds, dice, affordable)) is not None:
        dice[key] = dice_of[key[0]]
        trained.append(key)
    return trained


def test_networks_for_graphics_cards_do_not_enter_without_one(on_cpu):
    chosen = run_candidates(on_cpu, 5, CPU, budget_seconds=None)
    assert chosen.value == ("3d_compact", "2d_compact")
    assert chosen.reason == "all configurations of the plan with the recipe of 3d_compact"


def test_with_an_accelerator_all_reference_configurations_enter_the_default_first(large):
    names = run_candidates(large, 5, CARD, budget_seconds=None).value
    assert names[0] == large.default_configuration
    assert set(names) == {"2d", "3d_lowres", "3d_fullres", "3d_cascade_fullres"}


def test_a_short_budget_goes_to_the_default_alone(on_cpu):
    default = on_cpu.configuration(None)
    second = step_seconds(default.architecture, default.batch_size, CPU)
    chosen = run_candidates(on_cpu, 5, CPU, budget_seconds=5 * 500 * second)
    assert chosen.value == ("3d_compact",)
    assert "fewer than 1000" in chosen.reason
    chosen = run_candidates(on_cpu, 5, CPU, budget_seconds=20 * 5 * 1000 * second)
    assert chosen.value == ("3d_compact", "2d_compact")


def test_every_entrant_trains_fold_0_and_only_those_close_to_the_best_go_on(on_cpu):
    names = ("3d_compact", "2d_compact")
    trained = order(on_cpu, names, {"3d_compact": 0.88, "2d_compact": 0.80})
    assert trained == [("3d_compact", 0), ("2d_compact", 0), ("3d_compact", 1), ("3d_compact", 2)]
    trained = order(on_cpu, names, {"3d_compact": 0.87, "2d_compact": 0.88})
    assert trained[2:] == [
        ("2d_compact", 1),
        ("2d_compact", 2),
        ("3d_compact", 1),
        ("3d_compact", 2),
    ]


def test_a_budget_completes_the_best_and_others_only_if_all_their_folds_fit(on_cpu):
    names = ("3d_compact", "2d_compact")
    equal = {"3d_compact": 0.88, "2d_compact": 0.88}
    assert len(order(on_cpu, names, equal, affordable=0)) == 4
    assert len(order(on_cpu, names, equal, affordable=1)) == 4
    assert len(order(on_cpu, names, equal, affordable=2)) == 6


def test_a_cascade_enters_when_the_stage_before_is_complete(large):
    names = ("3d_fullres", "3d_lowres", "3d_cascade_fullres")
    dice = {"3d_fullres": 0.80, "3d_lowres": 0.81, "3d_cascade_fullres": 0.82}
    trained = order(large, names, dice, num_folds=2)
    assert trained == [
        ("3d_fullres", 0),
        ("3d_lowres", 0),
        ("3d_lowres", 1),
        ("3d_cascade_fullres", 0),
        ("3d_cascade_fullres", 1),
        ("3d_fullres", 1),
    ]
    worse = {**dice, "3d_lowres": 0.70}
    assert order(large, names, worse, num_folds=2) == [
        ("3d_fullres", 0),
        ("3d_lowres", 0),
        ("3d_fullres", 1),
    ]


def test_a_budget_is_shared_among_the_trainings_to_come(on_cpu):
    names = ("3d_compact", "2d_compact")
    assert remaining_trainings(on_cpu, names, 5, {}) == 6
    assert remaining_trainings(on_cpu, names, 5, {("3d_compact", 0): 0.8}) == 5
    both = {("3d_compact", 0): 0.8, ("2d_compact", 0): 0.7}
    assert remaining_trainings(on_cpu, names, 5, both) == 4
    assert training_seconds(6, 1800.0) == pytest.approx(300 * 0.92)
    assert training_seconds(6, 1800.0, overhead_seconds=20.0) == pytest.approx(280.0)


def test_what_is_left_runs_even_when_the_budget_is_spent():
    assert training_seconds(2, 0.0, overhead_seconds=30.0) == 1.0


def test_a_full_training_has_as_many_steps_as_the_reference_method(on_cpu):
    default = on_cpu.configuration(None)
    second = step_seconds(default.architecture, default.batch_size, CPU)
    assert reference_seconds(default, CPU) == pytest.approx(250_000 * second)


def test_stages_enter_with_the_cascade_that_needs_them(large):
    assert with_previous_stages(large, ("3d_cascade_fullres",)) == (
        "3d_cascade_fullres",
        "3d_lowres",
    )
    assert with_previous_stages(large, ("2d", "2d")) == ("2d",)
    cascade = large.model_copy(update={"default_configuration": "3d_cascade_fullres"})
    assert run_candidates(cascade, 5, CARD, budget_seconds=1.0).value == (
        "3d_cascade_fullres",
        "3d_lowres",
    )


def test_a_cascade_that_alone_is_asked_for_is_trained_and_its_time_kept_for_it(large):
    names = with_previous_stages(large, ("3d_cascade_fullres",))
    dice = {"3d_lowres": 0.81, "3d_cascade_fullres": 0.5}
    assert order(large, names, dice, num_folds=2, affordable=0) == [
        ("3d_lowres", 0),
        ("3d_lowres", 1),
        ("3d_cascade_fullres", 0),
        ("3d_cascade_fullres", 1),
    ]
    assert remaining_trainings(large, names, 2, {}) == 4
    done = {("3d_lowres", 0): 0.8, ("3d_lowres", 1): 0.8, ("3d_cascade_fullres", 0): 0.5}
    assert remaining_trainings(large, names, 2, done) == 1


def sized(fingerprint, machine, seconds) -> Plan:
    return make_plan(
        fingerprint,
        network=ARCHITECTURES["unet"],
        memory_gib=8.0,
        machine=machine,
        training_seconds=seconds,
    )


def test_of_a_plan_that_was_sized_to_a_time_only_what_was_sized_enters():
    seconds = first_share(7200.0, 5, 2)
    plan = sized(small_volumes(), CPU, seconds)
    assert set(run_candidates(plan, 5, CPU, 7200.0).value) == {"3d_compact", "2d_compact"}


def test_where_the_time_is_enough_for_the_references_all_of_them_enter():
    volumes = make_fingerprint([(300, 512, 512)] * 50, [(1.0, 0.8, 0.8)] * 50)
    plan = sized(volumes, CARD, 4e5)
    assert plan.default_configuration == "3d_fullres"
    names = run_candidates(plan, 5, CARD, 3e6).value
    assert set(names) == {"2d", "3d_lowres", "3d_fullres", "3d_cascade_fullres"}


def test_a_run_is_shared_among_the_folds_of_one_and_the_first_folds_of_the_others():
    assert first_share(600.0, 5, 1) == pytest.approx(0.87 * 120)
    assert first_share(600.0, 5, 2) == pytest.approx(0.87 * 100)
