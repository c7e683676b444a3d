"""Load pretrained weights for fine-tuning, and summarise which of them were used."""

from pathlib import Path

from autoseg.architectures import Architecture
from autoseg.core.formatting import format_names, format_percent
from autoseg.core.progress import Progress
from autoseg.documents.plan import Plan
from autoseg.documents.run import Pretraining, TensorGroup
from autoseg.documents.splits import default_folds
from autoseg.models.folder import named_fold
from autoseg.models.loader import find_model, open_model
from autoseg.models.networks import empty_network, largest_bytes
from autoseg.training.pretrained import Interface, Pretrained


def load_pretrained(
    path: Path, plan: Plan, architecture: Architecture, progress: Progress
) -> Pretrained:
    """Load the weights of a trained model; with several folds, those of the first.

    Args:
        path: Model, as for `autoseg predict --model`.
        plan: Plan of the network to train.
        architecture: Network to train, used to check early that some weights fit.
        progress: Receives a message with the used fold if there are several.

    Returns:
        The weights, with the channels and outputs of both networks.

    Raises:
        ModelError: If the model does not exist or is damaged.
        TrainingError: If none of the weights fit.
        DocumentError: If `model.json` or `plan.json` of a model folder is missing or damaged.
    """
    model_path = find_model(path)
    stored, named = open_model(model_path), named_fold(model_path)
    folds = default_folds(stored.folds()) if named is None else (named.fold,)
    trained, source_plan = stored.read_trained(), stored.read_plan()
    source = source_plan.configuration(trained.configuration)
    model = f"{source_plan.dataset_name}, {source.name}, fold {folds[0]}"
    if len(folds) > 1:
        progress.say(f"{model_path} has {len(folds)} folds; starting from the first: {model}")
    limit = largest_bytes(empty_network(source.architecture))
    pretrained = Pretrained(
        model=model,
        tensors=stored.read_weights(folds[0], largest_bytes=limit),
        there=interface(source_plan),
        here=interface(plan),
    )
    pretrained.load_into(architecture.build())
    return pretrained


def interface(plan: Plan) -> Interface:
    """Return the names of the inputs and outputs of a plan's networks."""
    outputs = tuple(region.name for region in plan.labels.regions) or plan.labels.names
    return Interface(channels=plan.channel_names, outputs=outputs)


def pretraining_summary(pretraining: Pretraining) -> str:
    """Format a table of the tensors that were loaded, adapted, initialised randomly, and unused."""
    groups = (pretraining.taken, pretraining.adapted, pretraining.fresh)
    total = sum(group.weights for group in groups)
    rows = [
        _row("loaded", pretraining.taken, total, named=False),
        _row("adapted", pretraining.adapted, total),
        _row("random init", pretraining.fresh, total),
    ]
    if pretraining.unused.names:
        rows.append(_row("unused", pretraining.unused, None))
    return "\n".join([f"starting from {pretraining.model}:", *rows])


def _row(label: str, group: TensorGroup, total: int | None, *, named: bool = True) -> str:
    share = "" if total is None else f"{format_percent(group.weights / total, 3):>7} of the weights"
    listed = f"   {format_names(group.names, 4)}" if named and group.names else ""
    return f"  {label:<12}{len(group.names):4d} tensors {share:22}{listed}".rstrip()
