"""Compose the rules, in the order in which the decisions depend on each other."""

from autoseg.architectures import ARCHITECTURES, Architecture
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Decision, Plan, TrainingBudget
from autoseg.losses import LOSSES, Loss
from autoseg.planning import rules
from autoseg.planning.budget import Clock, sized_to
from autoseg.planning.choice import OWN, Choice
from autoseg.planning.compact import compact
from autoseg.planning.configurations import (
    Draft,
    predicted_time,
    reference_2d,
    references_3d,
)
from autoseg.planning.forecast import Machine
from autoseg.planning.memory import MemoryBudget
from autoseg.planning.survey import Survey, survey
from autoseg.planning.values import plan_values, unit_of
from autoseg.planning.wording import number

COMPACTED = ("2d", "3d_fullres")
"""Configurations that have a compact variant; a compact `3d_lowres` would be another resolution to
prepare for a network that sees most of a case anyway, and a compact cascade would need it."""


def make_plan(
    fingerprint: Fingerprint,
    *,
    network: type[Architecture] | None = None,
    memory_gib: float,
    machine: Machine,
    loss: type[Loss] | None = None,
    training_seconds: float | None = None,
) -> Plan:
    """Return the plan for a dataset; arithmetic only, no network is built.

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
    surveyed = survey(fingerprint)
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
    drafts = _references(surveyed, budget, loss or LOSSES["dice_ce"])
    if training_seconds is not None:
        return _timed(surveyed, drafts, Clock(training_seconds, machine))
    if machine.accelerator_gib is not None:
        return _assembled(surveyed, list(drafts.values()), _default(surveyed, drafts), machine)
    small = {name: compact(drafts[name]) for name in COMPACTED if name in drafts}
    default = _compact_default(_default(surveyed, small), drafts, small, machine)
    return _assembled(surveyed, [*drafts.values(), *small.values()], default, machine)


def _references(surveyed: Survey, budget: MemoryBudget, loss: type[Loss]) -> dict[str, Draft]:
    drafts = [reference_2d(surveyed, budget, loss)]
    if surveyed.has_volumes and 3 in budget.network.memory_references:
        drafts += references_3d(surveyed, budget, loss)
    return {draft.configuration.name: draft for draft in drafts}


def _default(surveyed: Survey, drafts: dict[str, Draft]) -> Choice[str]:
    """Return the default among drafts, by the names that the reference method gives them."""
    patch = None
    if surveyed.has_volumes and "3d_fullres" not in drafts:
        network = drafts["2d"].configuration.architecture.kind
        return Choice("2d", "default_configuration", f"{network} works on single planes", OWN)
    if "3d_fullres" in drafts:
        patch = drafts["3d_fullres"].configuration.topology.patch_shape
    return rules.default_configuration(surveyed.grid.spacing, patch)


def _compact_default(
    default: Choice[str], drafts: dict[str, Draft], small: dict[str, Draft], machine: Machine
) -> Choice[str]:
    """Return the compact variant of the default, saying what either would take."""
    full, chosen = drafts[default.value].configuration, small[default.value].configuration
    because = (
        f"{default.because}. There is no accelerator: a full training of {full.name} would take "
        f"{predicted_time(full, machine).value} on {machine.cores} CPU cores, of {chosen.name} "
        f"{predicted_time(chosen, machine).value}"
    )
    return Choice(chosen.name, default.rule, because, OWN)


def _timed(surveyed: Survey, drafts: dict[str, Draft], clock: Clock) -> Plan:
    """Return the plan whose default makes enough progress in the time; the references stay."""
    sized = sized_to(clock, {name: drafts[name] for name in COMPACTED if name in drafts})
    parent = _default(surveyed, drafts)
    chosen = sized[parent.value]
    default = Choice(
        chosen.configuration.name,
        parent.rule,
        f"{parent.because}. {_compared(drafts[parent.value], chosen, clock)}",
        OWN,
    )
    names = {draft.configuration.name: draft for draft in (*drafts.values(), *sized.values())}
    plan = _assembled(surveyed, list(names.values()), default, clock.machine)
    timed = [draft.configuration.name for draft in sized.values()]
    if set(timed) <= set(drafts):  # enough for the references: for all of them
        timed = list(drafts)
    budget = TrainingBudget(seconds=clock.seconds, configurations=tuple(timed))
    return plan.model_copy(update={"budget": budget})


def _compared(parent: Draft, chosen: Draft, clock: Clock) -> str:
    """Return what the reference and what was chosen instead would get of the time."""
    text = f"In {clock.text} {parent.configuration.name} gets {number(round(clock.steps(parent)))}"
    if chosen.configuration == parent.configuration:
        return f"{text} steps, enough for its own recipe"
    return (
        f"{text} steps, {chosen.configuration.name} {number(round(clock.steps(chosen)))} of a "
        "smaller size or by a recipe for short trainings"
    )


def _assembled(
    surveyed: Survey, drafts: list[Draft], default: Choice[str], machine: Machine
) -> Plan:
    """Return the plan that consists of these configurations."""
    plan = Plan(
        dataset_name=surveyed.fingerprint.dataset_name,
        num_axes=surveyed.fingerprint.num_axes,
        channel_names=surveyed.fingerprint.channel_names,
        labels=surveyed.fingerprint.labels,
        axis_order=surveyed.axis_order.value,
        default_configuration=default.value,
        configurations=tuple(draft.configuration for draft in drafts),
        decisions=(),
    )
    values = plan_values(plan)
    decisions: list[Decision] = [
        surveyed.axis_order.decision("axis_order", values["axis_order"]),
        default.decision("default_configuration", values["default_configuration"]),
    ]
    for draft in drafts:
        decisions += draft.decisions(machine, unit_of(plan))
    return plan.model_copy(update={"decisions": tuple(decisions)})
