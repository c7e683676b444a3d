"""What more time, or a faster machine, must never do to a plan."""

import re
from functools import cache
from math import prod

from fingerprints import make_fingerprint
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.architectures import ARCHITECTURES
from autoseg.core.errors import PlanError
from autoseg.documents.machine import MachineIdentity, MeasuredMachine, StepCosts
from autoseg.documents.plan import Configuration
from autoseg.losses import LOSSES
from autoseg.planning.budget import Clock, sized_to
from autoseg.planning.configurations import Draft, reference_2d, references_3d
from autoseg.planning.forecast import Machine
from autoseg.planning.memory import MemoryBudget
from autoseg.planning.survey import survey
from autoseg.stages.length import seconds_of

DATASETS = (
    make_fingerprint([(36, 50, 35)] * 20, [(1.0, 1.0, 1.0)] * 20),
    make_fingerprint([(20, 512, 512)] * 12, [(5.0, 0.7, 0.7)] * 12),
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
def parents(at: int) -> dict[str, Draft]:
    """Return what is resized for a dataset."""
    surveyed = survey(DATASETS[at])
    budget = MemoryBudget(ARCHITECTURES["unet"], in_channels=1, num_classes=2, memory_gib=8.0)
    drafts = [reference_2d(surveyed, budget, LOSSES["dice_ce"])]
    if surveyed.has_volumes:
        drafts.append(references_3d(surveyed, budget, LOSSES["dice_ce"])[0])
    return {draft.configuration.name: draft for draft in drafts}


def sized(dataset: int, time: float, on: Machine) -> dict[str, Configuration] | None:
    """Return what was sized to the time, by the reference's name; None if nothing learns."""
    try:
        found = sized_to(Clock(time, on), parents(dataset))
    except PlanError:
        return None
    return {name: draft.configuration for name, draft in found.items()}


def is_no_smaller(larger: Configuration, smaller: Configuration) -> bool:
    return all(above >= below for above, below in zip(size(larger), size(smaller), strict=True))


def size(configuration: Configuration) -> tuple[int, int, int]:
    """Return features, voxels of a patch, and voxels of a batch."""
    voxels = prod(configuration.topology.patch_shape)
    return configuration.architecture.features[0], voxels, voxels * configuration.batch_size


@settings(max_examples=25)
@given(dataset=datasets, time=seconds, factor=factors, costs=machine_costs)
def test_more_time_never_gives_a_smaller_network_patch_or_batch(dataset, time, factor, costs):
    less, more = (sized(dataset, time * f, machine(costs)) for f in (1.0, factor))
    if less is not None:
        assert more is not None
        assert all(is_no_smaller(more[name], less[name]) for name in less)


@settings(max_examples=25)
@given(dataset=datasets, time=seconds, factor=factors, costs=machine_costs)
def test_a_slower_machine_never_gets_a_larger_network_patch_or_batch(dataset, time, factor, costs):
    fast, slow = (sized(dataset, time, machine(costs, f)) for f in (1.0, factor))
    if slow is not None:
        assert fast is not None
        assert all(is_no_smaller(fast[name], slow[name]) for name in slow)


@settings(max_examples=25)
@given(dataset=datasets, time=st.floats(0.1, 30.0), factor=factors, costs=machine_costs)
def test_the_budget_that_a_refusal_names_is_taken(dataset, time, factor, costs):
    on = machine(costs, factor)
    try:
        sized_to(Clock(time, on), parents(dataset))
    except PlanError as refusal:
        (named,) = re.findall(r"--budget (\w+)", str(refusal))
        sized_to(Clock(seconds_of(named), on), parents(dataset))
