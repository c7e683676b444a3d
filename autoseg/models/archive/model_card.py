"""Build the model card of a trained model and format it as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from autoseg.core.formatting import (
    DASH,
    format_count,
    format_duration,
    format_number,
    format_shape,
    format_value,
    printable,
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
    summarize_fingerprint,
)
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.selection import Estimate
from autoseg.documents.splits import FoldName, sort_folds

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

MARKUP = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": " "} | {mark: f"\\{mark}" for mark in "`[]*"}
)
"""How characters that begin HTML, code, links or emphasis are written."""

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
"""Text of the model card."""


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
        classes=card_classes(plan, fingerprint),
        orientation=TURNED_3D[plan.orientation] if plan.num_axes == 3 else CANONICAL_2D,
        data=None if fingerprint is None else summarize_fingerprint(fingerprint),
        choice=choice,
        autoseg=version("autoseg"),
    )


def card_page(card: ModelCard, metrics: Mapping[str, str]) -> str:
    """Format the model card as Markdown; `metrics` maps the metrics to show to column titles."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        finalize=_escaped,  # every value, because Markdown has no autoescape
    )
    environment.filters |= {
        "cell": _cell,
        "count": format_count,
        "duration": format_duration,
        "interval": _interval,
        "number": format_number,
        "range": _range,
        "shape": format_shape,
        "value": format_value,
    }
    members = [entry.name for entry in card.configurations if entry.is_member]
    folds = [fold for entry in card.configurations for fold in entry.folds]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        card=card,
        metrics=metrics,
        members=" + ".join(members),
        is_ensemble=len(members) > 1,
        num_networks=len(folds),
        is_scored=any(fold.foreground for fold in folds),
        is_resubstitution=any(fold.resubstitution for fold in folds),
        unit=card_unit(card),
        dash=DASH,
    )


def card_classes(plan: Plan, fingerprint: Fingerprint | None) -> tuple[CardClass, ...]:
    """Return the background and the targets (the other classes, or the regions)."""
    labels = plan.labels
    names = (labels.names[0], *(target.name for target in labels.targets))
    values = (labels.values[0], *(target.written_as for target in labels.targets))
    members = ((0,), *labels.target_classes)
    return tuple(
        CardClass(name=name, value=value, cases=_cases_with(classes, fingerprint))
        for name, value, classes in zip(names, values, members, strict=True)
    )


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


def card_unit(card: ModelCard) -> LengthUnit:
    """Return the unit of lengths; px for 2-D images of unknown pixel size."""
    if card.data is not None:
        return card.data.unit
    edges = (edge for entry in card.configurations for edge in entry.working_spacing_mm)
    return length_unit(card.num_axes, edges)


def _escaped(value: object) -> object:
    """Return a value without anything that Markdown or HTML would take for markup."""
    if not isinstance(value, str):
        return value
    return printable(value).translate(MARKUP)


def _cell(text: str) -> str:
    """Return the text of a table's cell, in which a bar would begin the next one."""
    return text.replace("|", "\\|").replace("\n", " ")


def _range(values: AxisRange) -> str:
    return " / ".join(map(format_number, (values.least, values.median, values.greatest)))


def _interval(estimate: Estimate) -> str:
    """Format the cells of a mean and its interval; an unknown number becomes a dash."""
    value = format_value(estimate.value)
    if estimate.low is None or estimate.high is None:
        return f"{value} | {DASH}"
    return f"{value} | {estimate.low:.3f} … {estimate.high:.3f}"
