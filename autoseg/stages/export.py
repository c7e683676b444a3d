"""`autoseg export`: pack a trained model folder into one model file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from autoseg.core.errors import ModelError
from autoseg.core.frozen import Frozen
from autoseg.core.progress import Progress, Silent
from autoseg.documents import store
from autoseg.documents.archive import Manifest
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model import WEIGHTS_NAME, TrainedModel
from autoseg.documents.model_card import CARD_NAME, CARD_PAGE_NAME, UNSTATED_LICENSE, CardSelection
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.selection import CROSS_VALIDATION_NAME, Selection
from autoseg.documents.splits import FoldName, default_folds, sort_folds
from autoseg.evaluation.bootstrap import estimates, score_table
from autoseg.evaluation.metrics import MODEL_CARD_METRICS
from autoseg.evaluation.table import title
from autoseg.models.archive.contents import SUFFIX, fold_part
from autoseg.models.archive.model_card import FoldRecord, Networks, card_page, card_unit, make_card
from autoseg.models.archive.privacy import Records, anonymize_records
from autoseg.models.archive.writer import Content, serialize_weights, write_archive
from autoseg.models.folder import StoredModel
from autoseg.models.loader import previous_stage_folds
from autoseg.models.model_selection import StoredSelection, find_selection
from autoseg.models.networks import empty_network, largest_bytes
from autoseg.stages.train.score_fold import VALIDATION_NAME


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        folds: Folds to export; None exports all trained numbered folds.
        half: Whether to store rounded weights in half precision, which halves the file size.
        license: License of the model, written to the model card.
    """

    folds: tuple[FoldName, ...] | None = None
    half: bool = False
    license: str = UNSTATED_LICENSE


def export(
    model: Path | None, output: Path, options: ExportOptions, progress: Progress | None = None
) -> Manifest:
    """Write a trained model to one file.

    Case names are not written to the file, because they may identify patients.

    Args:
        model: Work folder, model folder or fold, as for `autoseg predict --model`; None uses the
            only trained model.
        output: File to write, with the extension `.autoseg`; an existing file is replaced.
        options: Options of the export.
        progress: Receives a warning if the selection is older than the trained models.

    Returns:
        The manifest of the written file.

    Raises:
        ModelError: If the model does not exist, or `output` has another extension.
        DocumentError: If a document of the model is missing or damaged.
    """
    check_output(output)
    selected = find_selection(model, options.folds)
    if selected.path.is_file():
        msg = f"{selected.path} is a model file already. Copy it, or pass a work folder to export."
        raise ModelError(msg)
    for sentence in selected.warnings:
        (progress or Silent()).say(f"warning: {sentence}.")
    precision: Literal["float32", "float16"] = "float16" if options.half else "float32"
    configurations = _configurations(selected)
    return write_archive(
        output,
        _contents(selected, configurations, precision, options),
        members=[entry.name for entry in configurations if entry.is_member],
        stages=[entry.name for entry in configurations if not entry.is_member],
        precision=precision,
    )


def check_output(output: Path) -> None:
    """Check that a path is valid for a model file.

    Raises:
        ModelError: If it has another extension or is a folder.
    """
    if output.suffix != SUFFIX:
        msg = (
            f"{output} does not end in {SUFFIX}. Name the file {output.stem}{SUFFIX}, for example."
        )
        raise ModelError(msg)
    if output.is_dir():
        msg = f"{output} is a folder; expected a file to write. Choose another file name."
        raise ModelError(msg)


@dataclass(frozen=True)
class _Exported:
    """A configuration to put into a model file: a member of the ensemble or a previous stage."""

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


def _configurations(selected: StoredSelection) -> list[_Exported]:
    """Collect the members and the previous stages that they need, each once with all its folds."""
    by_name: dict[str, _Exported] = {}
    queue = []
    for stored, folds in zip(selected.members, selected.folds, strict=True):
        entry = _load_configuration(stored, folds, is_member=True)
        by_name[entry.name] = entry
        queue.append((entry, folds))
    while queue:
        entry, folds = queue.pop()
        stage = entry.configuration.previous_stage
        if stage is None:
            continue
        # Based on the requested folds, so that model file and folder predict the same.
        needed = previous_stage_folds(folds)
        previous = _load_configuration(entry.stored.sibling(stage), needed, is_member=False)
        known = by_name.get(stage)
        if known is None:
            queue.append((previous, needed))
        else:
            previous = replace(known, folds=sort_folds({*known.folds, *previous.folds}))
        by_name[stage] = previous
    return sorted(by_name.values(), key=lambda entry: not entry.is_member)


def _load_configuration(
    stored: StoredModel, folds: Sequence[FoldName] | None, *, is_member: bool
) -> _Exported:
    chosen = default_folds(stored.folds()) if folds is None else sort_folds(set(folds))
    stored.check_trained(chosen)
    return _Exported(stored, chosen, is_member, stored.read_trained(), stored.read_plan())


def _contents(
    selected: StoredSelection,
    configurations: Sequence[_Exported],
    precision: Literal["float32", "float16"],
    options: ExportOptions,
) -> Iterator[Content]:
    """Yield the parts of the model file, the model card first; weights are read one by one."""
    selection = _selection(selected)
    records = anonymize_records(_records(selected, configurations, selection))
    networks = [_networks(entry, records) for entry in configurations]
    scores = _card_selection(selection, records.cross_validation)
    card = make_card(networks, records.fingerprint, scores).model_copy(
        update={"license": options.license, "origin": configurations[0].trained.origin}
    )
    titles = {name: title(name, card_unit(card)) for name in MODEL_CARD_METRICS}
    yield Content(CARD_PAGE_NAME, card_page(card, titles).encode())
    yield from _documents(
        (CARD_NAME, card),
        (Fingerprint.FILE_NAME, records.fingerprint),
        (Selection.FILE_NAME, selection),
        (CROSS_VALIDATION_NAME, records.cross_validation),
    )
    for entry in configurations:
        yield from _configuration_contents(entry, records, precision)


def _configuration_contents(
    entry: _Exported, records: Records, precision: Literal["float32", "float16"]
) -> Iterator[Content]:
    """Yield the parts of one configuration."""
    limit = largest_bytes(empty_network(entry.configuration.architecture))
    yield from _documents(
        (f"{entry.name}/{TrainedModel.FILE_NAME}", entry.trained),
        (f"{entry.name}/{Plan.FILE_NAME}", entry.plan),
    )
    for fold in entry.folds:
        record = records.folds[entry.name, fold]
        yield from _documents(
            (fold_part(entry.name, fold, Run.FILE_NAME), record.run),
            (fold_part(entry.name, fold, Report.FILE_NAME), record.report),
        )
        tensors = entry.stored.read_weights(fold, largest_bytes=limit)
        name = fold_part(entry.name, fold, WEIGHTS_NAME)
        yield Content(name, serialize_weights(tensors, precision))


def _documents(*documents: tuple[str, Frozen | None]) -> Iterator[Content]:
    """Yield the documents that exist."""
    for name, document in documents:
        if document is not None:
            yield Content(name, store.to_json_text(document).encode())


def _selection(selected: StoredSelection) -> Selection | None:
    """Return the selection restricted to the exported folds; None without a selection."""
    if selected.selection is None:
        return None
    folds = [
        own if requested is None else sort_folds(set(requested))
        for own, requested in zip(selected.selection.folds, selected.folds, strict=True)
    ]
    return Selection.model_validate(selected.selection.model_dump() | {"folds": folds})


def _records(
    selected: StoredSelection, configurations: Sequence[_Exported], selection: Selection | None
) -> Records:
    """Load the records of training data and scores.

    The cross-validation is left out if the exported folds are not the selected ones, or have
    changed since: its scores would not describe the exported model.
    """
    scores = selected.path / CROSS_VALIDATION_NAME
    is_valid = selection is not None and selection == selected.selection and scores.is_file()
    is_valid = is_valid and not selected.has_changed
    return Records(
        fingerprint=_fingerprint(configurations[0].stored.path),
        folds={
            (entry.name, fold): _record(entry.stored.path / f"fold_{fold}")
            for entry in configurations
            for fold in entry.folds
        },
        cross_validation=(
            store.load(Report, scores, made_by=Selection.MADE_BY) if is_valid else None
        ),
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


def _card_selection(selection: Selection | None, report: Report | None) -> CardSelection | None:
    """Return the leaderboard entry of the selected model with its Dice per class."""
    if selection is None or report is None:
        return None
    dice = score_table(report, "dice")
    return CardSelection(
        reason=selection.reason,
        held_out_cases=len(report.cases),
        classes=tuple(
            (entry.name, estimates(dice[:, [index]]).overall)
            for index, entry in enumerate(report.classes)
        ),
        dice=estimates(dice).overall,
        postprocessing=tuple(step.values for step in selection.postprocessing),
    )


def _record(folder: Path) -> FoldRecord:
    """Load the training record and the scores of a fold, as far as they exist."""
    run, report = folder / Run.FILE_NAME, folder / VALIDATION_NAME / Report.FILE_NAME
    return FoldRecord(
        run=store.load(Run, run) if run.is_file() else None,
        report=store.load(Report, report) if report.is_file() else None,
    )


def _fingerprint(folder: Path) -> Fingerprint | None:
    """Load the fingerprint of a model folder or of its work folder; None if both have none."""
    for candidate in (folder, folder.parent.parent):
        if (candidate / Fingerprint.FILE_NAME).is_file():
            return store.load(Fingerprint, candidate / Fingerprint.FILE_NAME)
    return None
