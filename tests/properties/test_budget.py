"""Invariants of plans that are sized to a time."""

import re
from functools import cache
from math import prod

from fingerprints import make_fingerprint
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.architectures import ARCHITECTURES
from autoseg.core.errors import PlanError
from autoseg.documents.machine import MachineIdentity, MeasuredMachine, StepCosts
from autoseg.losses import LOSSES
from autoseg.planning.budget import TimeBudget
from autoseg.planning.configurations import ReferenceMethod
from autoseg.planning.dataset_traits import dataset_traits
from autoseg.planning.forecast import Machine
from autoseg.planning.memory import MemoryBudget
from autoseg.planning.sizing import SizedDraft, Sizing
from autoseg.stages.train.duration import parse_duration

COARSE = (0.98, 0.96, 0.94, 0.92, 0.9)
DATASETS = (
    make_fingerprint([(36, 50, 35)] * 20, [(1.0, 1.0, 1.0)] * 20, coarse_dice=COARSE),
    make_fingerprint(
        [(20, 512, 512)] * 12, [(5.0, 0.7, 0.7)] * 12, extents=(1.0, 0.1), coarse_dice=COARSE
    ),
    make_fingerprint([(520, 696)] * 80, [(1.0, 1.0)] * 80),
)
IDENTITY = MachineIdentity(device="any", cores=2, threads=2, torch="2", precision="float32")

datasets = st.integers(0, len(DATASETS) - 1)
seconds = st.floats(20.0, 1e6)
factors = st.floats(1.0, 50.0)
machine_costs = st.builds(
    StepCosts,
    seconds_per_step=st.floats(0.001, 0.05),
    seconds_per_billion_multiplications=st.floats(1e-5, 0.1),
    seconds_per_million_activations=st.floats(1e-5, 0.05),
)


def machine(costs: StepCosts, slower: float = 1.0) -> Machine:
    slowed = StepCosts.model_validate(
        {name: value * slower for name, value in costs.model_dump().items()}
    )
    speed = MeasuredMachine(identity=IDENTITY, planes=slowed, volumes=slowed)
    return Machine(accelerator_gib=None, cores=2, measured=speed)


@cache
def reference(at: int) -> ReferenceMethod:
    """Return the reference method for a dataset."""
    memory = MemoryBudget(ARCHITECTURES["unet"], in_channels=1, num_classes=2, memory_gib=8.0)
    return ReferenceMethod(dataset_traits(DATASETS[at]), memory, LOSSES["dice_ce"])


def sized(dataset: int, time: float, on: Machine) -> dict[str, SizedDraft]:
    """Return what was sized to the time, by the reference's name.

    Raises:
        PlanError: If the time is too short for anything.
    """
    return Sizing(reference(dataset), TimeBudget(time, on)).sized()


def expected_losses(dataset: int, time: float, on: Machine) -> dict[str, float]:
    """Return the Dice that each configuration is expected to lose; empty if nothing learns."""
    try:
        found = sized(dataset, time, on)
    except PlanError:
        return {}
    return {name: entry.candidate.loss.total for name, entry in found.items()}


@settings(max_examples=10, deadline=None)
@given(dataset=datasets, time=seconds, factor=factors, costs=machine_costs)
def test_more_time_is_never_expected_to_lose_more(dataset, time, factor, costs):
    less, more = (expected_losses(dataset, time * f, machine(costs)) for f in (1.0, factor))
    assert less.keys() <= more.keys()
    assert all(more[name] <= less[name] + 1e-9 for name in less)


@settings(max_examples=10, deadline=None)
@given(dataset=datasets, time=seconds, factor=factors, costs=machine_costs)
def test_a_slower_machine_is_never_expected_to_lose_less(dataset, time, factor, costs):
    fast, slow = (expected_losses(dataset, time, machine(costs, f)) for f in (1.0, factor))
    assert slow.keys() <= fast.keys()
    assert all(fast[name] <= slow[name] + 1e-9 for name in slow)


@settings(max_examples=10, deadline=None)
@given(dataset=datasets, time=seconds, costs=machine_costs)
def test_nothing_becomes_larger_than_the_reference(dataset, time, costs):
    parents = reference(dataset).drafts
    try:
        found = sized(dataset, time, machine(costs))
    except PlanError:
        return
    for name, entry in found.items():
        made, full = entry.draft.configuration, parents[name].configuration
        assert made.architecture.features[0] <= full.architecture.features[0]
        assert all(new >= old for new, old in zip(made.spacing, full.spacing, strict=True))
        if made.data_name == full.data_name:
            assert made.batch_size * prod(made.topology.patch_shape) <= full.batch_size * prod(
                full.topology.patch_shape
            )


@settings(max_examples=10, deadline=None)
@given(dataset=datasets, time=st.floats(0.1, 30.0), factor=factors, costs=machine_costs)
def test_the_budget_that_a_refusal_names_is_taken(dataset, time, factor, costs):
    on = machine(costs, factor)
    try:
        sized(dataset, time, on)
    except PlanError as refusal:
        (named,) = re.findall(r"--budget (\w+)", str(refusal))
        sized(dataset, parse_duration(named), on)
