"""Apply the planning rules in the order of their dependencies."""

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

COMPACT_PARENTS = ("2d", "3d_fullres")
"""Configurations with a compact variant. `3d_lowres` has none, because the compact variant of
`3d_fullres` may have coarser voxels itself; so there is no compact cascade either."""

ASSUMED_SECONDS = 30 * 60.0
"""Default time budget of compact configurations on a machine without an accelerator. Source: a
choice."""


def make_plan(
    fingerprint: Fingerprint,
    *,
    network: type[Architecture] | None = None,
    memory_gib: float,
    machine: Machine,
    loss: type[Loss] | None = None,
    training_seconds: float | None = None,
) -> Plan:
    """Make the plan for a dataset, by arithmetic only.

    Networks are only built and timed if `training_seconds` is given and the machine can time steps.

    Args:
        fingerprint: Fingerprint of the dataset.
        network: Any registered architecture; the planner only uses its contract. By default the
            residual-encoder U-Net on a large accelerator, else the plain U-Net.
        memory_gib: Accelerator memory that one training step may use.
        machine: The machine to train on. Without an accelerator, compact configurations are added
            and one of them becomes the default.
        loss: Loss to minimise; by default Dice plus cross-entropy.
        training_seconds: Time of one training. If it is short, compact configurations sized to it
            are added and one of them becomes the default. None for no limit.

    Raises:
        PlanError: If not even the smallest patch fits, or no network gets enough steps in the time.
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
    return _timed(sizing, drafts, is_requested=training_seconds is not None)


def _references(
    traits: DatasetTraits, budget: MemoryBudget, loss: type[Loss]
) -> dict[str, ConfigurationDraft]:
    drafts = [reference_2d(traits, budget, loss)]
    if traits.has_volumes and 3 in budget.network.memory_references:
        drafts += references_3d(traits, budget, loss)
    return {draft.configuration.name: draft for draft in drafts}


def _default(traits: DatasetTraits, drafts: dict[str, ConfigurationDraft]) -> PlannedValue[str]:
    """Return the default among the reference configurations."""
    patch = None
    if traits.has_volumes and "3d_fullres" not in drafts:
        network = drafts["2d"].configuration.architecture.kind
        return PlannedValue("2d", "default_configuration", f"{network} works on single planes", OWN)
    if "3d_fullres" in drafts:
        patch = drafts["3d_fullres"].configuration.topology.patch_shape
    return rules.default_configuration(traits.grid.spacing, patch)


def _timed(sizing: Sizing, drafts: dict[str, ConfigurationDraft], *, is_requested: bool) -> Plan:
    """Plan for a time budget, keeping the reference configurations.

    The default is the configuration with the lowest expected loss in the time.

    Args:
        sizing: Sizing of the compact configurations.
        drafts: The reference configurations, by name.
        is_requested: Whether the user gave the time; if not, trainings keep the length of the
            reference method.
    """
    parents = {name: drafts[name] for name in COMPACT_PARENTS if name in drafts}
    if is_requested and sizing.is_enough_for(parents):
        default = _default(sizing.traits, drafts)
        reason = f"{default.reason}. {sizing.time.text} are enough for the reference recipe"
        planned = list(drafts.values())
        timed = tuple(drafts)
    else:
        if is_requested:
            sizing = sizing.with_timed_steps(parents)
        sized = sizing.sized(parents)
        default = _sized_default(sized, drafts, sizing)
        reason = default.reason
        planned = [*drafts.values(), *(entry.draft for entry in sized.values())]
        timed = tuple(entry.draft.configuration.name for entry in sized.values())
    default = PlannedValue(default.value, default.rule, reason, OWN)
    plan = _assembled(sizing.traits, planned, default, sizing.time.machine)
    if not is_requested:
        return plan
    budget = TrainingBudget(seconds=sizing.time.seconds, configurations=timed)
    return plan.model_copy(update={"budget": budget})


def _sized_default(
    sized: dict[str, SizedDraft], drafts: dict[str, ConfigurationDraft], sizing: Sizing
) -> PlannedValue[str]:
    """Return the name of the sized configuration with the lowest expected loss of Dice."""
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
    """Assemble the plan from its configurations."""
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
