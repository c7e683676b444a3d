"""Compose the rules, in the order in which the decisions depend on each other."""

from autoseg.architectures import ARCHITECTURES, Architecture
from autoseg.core.formatting import number
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Decision, Plan, TrainingBudget
from autoseg.losses import LOSSES, Loss
from autoseg.planning import rules
from autoseg.planning.budget import TimeBudget
from autoseg.planning.configurations import ConfigurationDraft, reference_2d, references_3d
from autoseg.planning.dataset_traits import DatasetTraits, dataset_traits
from autoseg.planning.forecast import Machine
from autoseg.planning.memory import MemoryBudget
from autoseg.planning.planned_value import OWN, PlannedValue
from autoseg.planning.sizing import RULE, SizedDraft, Sizing
from autoseg.planning.values import plan_values, unit_of

COMPACTED = ("2d", "3d_fullres")
"""Configurations that have a compact variant, whose voxels may be coarser; a compact `3d_lowres`
would be one of these, and a compact cascade would need it."""

ASSUMED_SECONDS = 30 * 60.0
"""Time that compact configurations are sized to on a machine without accelerator if the user gives
none. Source: a choice."""


def make_plan(
    fingerprint: Fingerprint,
    *,
    network: type[Architecture] | None = None,
    memory_gib: float,
    machine: Machine,
    loss: type[Loss] | None = None,
    training_seconds: float | None = None,
) -> Plan:
    """Return the plan for a dataset; arithmetic only.

    No network is built, unless a time is given for a machine whose training steps can be timed.

    Args:
        fingerprint: What was measured.
        network: Any registered architecture; the planner only uses its contract. By default the
            residual-encoder U-Net on a large accelerator, else the plain U-Net.
        memory_gib: Accelerator memory that one training step may use.
        machine: What training will run on; without an accelerator, compact configurations are
            added and one of them becomes the default.
        loss: What to minimise; by default Dice plus cross-entropy.
        training_seconds: How long one training may take; configurations are added that make enough
            progress in it, and one of them becomes the default. None for as long as it takes.

    Raises:
        PlanError: If not even the smallest patch fits, or the time is too short for anything.
    """
    traits = dataset_traits(fingerprint)
    chosen = None
    if network is None:
        chosen = rules.default_network(memory_gib, machine.accelerator_gib)
        network = ARCHITECTURES[chosen.value]
    budget = MemoryBudget(
        network=network,
        in_channels=len(fingerprint.channel_names),
        num_classes=fingerprint.labels.num_outputs,
        memory_gib=memory_gib,
        chosen=chosen,
    )
    drafts = _references(traits, budget, loss or LOSSES["dice_ce"])
    if training_seconds is None and machine.accelerator_gib is not None:
        return _assembled(traits, list(drafts.values()), _default(traits, drafts), machine)
    time = TimeBudget(training_seconds or ASSUMED_SECONDS, machine)
    sizing = Sizing(traits, budget, loss or LOSSES["dice_ce"], time)
    return _timed(sizing, drafts, is_asked_for=training_seconds is not None)


def _references(
    traits: DatasetTraits, budget: MemoryBudget, loss: type[Loss]
) -> dict[str, ConfigurationDraft]:
    drafts = [reference_2d(traits, budget, loss)]
    if traits.has_volumes and 3 in budget.network.memory_references:
        drafts += references_3d(traits, budget, loss)
    return {draft.configuration.name: draft for draft in drafts}


def _default(traits: DatasetTraits, drafts: dict[str, ConfigurationDraft]) -> PlannedValue[str]:
    """Return the default among drafts, by the names that the reference method gives them."""
    patch = None
    if traits.has_volumes and "3d_fullres" not in drafts:
        network = drafts["2d"].configuration.architecture.kind
        return PlannedValue("2d", "default_configuration", f"{network} works on single planes", OWN)
    if "3d_fullres" in drafts:
        patch = drafts["3d_fullres"].configuration.topology.patch_shape
    return rules.default_configuration(traits.grid.spacing, patch)


def _timed(sizing: Sizing, drafts: dict[str, ConfigurationDraft], *, is_asked_for: bool) -> Plan:
    """Return the plan whose default is expected to lose least in the time; the references stay.

    Args:
        sizing: What compact configurations are sized by.
        drafts: The references, by name.
        is_asked_for: Whether the user gave the time; otherwise trainings keep the reference's
            length.
    """
    parents = {name: drafts[name] for name in COMPACTED if name in drafts}
    if is_asked_for and sizing.is_enough_for(parents):
        default = _default(sizing.traits, drafts)
        reason = f"{default.reason}. {sizing.time.text} are enough for its own recipe"
        made = list(drafts.values())
        timed = tuple(drafts)
    else:
        if is_asked_for:
            sizing = sizing.with_timed_steps(parents)
        sized = sizing.sized(parents)
        default = _sized_default(sized, drafts, sizing)
        reason = default.reason
        made = [*drafts.values(), *(entry.draft for entry in sized.values())]
        timed = tuple(entry.draft.configuration.name for entry in sized.values())
    default = PlannedValue(default.value, default.rule, reason, OWN)
    plan = _assembled(sizing.traits, made, default, sizing.time.machine)
    if not is_asked_for:
        return plan
    budget = TrainingBudget(seconds=sizing.time.seconds, configurations=timed)
    return plan.model_copy(update={"budget": budget})


def _sized_default(
    sized: dict[str, SizedDraft], drafts: dict[str, ConfigurationDraft], sizing: Sizing
) -> PlannedValue[str]:
    """Return the configuration that is expected to lose the least Dice in the time."""
    parent, chosen = min(sized.items(), key=lambda item: item[1].candidate.loss.total)
    name, time = chosen.draft.configuration.name, sizing.time
    full = drafts[parent].configuration
    steps = time.steps(full.architecture, full.batch_size, full.recipe)
    reason = (
        f"in {time.text}, {full.name} gets {number(round(steps))} steps, {name} "
        f"{number(round(chosen.candidate.loss.steps))}"
    )
    for other in sized.values():
        if other is not chosen:
            reason += (
                f"; {name} is expected to lose {chosen.candidate.loss.total:.3f} Dice, "
                f"{other.draft.configuration.name} {other.candidate.loss.total:.3f}"
            )
    return PlannedValue(name, RULE, reason, OWN)


def _assembled(
    traits: DatasetTraits,
    drafts: list[ConfigurationDraft],
    default: PlannedValue[str],
    machine: Machine,
) -> Plan:
    """Return the plan that consists of these configurations."""
    plan = Plan(
        dataset_name=traits.fingerprint.dataset_name,
        num_axes=traits.fingerprint.num_axes,
        channel_names=traits.fingerprint.channel_names,
        labels=traits.fingerprint.labels,
        axis_order=traits.axis_order.value,
        default_configuration=default.value,
        configurations=tuple(draft.configuration for draft in drafts),
        decisions=(),
    )
    values = plan_values(plan)
    decisions: list[Decision] = [
        traits.axis_order.decision("axis_order", values["axis_order"]),
        default.decision("default_configuration", values["default_configuration"]),
    ]
    for draft in drafts:
        decisions += draft.decisions(machine, unit_of(plan))
    return plan.model_copy(update={"decisions": tuple(decisions)})
