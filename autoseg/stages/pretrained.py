"""Find the weights that a fine-tuning starts from, and tell what became of them."""

from pathlib import Path

from autoseg.architectures import Architecture
from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Progress
from autoseg.documents.plan import Plan
from autoseg.documents.run import Pretraining, TensorGroup
from autoseg.documents.splits import averaged_folds
from autoseg.inference.model import find_model, open_model
from autoseg.inference.networks import empty_network, largest_bytes
from autoseg.inference.stored import named_fold
from autoseg.training.pretrained import Interface, Pretrained

MOST_NAMES = 4
"""Tensors that a row of the table names."""


def load_pretrained(
    path: Path, plan: Plan, architecture: Architecture, progress: Progress
) -> Pretrained:
    """Return the weights of a trained model; of several folds, those of the first.

    Args:
        path: As `autoseg predict --model` takes it.
        plan: Of the network that is to start from them.
        architecture: That network; that something fits is checked before anything is done.
        progress: Told which fold was taken, if there is a choice.

    Raises:
        ModelError: If there is no such model, or it is damaged.
        TrainingError: If none of its weights fits.
        DocumentError: If `model.json` or `plan.json` of a folder is missing or damaged.
    """
    found = find_model(path)
    stored, named = open_model(found), named_fold(found)
    folds = averaged_folds(stored.folds()) if named is None else (named.fold,)
    trained, source_plan = stored.read_trained(), stored.read_plan()
    source = source_plan.configuration(trained.configuration)
    model = f"{source_plan.dataset_name}, {source.name}, fold {folds[0]}"
    if len(folds) > 1:
        progress.say(f"{found} has {len(folds)} folds; starting from the first: {model}")
    limit = largest_bytes(empty_network(source.architecture))
    pretrained = Pretrained(
        model=model,
        tensors=stored.read_weights(folds[0], largest_bytes=limit),
        there=interface(source_plan),
        here=interface(plan),
    )
    pretrained.give_to(architecture.build())
    return pretrained


def interface(plan: Plan) -> Interface:
    """Return what the inputs and outputs of a plan's networks are called."""
    return Interface(channels=plan.channel_names, outputs=_outputs(plan.labels))


def told(pretraining: Pretraining) -> str:
    """Return a table of what was taken, adapted, left at random, and not used."""
    groups = (pretraining.taken, pretraining.adapted, pretraining.fresh)
    total = sum(group.weights for group in groups)
    rows = [
        _row("taken", pretraining.taken, total, named=False),
        _row("adapted", pretraining.adapted, total),
        _row("from random", pretraining.fresh, total),
    ]
    if pretraining.unused.names:
        rows.append(_row("not used", pretraining.unused, None))
    return "\n".join([f"starting from {pretraining.model}:", *rows])


def _row(what: str, group: TensorGroup, total: int | None, *, named: bool = True) -> str:
    share = "" if total is None else f"{group.weights / total:7.1%} of the weights"
    names = ", ".join(group.names[:MOST_NAMES])
    more = f" and {len(group.names) - MOST_NAMES} more" if len(group.names) > MOST_NAMES else ""
    listed = f"   {names}{more}" if named and group.names else ""
    return f"  {what:<12}{len(group.names):4d} tensors {share:22}{listed}".rstrip()


def _outputs(labels: LabelScheme) -> tuple[str, ...]:
    return tuple(region.name for region in labels.regions) or labels.names
