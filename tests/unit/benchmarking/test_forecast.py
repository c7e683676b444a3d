"""Tests of the forecast's arithmetic, on a plan made from a synthetic fingerprint."""

import pytest
from fingerprints import make_fingerprint

from autoseg.benchmarking.forecast import (
    ForecastInputs,
    MeasuredSpeed,
    forecasts,
    planned_steps,
    prediction_seconds,
    prepared_shape,
    scaled_speed,
    speed_from_rows,
)
from autoseg.benchmarking.predicting import num_tiles
from autoseg.benchmarking.timing import RowLabel, TimedPair, throughput
from autoseg.core.parallel import default_workers
from autoseg.documents.plan import TrainingBudget
from autoseg.planning.forecast import FORWARD_SHARE, Machine
from autoseg.planning.planner import make_plan

MACHINE = Machine(accelerator_gib=None, cores=2)
SPEED = MeasuredSpeed(
    step_seconds=2.0, tile_seconds=0.5, preparation_seconds=3.0, export_rate=100.0
)


@pytest.fixture(scope="module")
def inputs():
    """Return the inputs for 50 large volumes, so that the plan has a cascade."""
    fingerprint = make_fingerprint([(200, 400, 400)] * 3, [(2.0, 0.8, 0.8)] * 3)
    plan = make_plan(fingerprint, memory_gib=8.0, machine=MACHINE)
    return ForecastInputs(plan, fingerprint, 50, MACHINE)


def test_the_speed_is_computed_from_the_rows():
    def row(stage, seconds, amount):
        return throughput([TimedPair(seconds, 1.0)], amount, RowLabel(stage, "x", "this", "that"))

    rows = {
        "training step": row("training step", 2.0, 1.0),
        "prediction": row("prediction", 4.0, 8.0),
        "preprocess": row("preprocess", 6.0, 4.0),
        "export": row("export", 1.0, 100.0),
    }
    speed = speed_from_rows(rows, case_scale=2.0)
    assert speed.step_seconds == pytest.approx(2.0)
    assert speed.tile_seconds == pytest.approx(0.5)
    assert speed.preparation_seconds == pytest.approx(3.0)  # 1.5 s, of cases half as large as usual
    assert speed.export_rate == pytest.approx(100.0)


def test_a_fold_takes_its_steps_and_its_online_validation(inputs):
    name = inputs.plan.default_configuration
    entry = next(e for e in forecasts(inputs, {name: SPEED}) if e.configuration == name)
    recipe = inputs.plan.configuration(name).recipe
    with_validation = 2.0 * (1 + FORWARD_SHARE * recipe.validation_share)
    assert entry.is_measured
    assert entry.steps == 250_000
    assert entry.hours_per_fold == pytest.approx(250_000 * with_validation / 3600)
    assert entry.preparation_seconds == pytest.approx(50 * 3.0 / default_workers())


def test_a_plan_that_was_sized_to_a_time_takes_that_time(inputs):
    budget = TrainingBudget(seconds=600.0, configurations=("3d_fullres",))
    sized = inputs.plan.model_copy(update={"budget": budget})
    assert planned_steps(sized.configuration("3d_fullres"), sized, 2.0) == 300
    assert planned_steps(sized.configuration("2d"), sized, 2.0) == 250_000
    assert planned_steps(sized.configuration("3d_fullres"), sized, 1e6) == 1


def test_a_case_is_prepared_predicted_tile_by_tile_and_brought_back(inputs):
    configuration = inputs.plan.configuration("3d_fullres")
    shape = prepared_shape(configuration, inputs)
    assert shape == tuple(round(size) for size in configuration.median_shape)
    tiles = num_tiles(shape, configuration.topology.patch_shape)
    back = configuration.architecture.num_classes * 200 * 400 * 400 / 1e6 / 100.0
    expected = 3.0 + 0.5 * tiles + back
    assert prediction_seconds(configuration, inputs, SPEED) == pytest.approx(expected)


def test_a_plane_network_predicts_every_plane_of_a_volume(inputs):
    configuration = inputs.plan.configuration("2d")
    assert prepared_shape(configuration, inputs)[0] == 200


def test_every_configuration_is_forecast_in_the_order_of_the_plan(inputs):
    found = forecasts(inputs, {inputs.plan.default_configuration: SPEED})
    names = [entry.name for entry in inputs.plan.configurations]
    assert [entry.configuration for entry in found] == names
    assert [entry.is_measured for entry in found].count(True) == 1


def test_a_cascade_takes_its_previous_stage_too(inputs):
    entries = {e.configuration: e for e in forecasts(inputs, {"3d_fullres": SPEED})}
    cascade = next(e for e in inputs.plan.configurations if e.previous_stage is not None)
    alone = prediction_seconds(
        cascade, inputs, scaled_speed(cascade, inputs, {"3d_fullres": SPEED})
    )
    before = entries[cascade.previous_stage].prediction_seconds
    assert entries[cascade.name].prediction_seconds == pytest.approx(alone + before)


def test_a_configuration_that_was_not_measured_is_scaled_from_one_of_as_many_axes(inputs):
    slow = MeasuredSpeed(
        step_seconds=200.0, tile_seconds=50.0, preparation_seconds=3.0, export_rate=100.0
    )
    speeds = {"3d_fullres": slow, "2d_compact": SPEED}
    flat = scaled_speed(inputs.plan.configuration("2d"), inputs, speeds)
    assert flat.step_seconds > SPEED.step_seconds  # more features than the compact one
    assert flat.step_seconds < slow.step_seconds
    assert scaled_speed(inputs.plan.configuration("2d_compact"), inputs, speeds) == SPEED


def test_tiles_of_fewer_mirrored_views_are_faster(inputs):
    configuration = inputs.plan.configuration("3d_fullres")
    kept = tuple(
        entry.model_copy(update={"axes": ()}) if entry.kind == "mirroring" else entry
        for entry in configuration.recipe.augmentations
    )
    recipe = configuration.recipe.model_copy(update={"augmentations": kept})
    unmirrored = configuration.model_copy(update={"name": "still", "recipe": recipe})
    views = 2 ** len(configuration.mirror_axes)
    assert views > 1
    speed = scaled_speed(unmirrored, inputs, {"3d_fullres": SPEED})
    assert speed.tile_seconds == pytest.approx(SPEED.tile_seconds / views)
