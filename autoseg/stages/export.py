"""`autoseg export`: a trained model folder -> one model file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from autoseg.core.errors import ModelError
from autoseg.core.progress import Progress, Silent
from autoseg.documents import store
from autoseg.documents.archive import Manifest
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model import (
    FINGERPRINT_NAME,
    MODEL_NAME,
    PLAN_NAME,
    WEIGHTS_NAME,
    TrainedModel,
)
from autoseg.documents.model_card import CARD_NAME, CARD_PAGE_NAME, UNSTATED_LICENSE, CardSelection
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.selection import CROSS_VALIDATION_NAME, SELECTION_NAME, Selection
from autoseg.documents.splits import FoldName, averaged_folds, in_order
from autoseg.evaluation.bootstrap import estimate, score_table
from autoseg.inference.archive.contents import EVALUATION_NAME, RUN_NAME, SUFFIX, fold_part
from autoseg.inference.archive.model_card import FoldRecord, Networks, card_page, make_card
from autoseg.inference.archive.privacy import Records, without_case_names
from autoseg.inference.archive.writing import Content, weights_content, write_archive
from autoseg.inference.model import previous_folds
from autoseg.inference.model_selection import StoredSelection, find_selection
from autoseg.inference.networks import empty_network, largest_bytes
from autoseg.inference.stored import StoredModel
from autoseg.stages.evaluate import REPORT_NAME
from autoseg.stages.score_fold import VALIDATION_NAME


@dataclass(frozen=True)
class ExportOptions:
    """What to put into the model file.

    Attributes:
        folds: Which folds; None for all numbered ones that are trained.
        half: Whether weights are stored in half precision: half the size, rounded.
        license: Of the model, for its card.
    """

    folds: tuple[FoldName, ...] | None = None
    half: bool = False
    license: str = UNSTATED_LICENSE


def export(
    model: Path | None, output: Path, options: ExportOptions, progress: Progress | None = None
) -> Manifest:
    """Write a trained model as one file, and return what is in it.

    The names of the cases do not go into the file: they may say who the patients were.

    Args:
        model: As `autoseg predict --model` takes it; None finds the only one.
        output: The file, ending in `.autoseg`; an older one is replaced.
        options: What to put in.
        progress: Told if a selection is behind the trained models.

    Raises:
        ModelError: If there is no such model, or `output` has another ending.
        DocumentError: If a document of the model is missing or damaged.
    """
    check_output(output)
    choice = find_selection(model, options.folds)
    if choice.path.is_file():
        msg = f"{choice.path} is a model file already. Copy it, or name a work folder to export."
        raise ModelError(msg)
    for sentence in choice.warnings:
        (progress or Silent()).say(f"warning: {sentence}.")
    precision: Literal["float32", "float16"] = "float16" if options.half else "float32"
    configurations = _configurations(choice)
    return write_archive(
        output,
        _contents(choice, configurations, precision, options),
        members=[entry.name for entry in configurations if entry.is_member],
        stages=[entry.name for entry in configurations if not entry.is_member],
        precision=precision,
    )


def check_output(output: Path) -> None:
    """Check that a path can be that of a model file.

    Raises:
        ModelError: If it has another ending, or is a folder.
    """
    if output.suffix != SUFFIX:
        msg = f"{output} does not end in {SUFFIX}. Name the file {output.stem}{SUFFIX}, say."
        raise ModelError(msg)
    if output.is_dir():
        msg = f"{output} is a folder; expected the name of a file to write. Name another."
        raise ModelError(msg)


@dataclass(frozen=True)
class _Exported:
    """A configuration to put into a model file.

    Attributes:
        stored: Its model folder.
        folds: Which folds.
        is_member: Whether it predicts; else it is a previous stage.
        trained: How to use its networks.
        plan: How to build them.
    """

    stored: StoredModel
    folds: tuple[FoldName, ...]
    is_member: bool
    trained: TrainedModel
    plan: Plan

    @property
    def configuration(self) -> Configuration:
        return self.plan.configuration(self.trained.configuration)

    @property
    def name(self) -> str:
        return self.configuration.name


def _configurations(choice: StoredSelection) -> list[_Exported]:
    """Return the members, then the stages that they need; each once, with all its folds.

    Raises:
        ModelError: If a fold is not trained, or a stage is not there.
    """
    found: dict[str, _Exported] = {}
    waiting = []
    for stored, folds in zip(choice.members, choice.folds, strict=True):
        entry = _exported(stored, folds, is_member=True)
        found[entry.name] = entry
        waiting.append((entry, folds))
    while waiting:
        entry, folds = waiting.pop()
        stage = entry.configuration.previous_stage
        if stage is None:
            continue
        needed = previous_folds(folds)  # of what was asked, so that file and folder agree
        before = _exported(entry.stored.sibling(stage), needed, is_member=False)
        known = found.get(stage)
        if known is None:
            waiting.append((before, needed))
        else:
            before = replace(known, folds=in_order({*known.folds, *before.folds}))
        found[stage] = before
    return sorted(found.values(), key=lambda entry: not entry.is_member)


def _exported(
    stored: StoredModel, folds: Sequence[FoldName] | None, *, is_member: bool
) -> _Exported:
    chosen = averaged_folds(stored.folds()) if folds is None else in_order(set(folds))
    stored.check_trained(chosen)
    return _Exported(stored, chosen, is_member, stored.read_trained(), stored.read_plan())


def _contents(
    choice: StoredSelection,
    configurations: Sequence[_Exported],
    precision: Literal["float32", "float16"],
    options: ExportOptions,
) -> Iterator[Content]:
    """Yield the parts of the model file; the card goes first, weights are read one by one."""
    selection = _selection(choice)
    records = without_case_names(_records(choice, configurations, selection))
    card = make_card(
        [_networks(entry, records) for entry in configurations],
        records.fingerprint,
        _card_choice(selection, records.cross_validation),
    ).model_copy(update={"license": options.license, "origin": configurations[0].trained.origin})
    yield Content(CARD_PAGE_NAME, card_page(card).encode())
    yield Content(CARD_NAME, store.as_text(card).encode())
    shared = (
        (FINGERPRINT_NAME, records.fingerprint),
        (SELECTION_NAME, selection),
        (CROSS_VALIDATION_NAME, records.cross_validation),
    )
    for name, document in shared:
        if document is not None:
            yield Content(name, store.as_text(document).encode())
    for entry in configurations:
        yield from _configuration_contents(entry, records, precision)


def _configuration_contents(
    entry: _Exported, records: Records, precision: Literal["float32", "float16"]
) -> Iterator[Content]:
    """Yield the parts of one configuration."""
    limit = largest_bytes(empty_network(entry.configuration.architecture))
    yield Content(f"{entry.name}/{MODEL_NAME}", store.as_text(entry.trained).encode())
    yield Content(f"{entry.name}/{PLAN_NAME}", store.as_text(entry.plan).encode())
    for fold in entry.folds:
        yield from _record_contents(entry.name, fold, records.folds[entry.name, fold])
        tensors = entry.stored.read_weights(fold, largest_bytes=limit)
        name = fold_part(entry.name, fold, WEIGHTS_NAME)
        yield Content(name, weights_content(tensors, precision))


def _selection(choice: StoredSelection) -> Selection | None:
    """Return the selection as the model file has it: with the folds that are in it."""
    if choice.selection is None:
        return None
    folds = [
        own if wanted is None else in_order(set(wanted))
        for own, wanted in zip(choice.selection.folds, choice.folds, strict=True)
    ]
    return Selection.model_validate(choice.selection.model_dump() | {"folds": folds})


def _records(
    choice: StoredSelection, configurations: Sequence[_Exported], selection: Selection | None
) -> Records:
    """Return what is known of training data and scores.

    The cross-validation is left out if other folds are exported than were selected, or if they have
    changed since: it is not about them.
    """
    scores = choice.path / CROSS_VALIDATION_NAME
    is_about_it = selection is not None and selection == choice.selection and scores.is_file()
    is_about_it = is_about_it and not choice.has_changed
    return Records(
        fingerprint=_fingerprint(configurations[0].stored.path),
        folds={
            (entry.name, fold): _record(entry.stored.path / f"fold_{fold}")
            for entry in configurations
            for fold in entry.folds
        },
        cross_validation=store.load(Report, scores, made_by="autoseg select")
        if is_about_it
        else None,
    )


def _networks(entry: _Exported, records: Records) -> Networks:
    network = empty_network(entry.configuration.architecture)
    return Networks(
        plan=entry.plan,
        configuration=entry.configuration,
        parameters=sum(weights.numel() for weights in network.parameters()),
        is_member=entry.is_member,
        folds={fold: records.folds[entry.name, fold] for fold in entry.folds},
    )


def _card_choice(selection: Selection | None, report: Report | None) -> CardSelection | None:
    """Return the line of the leaderboard that is about what predicts, class by class."""
    if selection is None or report is None:
        return None
    dice = score_table(report, "dice")
    return CardSelection(
        reason=selection.reason,
        held_out_cases=len(report.cases),
        classes=tuple(
            (entry.name, estimate(dice[:, [index]])) for index, entry in enumerate(report.classes)
        ),
        dice=estimate(dice),
        postprocessing=tuple(step.values for step in selection.postprocessing),
    )


def _record_contents(configuration: str, fold: FoldName, record: FoldRecord) -> Iterator[Content]:
    documents = ((RUN_NAME, record.run), (EVALUATION_NAME, record.report))
    for name, document in documents:
        if document is not None:
            yield Content(fold_part(configuration, fold, name), store.as_text(document).encode())


def _record(folder: Path) -> FoldRecord:
    """Return what a fold's folder says about its training and scores."""
    run, report = folder / RUN_NAME, folder / VALIDATION_NAME / REPORT_NAME
    made_by = "autoseg train"
    return FoldRecord(
        run=store.load(Run, run, made_by=made_by) if run.is_file() else None,
        report=store.load(Report, report, made_by=made_by) if report.is_file() else None,
    )


def _fingerprint(folder: Path) -> Fingerprint | None:
    """Return the fingerprint in a model folder, or else the work folder's, or else None."""
    for place in (folder, folder.parent.parent):
        if (place / FINGERPRINT_NAME).is_file():
            return store.load(Fingerprint, place / FINGERPRINT_NAME, made_by="autoseg plan")
    return None
