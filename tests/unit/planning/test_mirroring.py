import numpy as np
import pytest
from fingerprints import make_fingerprint

from autoseg.architectures import ARCHITECTURES
from autoseg.core.labels import LabelScheme, Region
from autoseg.planning.forecast import Machine
from autoseg.planning.mirroring import mirror_axes
from autoseg.planning.planner import make_plan

SHAPES = [(40, 50, 60)] * 20
SPACINGS = [(1.0, 1.0, 1.0)] * 20
SHARES = (0.8, 0.1, 0.1)


def with_centres(centres, *, count=20, names=("background", "a", "b")):
    made = make_fingerprint(SHAPES[:count], SPACINGS[:count], class_shares=SHARES, centres=centres)
    return made.model_copy(update={"labels": LabelScheme(names=names, values=(0, 1, 2))})


def test_classes_anywhere_leave_all_axes() -> None:
    random = np.random.default_rng(0)
    anywhere = with_centres(lambda index: tuple(tuple(row) for row in random.uniform(0, 1, (3, 3))))
    assert mirror_axes(anywhere).value == (0, 1, 2)


def test_two_classes_in_a_fixed_order_keep_their_axis() -> None:
    random = np.random.default_rng(0)

    def centres(index):
        along, across = 0.1 * random.uniform(-1, 1), random.uniform(-0.3, 0.3)
        return (0.5, 0.5, 0.5), (0.5 + across, 0.3 + along, 0.5), (0.5, 0.7 + along, 0.5 + across)

    choice = mirror_axes(with_centres(centres, names=("background", "head", "tail")))
    assert choice.value == (0, 2)
    assert "posterior axis: head and tail are in the same order in 100 %" in choice.reason


def test_a_fixed_order_that_is_too_close_to_matter_is_ignored() -> None:
    nested = with_centres(lambda index: ((0.5,) * 3, (0.5, 0.5, 0.5), (0.5, 0.51, 0.5)))
    assert mirror_axes(nested).value == (0, 1, 2)


def test_five_cases_show_nothing() -> None:
    few = with_centres(lambda index: ((0.5,) * 3, (0.5, 0.2, 0.5), (0.5, 0.8, 0.5)), count=5)
    assert mirror_axes(few).value == (0, 1, 2)


def test_cases_without_one_of_the_classes_do_not_count() -> None:
    def centres(index):
        return (0.5,) * 3, (0.5, 0.2, 0.5), None if index > 4 else (0.5, 0.8, 0.5)

    assert mirror_axes(with_centres(centres)).value == (0, 1, 2)


@pytest.mark.parametrize(
    "names", [("bg", "left kidney", "right kidney"), ("bg", "Kidney_Left", "x")]
)
def test_names_of_sides_keep_the_axis_from_side_to_side(names) -> None:
    made = with_centres(lambda index: ((0.5,) * 3, None, None), names=names)
    choice = mirror_axes(made)
    assert choice.value == (0, 1)
    assert "contains a side" in choice.reason


def test_a_word_that_only_contains_a_side_is_none() -> None:
    made = with_centres(lambda index: ((0.5,) * 3, None, None), names=("bg", "cleft", "bright"))
    assert mirror_axes(made).value == (0, 1, 2)


def planned_axes(configuration) -> tuple[int, ...]:
    (mirroring,) = [e for e in configuration.recipe.augmentations if e.kind == "mirroring"]
    return mirroring.axes


def test_the_plan_mirrors_patches_along_the_allowed_axes_in_its_own_axis_order() -> None:
    # axis 2 is the coarsest and comes first; classes keep their order along axis 0
    made = make_fingerprint(
        [(60, 50, 40)] * 20,
        [(1.0, 1.0, 2.0)] * 20,
        class_shares=SHARES,
        centres=lambda index: ((0.5,) * 3, (0.2, 0.5, 0.5), (0.8, 0.5, 0.5)),
    )
    plan = make_plan(made, network=ARCHITECTURES["unet"], memory_gib=8.0, machine=Machine(None, 2))
    assert plan.axis_order == (2, 0, 1)
    axes = {entry.name: planned_axes(entry) for entry in plan.configurations}
    assert axes == {"2d": (1,), "2d_compact": (1,), "3d_fullres": (0, 2), "3d_compact": (0, 2)}


def test_only_compact_configurations_take_the_short_recipe() -> None:
    made = make_fingerprint(SHAPES, SPACINGS, class_shares=SHARES)
    plan = make_plan(made, network=ARCHITECTURES["unet"], memory_gib=8.0, machine=Machine(None, 2))
    starts = {
        entry.name: (entry.recipe.optimizer.kind, entry.recipe.head_prior)
        for entry in plan.configurations
    }
    assert starts["3d_fullres"] == starts["2d"] == ("sgd", False)
    assert starts["3d_compact"] == starts["2d_compact"] == ("adamw", True)


HEAD_AND_TAIL = ((0.5,) * 3, (0.5, 0.2, 0.5), (0.5, 0.8, 0.5))


@pytest.mark.parametrize(
    ("regions", "axes"),
    [
        ((Region(name="whole", values=(1, 2), written_as=1),), (0, 1, 2)),
        (
            (
                Region(name="whole", values=(1, 2), written_as=1),
                Region(name="tail", values=(2,), written_as=2),
            ),
            (0, 2),
        ),
        ((Region(name="left side", values=(1, 2), written_as=1),), (0, 1)),
    ],
    ids=["the same region", "a region apart", "a region named after a side"],
)
def test_classes_count_only_where_regions_tell_them_apart(regions, axes) -> None:
    made = with_centres(lambda index: HEAD_AND_TAIL)
    labels = LabelScheme(names=("background", "a", "b"), values=(0, 1, 2), regions=regions)
    assert mirror_axes(made.model_copy(update={"labels": labels})).value == axes


def test_a_plan_for_regions_has_one_output_each_and_no_weights() -> None:
    regions = (
        Region(name="whole", values=(1, 2), written_as=1),
        Region(name="tail", values=(2,), written_as=2),
    )
    made = with_centres(lambda index: HEAD_AND_TAIL)
    labels = LabelScheme(names=("background", "a", "b"), values=(0, 1, 2), regions=regions)
    plan = make_plan(
        made.model_copy(update={"labels": labels}),
        memory_gib=8.0,
        machine=Machine(cores=2, accelerator_gib=8.0),
    )
    for configuration in plan.configurations:
        assert configuration.architecture.num_classes == 2
        assert configuration.loss.class_weights is None
