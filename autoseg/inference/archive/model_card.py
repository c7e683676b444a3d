"""Make the model card of a trained model, and lay it out as a page to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from autoseg.core.geometry import LengthUnit, Orientation, length_unit
from autoseg.core.text import counted
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
from autoseg.documents.report import Mean, MetricName, Report
from autoseg.documents.run import Run
from autoseg.documents.selection import Estimate
from autoseg.documents.splits import FoldName, in_order
from autoseg.inference.summary import summarised, unit_of

CANONICAL_3D = (
    "volumes are turned into one canonical orientation by their header (array axes superior, "
    "posterior, left), and label maps are turned back: any stored orientation is fine, if the "
    "header is right"
)
TURNED_3D: dict[Orientation, str] = {
    "SPL": CANONICAL_3D,
    "SAR": CANONICAL_3D.replace("posterior, left", "anterior, right"),
    "stored": (
        "volumes are used as they are stored, whatever their header says of their orientation: "
        "give images whose axes run as in training"
    ),
}
CANONICAL_2D = "pictures are used as they are stored"

NETWORK_COLUMNS = ("configuration", "fold")
"""How a table names a network."""

METRIC_TITLES: dict[MetricName, str] = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95_mm": "HD95 ({unit})",
    "assd_mm": "ASSD ({unit})",
    "nsd": "NSD",
}
"""Of those metrics that a card shows; with a place for the unit of distances."""


@dataclass(frozen=True)
class FoldRecord:
    """What is known of a fold beside its weights; both are None for a copied model."""

    run: Run | None
    report: Report | None


@dataclass(frozen=True)
class Networks:
    """The networks of one configuration, as a card needs to know them.

    Attributes:
        plan: How the dataset was understood.
        configuration: What was trained.
        parameters: Weights of one network.
        is_member: Whether it predicts; else it is a previous stage.
        folds: What is known of each fold.
    """

    plan: Plan
    configuration: Configuration
    parameters: int
    is_member: bool
    folds: Mapping[FoldName, FoldRecord]


def make_card(
    networks: Sequence[Networks], fingerprint: Fingerprint | None, choice: CardSelection | None
) -> ModelCard:
    """Return the card of a trained model.

    Args:
        networks: Of each configuration, those that predict first.
        fingerprint: What was measured of the data, if that is known.
        choice: Why these predict, and how well, if they were selected.
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
        data=None if fingerprint is None else summarised(fingerprint),
        choice=choice,
        autoseg=version("autoseg"),
    )


def card_page(card: ModelCard) -> str:
    """Return the card in Markdown."""
    blocks = [
        f"# Model card: {card.dataset_name}",
        _headline(card),
        f"**Licence:** {card.license}.",
        "Research software: nobody has approved this model for clinical use.",
        "## Intended input",
        *_input_blocks(card),
        "## Output",
        *_output_blocks(card),
        "## Training data",
        *_data_blocks(card),
        "## Scores",
        *_choice_blocks(card),
        *_score_blocks(card),
        "## Networks",
        *_networks_blocks(card),
    ]
    return "\n\n".join(blocks) + "\n"


def _headline(card: ModelCard) -> str:
    members = " + ".join(entry.name for entry in card.configurations if entry.is_member)
    count = sum(len(entry.folds) for entry in card.configurations)
    networks = f"{count} trained network{'s' if count != 1 else ''}"
    return f"{members}, {networks}. Written by autoseg {card.autoseg}.{_origin(card)}"


def _origin(card: ModelCard) -> str:
    return "" if card.origin is None else f" Imported from {card.origin}."


def _classes(plan: Plan, fingerprint: Fingerprint | None) -> tuple[CardClass, ...]:
    """Return background and targets: the other classes, or the regions."""
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
    """Return how many training cases hold any of the classes; None if not known."""
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
        folds=tuple(_fold(fold, folds[fold]) for fold in in_order(folds)),
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
    kind = "volumes (axes z, y, x)" if card.num_axes == 3 else "pictures (axes y, x)"
    unknown = ("not known",) * len(card.channels)
    known = unknown if card.data is None else tuple(_span(*x) for x in card.data.intensities)
    rows = [
        (str(index), channel.name, intensities, channel.normalizer)
        for index, (channel, intensities) in enumerate(zip(card.channels, known, strict=True))
    ]
    header = ("channel", "name", "foreground intensities in training", "normalisation")
    spacings = " and to ".join(
        " × ".join(f"{value:.4g}" for value in spacing)
        for spacing in dict.fromkeys(entry.working_spacing_mm for entry in card.configurations)
    )
    handling = (
        f"Orientation: {card.orientation}. Images are resampled to {spacings} {_unit(card)} and "
        "label maps back; the file needs no preparation."
    )
    channels = f"{len(card.channels)}-channel {kind}, the channels in this order:"
    return [channels, _table(header, rows), handling]


def _unit(card: ModelCard) -> LengthUnit:
    """Return what lengths are in: px for pictures of no known size."""
    if card.data is not None:
        return unit_of(card.data)
    edges = (edge for entry in card.configurations for edge in entry.working_spacing_mm)
    return length_unit(card.num_axes, edges)


def _output_blocks(card: ModelCard) -> list[str]:
    rows = [
        (str(entry.value), entry.name, "–" if entry.cases is None else str(entry.cases))
        for entry in card.classes
    ]
    steps = () if card.choice is None else card.choice.postprocessing
    return [
        "A label map on the grid of the image:",
        _table(("value", "class", "training cases with it"), rows),
        *(_step(values) for values in steps),
    ]


def _step(values: tuple[int, ...]) -> str:
    named = f"value {values[0]}"
    if len(values) > 1:
        named = f"the values {', '.join(map(str, values))} together"
    return f"Of {named}, only the largest connected component is kept."


def _data_blocks(card: ModelCard) -> list[str]:
    if card.data is None:
        return ["No fingerprint came with the model."]
    rows = [
        (str(axis), _three(spacing), _three(shape))
        for axis, (spacing, shape) in enumerate(
            zip(card.data.spacing_mm, card.data.shape_voxels, strict=True)
        )
    ]
    header = ("array axis", f"voxel size in {_unit(card)} (least / median / greatest)", "voxels")
    stored = ", ".join(card.data.axis_directions)
    orientations = [f"Stored orientations, array order: {stored}."] if stored else []
    return [f"{counted(card.data.num_cases, 'case')}.", _table(header, rows), *orientations]


def _choice_blocks(card: ModelCard) -> list[str]:
    """Return what was chosen, and how good it is: nothing if nothing was."""
    choice = card.choice
    if choice is None:
        return []
    rows = [(name, *_interval(estimate)) for name, estimate in choice.classes]
    rows.append(("mean of classes", *_interval(choice.dice)))
    members = [entry.name for entry in card.configurations if entry.is_member]
    together = " together, their probabilities averaged" if len(members) > 1 else ""
    how = (
        f"scored on {counted(choice.held_out_cases, 'case')} that they were trained on"
        if _is_resubstitution(card)
        else f"cross-validated on {counted(choice.held_out_cases, 'held-out case')}"
    )
    told = f"{' + '.join(members)}{together}, as {how}, post-processing included:"
    return [choice.reason, told, _table(("class", "Dice", "95 % interval"), rows)]


def _score_blocks(card: ModelCard) -> list[str]:
    rows = [
        row for entry in card.configurations for fold in entry.folds for row in _rows(entry, fold)
    ]
    if not rows:
        return ["None came with the model."]
    titles = (text.format(unit=_unit(card)) for text in METRIC_TITLES.values())
    header = (*NETWORK_COLUMNS, "cases", "class", *titles)
    reading = (
        "The network was scored on the cases that it was trained on, for want of others: its "
        "scores say nothing about new cases."
        if _is_resubstitution(card)
        else "Each network was scored on cases that it was not trained on; all networks together "
        "were not, for want of cases that none has seen."
    )
    return [reading, _table(header, rows)]


def _is_resubstitution(card: ModelCard) -> bool:
    return any(fold.resubstitution for entry in card.configurations for fold in entry.folds)


def _rows(configuration: CardConfiguration, fold: CardFold) -> list[tuple[str, ...]]:
    """Return the scores of one network, class by class; none if it was not scored."""
    if fold.foreground is None:
        return []
    lead = (configuration.name, str(fold.fold), str(fold.scored_cases))
    return [
        (*lead, name, *(_number(means.metric(metric)) for metric in METRIC_TITLES))
        for name, means in (*fold.classes, ("mean of classes", fold.foreground))
    ]


def _networks_blocks(card: ModelCard) -> list[str]:
    sizes = [
        f"{entry.name}: {entry.architecture} with {entry.parameters:,} weights"
        f"{'' if entry.is_member else ', the previous stage of a cascade'}."
        for entry in card.configurations
    ]
    rows = [
        (
            entry.name,
            str(fold.fold),
            "–" if fold.steps is None else str(fold.steps),
            "–" if fold.seconds is None else f"{fold.seconds / 60:.1f}",
            "–" if fold.versions is None else f"{fold.versions.autoseg} / {fold.versions.torch}",
        )
        for entry in card.configurations
        for fold in entry.folds
    ]
    return [*sizes, _table((*NETWORK_COLUMNS, "steps", "minutes", "autoseg / torch"), rows)]


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _span(low: float, high: float) -> str:
    return f"{low:.4g} … {high:.4g}"


def _three(values: AxisRange) -> str:
    return f"{values.least:.4g} / {values.median:.4g} / {values.greatest:.4g}"


def _number(mean: Mean) -> str:
    return "–" if mean.value is None else f"{mean.value:.3f}"


def _interval(estimate: Estimate) -> tuple[str, str]:
    """Return a mean and its interval, as far as they are known."""
    value = "–" if estimate.value is None else f"{estimate.value:.3f}"
    if estimate.low is None or estimate.high is None:
        return value, "–"
    return value, f"{estimate.low:.3f} … {estimate.high:.3f}"
