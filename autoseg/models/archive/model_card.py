"""Build the model card of a trained model and format it as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from autoseg.core.formatting import (
    DASH,
    format_count,
    format_duration,
    format_number,
    format_shape,
    format_value,
)
from autoseg.core.geometry import LengthUnit, Orientation, length_unit
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model_card import (
    AxisRange,
    CardChannel,
    CardClass,
    CardConfiguration,
    CardFold,
    CardSelection,
    ModelCard,
)
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.selection import Estimate
from autoseg.documents.splits import FoldName, sort_folds
from autoseg.inference.summary import summarize_fingerprint

CANONICAL_3D = (
    "volumes are reoriented to one canonical orientation according to their header (array axes "
    "superior, posterior, left), and label maps are reoriented back. Any stored orientation works "
    "if the header is correct"
)
TURNED_3D: dict[Orientation, str] = {
    "SPL": CANONICAL_3D,
    "SAR": CANONICAL_3D.replace("posterior, left", "anterior, right"),
    "stored": (
        "volumes are used as stored; the orientation in their header is ignored. Pass images whose "
        "axes have the same directions as in training"
    ),
}
CANONICAL_2D = "2-D images are used as stored"

NETWORK_COLUMNS = ("configuration", "fold")
"""Table columns that identify a network."""


@dataclass(frozen=True)
class FoldRecord:
    """Records of a fold in addition to its weights; both are None for a copied model.

    Attributes:
        run: Training record.
        report: Scores on the fold's held-out cases.
    """

    run: Run | None
    report: Report | None


@dataclass(frozen=True)
class Networks:
    """Description of the networks of one configuration, for a model card.

    Attributes:
        plan: The plan of the dataset.
        configuration: The trained configuration.
        parameters: Number of parameters of one network.
        is_member: Whether the configuration predicts; if not, it is a previous stage.
        folds: Records of each fold.
    """

    plan: Plan
    configuration: Configuration
    parameters: int
    is_member: bool
    folds: Mapping[FoldName, FoldRecord]


def make_card(
    networks: Sequence[Networks], fingerprint: Fingerprint | None, choice: CardSelection | None
) -> ModelCard:
    """Build the model card of a trained model.

    Args:
        networks: One entry per configuration, the predicting ones first.
        fingerprint: Fingerprint of the training data; None if unknown.
        choice: Reason for the selection and its scores; None without a selection.
    """
    plan, configuration = networks[0].plan, networks[0].configuration
    return ModelCard(
        dataset_name=plan.dataset_name,
        configurations=tuple(_configuration(entry) for entry in networks),
        num_axes=plan.num_axes,
        channels=tuple(
            CardChannel(name=name, normalizer=normalizer.kind)
            for name, normalizer in zip(plan.channel_names, configuration.normalizers, strict=True)
        ),
        classes=_classes(plan, fingerprint),
        orientation=TURNED_3D[plan.orientation] if plan.num_axes == 3 else CANONICAL_2D,
        data=None if fingerprint is None else summarize_fingerprint(fingerprint),
        choice=choice,
        autoseg=version("autoseg"),
    )


def card_page(card: ModelCard, metrics: Mapping[str, str]) -> str:
    """Format the model card as Markdown; `metrics` maps the metrics to show to column titles."""
    blocks = [
        f"# Model card: {card.dataset_name}",
        _headline(card),
        f"**Licence:** {card.license}.",
        "Research software: this model is not approved for clinical use.",
        "## Intended input",
        *_input_blocks(card),
        "## Output",
        *_output_blocks(card),
        "## Training data",
        *_data_blocks(card),
        "## Scores",
        *_choice_blocks(card),
        *_score_blocks(card, metrics),
        "## Networks",
        *_networks_blocks(card),
    ]
    return "\n\n".join(blocks) + "\n"


def _headline(card: ModelCard) -> str:
    members = " + ".join(entry.name for entry in card.configurations if entry.is_member)
    count = sum(len(entry.folds) for entry in card.configurations)
    networks = format_count(count, "trained network")
    return f"{members}, {networks}. Written by autoseg {card.autoseg}.{_origin(card)}"


def _origin(card: ModelCard) -> str:
    return "" if card.origin is None else f" Imported from {card.origin}."


def _classes(plan: Plan, fingerprint: Fingerprint | None) -> tuple[CardClass, ...]:
    """Return the background and the targets (the other classes, or the regions)."""
    labels = plan.labels
    background = CardClass(
        name=labels.names[0], value=labels.values[0], cases=_cases_with((0,), fingerprint)
    )
    targets = (
        CardClass(
            name=target.name, value=target.written_as, cases=_cases_with(members, fingerprint)
        )
        for target, members in zip(labels.targets, labels.target_classes, strict=True)
    )
    return (background, *targets)


def _cases_with(classes: tuple[int, ...], fingerprint: Fingerprint | None) -> int | None:
    """Count the training cases that contain any of the classes; None if unknown."""
    if fingerprint is None:
        return None
    return sum(any(case.class_voxels[index] for index in classes) for case in fingerprint.cases)


def _configuration(networks: Networks) -> CardConfiguration:
    configuration, folds = networks.configuration, networks.folds
    return CardConfiguration(
        name=configuration.name,
        architecture=configuration.architecture.kind,
        parameters=networks.parameters,
        working_spacing_mm=configuration.spacing,
        is_member=networks.is_member,
        folds=tuple(_fold(fold, folds[fold]) for fold in sort_folds(folds)),
    )


def _fold(fold: FoldName, record: FoldRecord) -> CardFold:
    run, report = record.run, record.report
    return CardFold(
        fold=fold,
        steps=None if run is None else run.steps,
        seconds=None if run is None else run.seconds,
        versions=None if run is None else run.versions,
        scored_cases=0 if report is None else len(report.cases),
        resubstitution=run is not None and run.resubstitution,
        classes=()
        if report is None
        else tuple((entry.name, entry.means) for entry in report.classes),
        foreground=None if report is None else report.foreground,
    )


def _input_blocks(card: ModelCard) -> list[str]:
    kind = "volumes (axes z, y, x)" if card.num_axes == 3 else "2-D images (axes y, x)"
    unknown = ("unknown",) * len(card.channels)
    known = unknown if card.data is None else tuple(_span(*x) for x in card.data.intensities)
    rows = [
        (str(index), channel.name, intensities, channel.normalizer)
        for index, (channel, intensities) in enumerate(zip(card.channels, known, strict=True))
    ]
    header = ("channel", "name", "foreground intensities in training", "normalisation")
    spacings = " and to ".join(
        format_shape(spacing)
        for spacing in dict.fromkeys(entry.working_spacing_mm for entry in card.configurations)
    )
    handling = (
        f"Orientation: {card.orientation}. Images are resampled to {spacings} {card_unit(card)}, "
        "and label maps are resampled back; no preprocessing is required."
    )
    channels = f"{len(card.channels)}-channel {kind}, with the channels in this order:"
    return [channels, _table(header, rows), handling]


def card_unit(card: ModelCard) -> LengthUnit:
    """Return the unit of lengths; px for 2-D images of unknown pixel size."""
    if card.data is not None:
        return card.data.unit
    edges = (edge for entry in card.configurations for edge in entry.working_spacing_mm)
    return length_unit(card.num_axes, edges)


def _output_blocks(card: ModelCard) -> list[str]:
    rows = [
        (str(entry.value), entry.name, format_value(entry.cases, "d")) for entry in card.classes
    ]
    steps = () if card.choice is None else card.choice.postprocessing
    return [
        "A label map on the grid of the image:",
        _table(("value", "class", "training cases with this class"), rows),
        *(_step(values) for values in steps),
    ]


def _step(values: tuple[int, ...]) -> str:
    named = f"value {values[0]}"
    if len(values) > 1:
        named = f"the values {', '.join(map(str, values))} combined"
    return f"Post-processing keeps only the largest connected component of {named}."


def _data_blocks(card: ModelCard) -> list[str]:
    if card.data is None:
        return ["The model has no fingerprint of its training data."]
    rows = [
        (str(axis), _three(spacing), _three(shape))
        for axis, (spacing, shape) in enumerate(
            zip(card.data.spacing_mm, card.data.shape_voxels, strict=True)
        )
    ]
    header = (
        "array axis",
        f"voxel size in {card_unit(card)} (minimum / median / maximum)",
        "voxels",
    )
    stored = ", ".join(card.data.axis_directions)
    orientations = [f"Stored orientations (array order): {stored}."] if stored else []
    return [f"{format_count(card.data.num_cases, 'case')}.", _table(header, rows), *orientations]


def _choice_blocks(card: ModelCard) -> list[str]:
    """Format the selected model and its scores; empty without a selection."""
    choice = card.choice
    if choice is None:
        return []
    rows = [(name, *_interval(estimate)) for name, estimate in choice.classes]
    rows.append(("mean of classes", *_interval(choice.dice)))
    members = [entry.name for entry in card.configurations if entry.is_member]
    ensemble = " with averaged probabilities" if len(members) > 1 else ""
    scored = (
        f"scored on {format_count(choice.held_out_cases, 'training case')}"
        if _is_resubstitution(card)
        else f"cross-validated on {format_count(choice.held_out_cases, 'held-out case')}"
    )
    caption = f"{' + '.join(members)}{ensemble}, {scored}, including post-processing:"
    return [choice.reason, caption, _table(("class", "Dice", "95 % interval"), rows)]


def _score_blocks(card: ModelCard, metrics: Mapping[str, str]) -> list[str]:
    rows = [
        row
        for entry in card.configurations
        for fold in entry.folds
        for row in _rows(entry, fold, tuple(metrics))
    ]
    if not rows:
        return ["The model has no scores."]
    header = (*NETWORK_COLUMNS, "cases", "class", *metrics.values())
    explanation = (
        "No cases were held out, so the network was scored on its own training cases. These scores "
        "say nothing about new cases."
        if _is_resubstitution(card)
        else "Each network was scored on its held-out cases. The ensemble of all networks was not "
        "scored, because every case was used to train at least one of them."
    )
    return [explanation, _table(header, rows)]


def _is_resubstitution(card: ModelCard) -> bool:
    return any(fold.resubstitution for entry in card.configurations for fold in entry.folds)


def _rows(
    configuration: CardConfiguration, fold: CardFold, metrics: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return the score rows of one network, one per class; empty if it was not scored."""
    if fold.foreground is None:
        return []
    lead = (configuration.name, str(fold.fold), str(fold.scored_cases))
    return [
        (*lead, name, *(format_value(means.metric(metric).value) for metric in metrics))
        for name, means in (*fold.classes, ("mean of classes", fold.foreground))
    ]


def _networks_blocks(card: ModelCard) -> list[str]:
    sizes = [
        f"{entry.name}: {entry.architecture} with {entry.parameters:,} parameters"
        f"{'' if entry.is_member else ', the previous stage of a cascade'}."
        for entry in card.configurations
    ]
    rows = [
        (
            entry.name,
            str(fold.fold),
            format_value(fold.steps, "d"),
            DASH if fold.seconds is None else format_duration(fold.seconds),
            DASH if fold.versions is None else f"{fold.versions.autoseg} / {fold.versions.torch}",
        )
        for entry in card.configurations
        for fold in entry.folds
    ]
    return [*sizes, _table((*NETWORK_COLUMNS, "steps", "time", "autoseg / torch"), rows)]


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _span(low: float, high: float) -> str:
    return f"{format_number(low)} … {format_number(high)}"


def _three(values: AxisRange) -> str:
    return " / ".join(map(format_number, (values.least, values.median, values.greatest)))


def _interval(estimate: Estimate) -> tuple[str, str]:
    """Format a mean and its interval; an unknown number becomes a dash."""
    value = format_value(estimate.value)
    if estimate.low is None or estimate.high is None:
        return value, DASH
    return value, f"{estimate.low:.3f} … {estimate.high:.3f}"
