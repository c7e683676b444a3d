import pytest
from fingerprints import make_fingerprint, small_volumes

from autoseg.architectures import ARCHITECTURES
from autoseg.augmentations.batchgenerators import TRANSFORMS
from autoseg.documents.plan import Plan
from autoseg.documents.recipe import CASCADE_INPUT_AUGMENTATIONS, REFERENCE_AUGMENTATIONS
from autoseg.planning.augmentation import (
    augmentation,
    augmentation_name,
    augmentations_of,
    strong_augmentations,
)
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import TrainingChoices, make_plan
from autoseg.planning.table import plan_tables

MACHINE = Machine(accelerator_gib=8.0, cores=8)


def planned(fingerprint=None, **choices: str) -> Plan:
    return make_plan(
        fingerprint or small_volumes(),
        network=ARCHITECTURES["unet"],
        memory_gib=8.0,
        machine=MACHINE,
        choices=TrainingChoices(**choices),
    )


@pytest.mark.parametrize("seconds", [None, 60.0, 1e6])
@pytest.mark.parametrize("num_cases", [1, 10, 10_000])
def test_the_rule_chooses_standard_and_gives_the_evidence(num_cases, seconds) -> None:
    choice = augmentation(num_cases, seconds)
    assert choice.value == "standard"
    assert choice.reason.startswith(f"{num_cases} case")
    assert "-0.001 with 100" in choice.reason


@pytest.mark.parametrize("name", ["standard", "strong", "none"])
def test_every_configuration_gets_the_requested_augmentations(name) -> None:
    plan = planned(augmentation=name)
    decisions = {entry.field: entry for entry in plan.decisions}
    for configuration in plan.configurations:
        assert augmentation_name(configuration.recipe.augmentations) == name
        decision = decisions[f"{configuration.name}.augmentation"]
        assert (decision.value, decision.reason) == (name, "requested")
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_compact_variants_get_them_too() -> None:
    plan = make_plan(
        small_volumes(),
        network=ARCHITECTURES["unet"],
        memory_gib=8.0,
        machine=Machine(accelerator_gib=None, cores=2),
        choices=TrainingChoices(augmentation="strong"),
    )
    compact = plan.configuration("3d_compact").recipe
    assert augmentation_name(compact.augmentations) == "strong"
    assert compact.optimizer.kind == "adamw"


@pytest.mark.parametrize("name", ["standard", "strong", "none"])
def test_a_cascade_without_augmentation_leaves_its_input_unchanged(name) -> None:
    large = make_fingerprint([(200, 512, 512)] * 20, [(2.5, 0.8, 0.8)] * 20)
    recipe = planned(large, augmentation=name).configuration("3d_cascade_fullres").recipe
    assert augmentation_name(recipe.augmentations) == name
    changing = tuple(entry for entry in recipe.augmentations if entry.changes_cascade_input)
    assert changing == (() if name == "none" else CASCADE_INPUT_AUGMENTATIONS)


def test_strong_has_all_standard_augmentations_in_their_order() -> None:
    strong = strong_augmentations()
    assert tuple(entry for entry in strong if entry in REFERENCE_AUGMENTATIONS) == (
        REFERENCE_AUGMENTATIONS
    )
    added = [entry for entry in strong if entry not in REFERENCE_AUGMENTATIONS]
    assert {entry.transform for entry in added} == {
        *("SpatialTransform_2", "MedianFilterTransform", "RicianNoiseTransform"),
        *("BlankRectangleTransform", "BrightnessGradientAdditiveTransform"),
        *("LocalGammaTransform", "SharpeningTransform"),
    }
    assert {entry.transform for entry in added} <= set(TRANSFORMS)


@pytest.mark.parametrize("name", ["standard", "strong"])
def test_mirroring_keeps_to_the_planned_axes(name) -> None:
    (mirroring,) = [entry for entry in augmentations_of(name, (1,)) if entry.kind == "mirroring"]
    assert mirroring.axes == (1,)


def test_an_edited_list_is_shown_as_edited() -> None:
    plan = planned()
    first = plan.configurations[0]
    recipe = first.recipe.model_copy(update={"augmentations": first.recipe.augmentations[2:]})
    others = plan.configurations[1:]
    edited = plan.model_copy(
        update={"configurations": (first.model_copy(update={"recipe": recipe}), *others)}
    )
    (row,) = [row for row in plan_tables(edited)[1].rows if row.field == "augmentation"]
    assert (row.value, row.reason) == ("own", "edited by hand; the rule chose standard")
