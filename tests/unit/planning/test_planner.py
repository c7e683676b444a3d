import ast
from pathlib import Path

import pytest
from fingerprints import make_fingerprint, small_volumes

import autoseg.planning
from autoseg.architectures import ARCHITECTURES
from autoseg.core.labels import LabelScheme, Region
from autoseg.documents.plan import Plan
from autoseg.losses import LOSSES
from autoseg.planning.forecast import Machine, training_hours
from autoseg.planning.planner import TrainingChoices, make_plan
from autoseg.planning.values import FORECASTS, PLANNED_LOSS_FIELDS, plan_values

CPU = Machine(accelerator_gib=None, cores=2)
CARD = Machine(accelerator_gib=8.0, cores=8)


def planned(fingerprint, machine=CPU, memory_gib=8.0) -> Plan:
    return make_plan(
        fingerprint, network=ARCHITECTURES["unet"], memory_gib=memory_gib, machine=machine
    )


def names(plan):
    return [configuration.name for configuration in plan.configurations]


def test_with_an_accelerator_there_are_the_reference_configurations_only():
    plan = planned(small_volumes(), CARD)
    assert names(plan) == ["2d", "3d_fullres"]
    assert plan.default_configuration == "3d_fullres"


def test_without_an_accelerator_the_compact_variant_is_the_default():
    plan = planned(small_volumes())
    assert names(plan) == ["2d", "3d_fullres", "2d_compact", "3d_compact"]
    assert plan.default_configuration == "3d_compact"
    reason = decision_on(plan, "default_configuration").reason
    assert "in 30 min, 3d_fullres gets" in reason
    assert "3d_compact is expected to lose" in reason
    assert plan.budget is None


def decision_on(plan, field):
    return next(decision for decision in plan.decisions if decision.field == field)


def test_a_compact_variant_shares_the_data_of_its_parent():
    plan = planned(small_volumes())
    full, small = plan.configuration("3d_fullres"), plan.configuration("3d_compact")
    for field in ("data_name", "spacing", "normalizers", "resampling", "median_shape"):
        assert getattr(small, field) == getattr(full, field)
    sizes = [made.batch_size * made.architecture.activation_count() for made in (small, full)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("shape", [(300, 512, 512), (20, 256, 256), (64, 64, 64)])
def test_a_compact_training_of_half_an_hour_has_enough_steps(shape):
    plan = planned(make_fingerprint([shape] * 50, [(2.0, 1.0, 1.0)] * 50))
    for name in ("2d_compact", "3d_compact"):
        compact = plan.configuration(name)
        hours = training_hours(compact.architecture, compact.batch_size, CPU)
        assert 1800 / (hours * 3600 / 250_000) > 500


def large_volumes(**settings):
    return make_fingerprint([(400, 400, 400)] * 9, [(1.0, 1.0, 1.0)] * 9, **settings)


def test_large_cases_also_have_a_low_resolution_with_data_of_its_own():
    plan = planned(large_volumes(), CARD)
    assert names(plan) == ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]
    assert plan.default_configuration == "3d_fullres"
    low = plan.configuration("3d_lowres")
    assert low.data_name == "3d_lowres"
    assert low.spacing[0] > 1.9
    assert low.loss.pool == "sample"
    assert plan.configuration("3d_fullres").loss.pool == "batch"
    assert "covers 3.277 %" in decision_on(plan, "3d_lowres.spacing").reason


def test_without_an_accelerator_the_low_resolution_has_no_compact_variant():
    plan = planned(large_volumes())
    references = ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]
    assert names(plan) == [*references, "2d_compact", "3d_compact"]


def test_the_cascade_is_the_full_resolution_with_more_input_channels():
    plan = planned(large_volumes(class_shares=(0.9, 0.08, 0.02)), CARD)
    full, cascade = plan.configuration("3d_fullres"), plan.configuration("3d_cascade_fullres")
    assert cascade.previous_stage == "3d_lowres"
    assert cascade.architecture.in_channels == 1 + 2
    assert cascade.architecture.model_copy(update={"in_channels": 1}) == full.architecture
    kinds = [entry.kind for entry in cascade.recipe.augmentations]
    assert kinds == [
        *(entry.kind for entry in full.recipe.augmentations),
        *("cascade_morphology", "cascade_components"),
    ]
    changed = ("name", "previous_stage", "architecture", "recipe", "predicted_memory_gib")
    for field in type(cascade).model_fields:
        assert field in changed or getattr(cascade, field) == getattr(full, field)
    assert "prediction of 3d_lowres is added to the image" in (
        decision_on(plan, "3d_cascade_fullres.previous_stage").reason
    )


def test_every_value_of_a_cascade_has_its_decision():
    plan = planned(large_volumes(), CARD)
    recorded = {decision.field: decision.value for decision in plan.decisions}
    assert plan_values(plan).items() <= recorded.items()


@pytest.mark.parametrize(
    ("memory_gib", "accelerator_gib", "kind"),
    [
        (24.0, 24.0, "residual_encoder_unet"),
        (22.0, 22.0, "residual_encoder_unet"),
        (80.0, 80.0, "residual_encoder_unet"),
        (8.0, 80.0, "unet"),
        (8.0, 8.0, "unet"),
        (24.0, 8.0, "unet"),
        (24.0, None, "unet"),
    ],
)
def test_a_large_accelerator_gets_the_residual_encoder(memory_gib, accelerator_gib, kind):
    plan = make_plan(
        small_volumes(), memory_gib=memory_gib, machine=Machine(accelerator_gib, cores=4)
    )
    assert {entry.architecture.kind for entry in plan.configurations} == {kind}
    decision = decision_on(plan, "3d_fullres.architecture")
    assert decision.rule == "default_network"
    assert decision.reason.startswith("the default ")


def test_a_network_that_was_asked_for_is_taken_on_any_machine():
    for machine in (CPU, CARD, Machine(80.0, 16)):
        decision = decision_on(planned(small_volumes(), machine), "2d.architecture")
        assert decision.value.startswith("unet, ")
        assert decision.reason == "requested; its default width"


def test_the_reason_for_a_residual_encoder_names_its_preset():
    plan = make_plan(small_volumes(), memory_gib=24.0, machine=Machine(24.0, 8))
    assert "preset L of 24 GiB, used below 36 GiB" in (decision_on(plan, "2d.architecture").reason)
    assert "of which 12 patches fit" in decision_on(plan, "2d.patch_shape").reason
    assert "100 % of all voxels" in decision_on(plan, "2d.batch_size").reason


def test_pictures_have_a_2d_configuration_only():
    plan = planned(make_fingerprint([(300, 400)] * 9, [(1.0, 1.0)] * 9), CARD)
    assert names(plan) == ["2d"]
    assert plan.configuration(None).spacing == (1.0, 1.0)


def test_volumes_of_one_slice_have_a_2d_configuration_only():
    plan = planned(make_fingerprint([(1, 300, 400)] * 9, [(5.0, 1.0, 1.0)] * 9), CARD)
    assert names(plan) == ["2d"]
    assert plan.axis_order == (0, 1, 2)


def test_every_value_has_a_decision_with_its_text_and_reason():
    plan = planned(small_volumes(class_shares=(0.9, 0.08, 0.02)))
    recorded = {decision.field: decision for decision in plan.decisions}
    forecasts = {field for field in recorded if field.endswith(FORECASTS)}
    assert len(forecasts) >= len(plan.configurations)
    assert {field: recorded[field].value for field in recorded if field not in forecasts} == (
        plan_values(plan)
    )
    assert all(decision.reason and decision.source for decision in plan.decisions)


def test_every_decision_names_a_function_of_the_planner():
    folder = Path(autoseg.planning.__file__).parent
    functions = {
        node.name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    plan = planned(small_volumes())
    assert {decision.rule for decision in plan.decisions} <= functions


def test_the_reasons_of_the_stages_name_the_constants_of_their_rules():
    plan = planned(small_volumes())
    assert decision_on(plan, "2d.depth").reason == decision_on(plan, "2d.strides").reason
    assert decision_on(plan, "2d.strides").reason == (
        "axes of at least 8 voxels are halved, the finest first, down to at least 4 voxels"
    )
    assert decision_on(plan, "2d.kernels").reason == (
        "1 along axes at least 2 times coarser than the finest, 3 along the others"
    )
    assert decision_on(plan, "2d.resampling").reason == (
        "cubic for images, linear for labels, nearest along an axis that is over 3 times coarser"
    )


def test_a_plan_survives_json():
    plan = planned(small_volumes(channel_names=("CT",), class_shares=(0.9, 0.08, 0.02)))
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_weights_by_frequency_reach_a_loss_that_is_made_of_them():
    fingerprint = small_volumes(class_shares=(0.9, 0.08, 0.02))
    assert planned(fingerprint).configuration(None).loss.class_weights is None
    weighted = make_plan(
        fingerprint,
        network=ARCHITECTURES["unet"],
        choices=TrainingChoices(LOSSES["weighted_cross_entropy"]),
        memory_gib=8.0,
        machine=CPU,
    )
    for configuration in weighted.configurations:
        assert configuration.loss.class_weights == (1.0, 0.791, 1.581)


@pytest.mark.parametrize(
    ("weighting", "weights"),
    [("planned", None), ("equal", None), ("frequency", (1.0, 0.667, 1.333))],
)
def test_requested_weights_reach_every_configuration(weighting, weights):
    plan = make_plan(
        small_volumes(class_shares=(0.9, 0.08, 0.02)),
        network=ARCHITECTURES["unet"],
        choices=TrainingChoices(weighting=weighting),
        memory_gib=8.0,
        machine=CPU,
    )
    assert {entry.loss.class_weights for entry in plan.configurations} == {weights}


@pytest.mark.parametrize("kind", list(LOSSES))
def test_every_loss_can_be_planned_for(kind):
    fingerprint = small_volumes(class_shares=(0.9, 0.08, 0.02))
    plan = make_plan(
        fingerprint,
        network=ARCHITECTURES["unet"],
        choices=TrainingChoices(LOSSES[kind]),
        memory_gib=8.0,
        machine=CPU,
    )
    for configuration in plan.configurations:
        loss = configuration.loss
        assert loss.kind == kind
        assert getattr(loss, "class_weights", None) in (None, (1.0, 0.791, 1.581))
    decided = {decision.field for decision in plan.decisions}
    for field in PLANNED_LOSS_FIELDS:
        assert (f"2d.loss.{field}" in decided) == (field in type(loss).model_fields)


def test_class_frequencies_reach_the_loss_that_wants_them():
    fingerprint = small_volumes(class_shares=(0.9, 0.08, 0.02))
    plan = make_plan(
        fingerprint,
        network=ARCHITECTURES["unet"],
        choices=TrainingChoices(LOSSES["exponential_logarithmic"]),
        memory_gib=8.0,
        machine=CPU,
    )
    for configuration in plan.configurations:
        assert configuration.loss.class_frequencies == fingerprint.class_frequencies


def test_more_cores_are_predicted_to_be_faster_and_a_card_much_faster():
    configuration = planned(small_volumes()).configuration("3d_fullres")
    arguments = configuration.architecture, configuration.batch_size
    two, four = (training_hours(*arguments, Machine(None, cores)) for cores in (2, 4))
    assert two == pytest.approx(2 * four)
    assert training_hours(*arguments, CARD) < four / 10


def test_the_reason_for_a_loss_distinguishes_the_default_from_a_requested_one():
    volumes = small_volumes()
    choices = TrainingChoices(LOSSES["tversky"])
    requested = make_plan(volumes, network=None, memory_gib=8.0, machine=CPU, choices=choices)
    assert decision_on(planned(volumes), "2d.loss").reason.startswith("the default")
    assert decision_on(requested, "2d.loss").reason == "requested"


def test_the_reason_of_the_median_shape_names_the_range_of_sizes():
    alike = make_fingerprint([(32, 48, 48)] * 3, [(1.0, 1.0, 1.0)] * 3)
    unlike = make_fingerprint([(32, 48, 48), (40, 48, 48)], [(1.0, 1.0, 1.0)] * 2)
    assert decision_on(planned(alike), "2d.median_shape").reason.endswith("all have this size")
    assert (
        "from 32 × 48 × 48 to 40 × 48 × 48"
        in decision_on(planned(unlike), "2d.median_shape").reason
    )


def test_a_cascade_for_regions_has_a_channel_per_class_all_the_same():
    labels = LabelScheme(
        names=("background", "a", "b", "c"),
        values=(0, 1, 2, 3),
        regions=(Region(name="whole", values=(1, 2, 3), written_as=1),),
    )
    volumes = large_volumes(class_shares=(0.9, 0.06, 0.02, 0.02))
    plan = planned(volumes.model_copy(update={"labels": labels}), CARD)
    assert plan.configuration("3d_cascade_fullres").architecture.in_channels == 1 + 3
    assert plan.configuration("3d_cascade_fullres").architecture.num_classes == 1


def test_the_dice_of_a_compact_variant_is_pooled_where_its_patch_covers_little():
    little = planned(make_fingerprint([(200, 200, 200)] * 20, [(1.0,) * 3] * 20))
    much = planned(make_fingerprint([(40, 50, 40)] * 20, [(1.0,) * 3] * 20))
    assert little.configuration("3d_compact").loss.pool == "batch"
    assert much.configuration("3d_compact").loss.pool == "sample"
