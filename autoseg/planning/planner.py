"""Apply the planning rules in the order of their dependencies."""

from dataclasses import dataclass

from autoseg.architectures import ARCHITECTURES, Architecture
from autoseg.core.formatting import format_number
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Plan, TrainingBudget
from autoseg.losses import LOSSES, Loss
from autoseg.planning import rules
from autoseg.planning.augmentation import AugmentationName, augmentation
from autoseg.planning.budget import TimeBudget
from autoseg.planning.configurations import DEFAULT_LOSS, ConfigurationDraft, ReferenceMethod
from autoseg.planning.dataset_traits import dataset_traits
from autoseg.planning.forecast import Machine
from autoseg.planning.memory import MemoryBudget
from autoseg.planning.planned_value import OWN, PlannedValue
from autoseg.planning.sizing import RULE, SizedDraft, Sizing
from autoseg.planning.values import plan_values
from autoseg.planning.weights import LossWeighting

ASSUMED_SECONDS = 30 * 60.0
"""Default time budget of compact configurations on a machine without an accelerator. Source: a
choice."""


@dataclass(frozen=True)
class TrainingChoices:
    """Choices of the user about training; None leaves a choice to the planner.

    Attributes:
        loss: Loss to minimise; by default Dice plus cross-entropy.
        augmentation: Set of augmentations; by default chosen by the rule `augmentation`.
        weighting: Class weights of the loss, see `loss_weights`.
    """

    loss: type[Loss] | None = None
    augmentation: AugmentationName | None = None
    weighting: LossWeighting = "planned"


NO_CHOICES = TrainingChoices()
"""Leaves everything to the planner."""


def make_plan(
    fingerprint: Fingerprint,
    *,
    network: type[Architecture] | None = None,
    memory_gib: float,
    machine: Machine,
    choices: TrainingChoices = NO_CHOICES,
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
        choices: What the user chose about training.
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
    reference = ReferenceMethod(
        traits,
        budget,
        choices.loss or LOSSES[DEFAULT_LOSS],
        augmentation(len(fingerprint.cases), training_seconds, choices.augmentation),
        choices.weighting,
    )
    if training_seconds is None and machine.accelerator_gib is not None:
        return _assembled(reference, [], _default(reference), machine)
    time = TimeBudget(training_seconds or ASSUMED_SECONDS, machine)
    return _timed(Sizing(reference, time), is_requested=training_seconds is not None)


def _default(reference: ReferenceMethod) -> PlannedValue[str]:
    """Return the default among the reference configurations."""
    traits, volumes = reference.traits, reference.drafts.get("3d_fullres")
    if traits.has_volumes and volumes is None:
        network = reference.drafts["2d"].configuration.architecture.kind
        return PlannedValue("2d", "default_configuration", f"{network} works on single planes", OWN)
    patch = None if volumes is None else volumes.configuration.topology.patch_shape
    return rules.default_configuration(traits.grid.spacing, patch)


def _timed(sizing: Sizing, *, is_requested: bool) -> Plan:
    """Plan for a time budget, keeping the reference configurations.

    The default is the configuration with the lowest expected loss in the time. Trainings keep the
    length of the reference method unless the user requested the time.
    """
    reference = sizing.reference
    if is_requested and sizing.is_enough_for_reference:
        enough = f". {sizing.time.text} are enough for the reference recipe"
        default = _default(reference).extended(enough)
        compact = []
        timed = tuple(reference.drafts)
    else:
        if is_requested:
            sizing = sizing.with_timed_steps()
        sized = sizing.sized()
        default = _sized_default(sized, sizing)
        compact = [entry.draft for entry in sized.values()]
        timed = tuple(draft.name for draft in compact)
    plan = _assembled(reference, compact, default, sizing.time.machine)
    if not is_requested:
        return plan
    budget = TrainingBudget(seconds=sizing.time.seconds, configurations=timed)
    return plan.model_copy(update={"budget": budget})


def _sized_default(sized: dict[str, SizedDraft], sizing: Sizing) -> PlannedValue[str]:
    """Return the name of the sized configuration with the lowest expected loss of Dice."""
    parent, chosen = min(sized.items(), key=lambda item: item[1].candidate.loss.total)
    name, time = chosen.draft.name, sizing.time
    full = sizing.parents[parent].configuration
    steps = time.steps(full.architecture, full.batch_size, full.recipe)
    reason = (
        f"in {time.text}, {full.name} gets {format_number(round(steps))} steps, {name} "
        f"{format_number(round(chosen.candidate.loss.steps))}"
    )
    reason += "".join(
        f"; {name} is expected to lose {chosen.candidate.loss.total:.3f} Dice, "
        f"{other.draft.name} {other.candidate.loss.total:.3f}"
        for other in sized.values()
        if other is not chosen
    )
    return PlannedValue(name, RULE, reason, OWN)


def _assembled(
    reference: ReferenceMethod,
    compact: list[ConfigurationDraft],
    default: PlannedValue[str],
    machine: Machine,
) -> Plan:
    """Assemble the plan from the reference configurations and their compact variants."""
    traits, drafts = reference.traits, [*reference.drafts.values(), *compact]
    plan = Plan(
        dataset_name=traits.fingerprint.dataset_name,
        num_axes=traits.fingerprint.num_axes,
        channel_names=traits.fingerprint.channel_names,
        labels=traits.fingerprint.labels,
        axis_order=traits.axis_order.value,
        length_unit=traits.fingerprint.unit,
        default_configuration=default.value,
        configurations=tuple(draft.configuration for draft in drafts),
        decisions=(),
    )
    values = plan_values(plan)
    decisions = (
        traits.axis_order.decision("axis_order", values["axis_order"]),
        default.decision("default_configuration", values["default_configuration"]),
        *(entry for draft in drafts for entry in draft.decisions(machine, plan.unit)),
    )
    return plan.model_copy(update={"decisions": decisions})
