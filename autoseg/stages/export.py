"""`autoseg export`: a trained model folder -> one model file; `autoseg describe` reads its card."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autoseg.core.errors import ModelError
from autoseg.documents import store
from autoseg.documents.archive import Manifest
from autoseg.documents.card import CARD_NAME, CARD_PAGE_NAME, UNSTATED_LICENSE
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.model import FINGERPRINT_NAME, MODEL_NAME, PLAN_NAME, WEIGHTS_NAME
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.splits import FoldName, averaged_folds, in_order
from autoseg.inference.archive.card import FoldRecord, card_page, make_card
from autoseg.inference.archive.contents import EVALUATION_NAME, RUN_NAME, SUFFIX, fold_part
from autoseg.inference.archive.privacy import without_case_names
from autoseg.inference.archive.reading import ModelArchive
from autoseg.inference.archive.writing import Content, weights_content, write_archive
from autoseg.inference.model import empty_network, find_model, largest_bytes
from autoseg.inference.stored import ModelFolder, named_fold
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


def export(model: Path | None, output: Path, options: ExportOptions) -> Manifest:
    """Write a trained model as one file, and return what is in it.

    The names of the cases do not go into the file: they may say who the patients were.

    Args:
        model: As `autoseg predict --model` takes it; None finds the only one.
        output: The file, ending in `.autoseg`; an older one is replaced.
        options: What to put in.

    Raises:
        ModelError: If there is no such model, or `output` has another ending.
        DocumentError: If a document of the model is missing or damaged.
    """
    if output.suffix != SUFFIX:
        msg = f"{output} does not end in {SUFFIX}. Name the file {output.stem}{SUFFIX}, say."
        raise ModelError(msg)
    found = find_model(model)
    if found.is_file():
        msg = f"{found} is a model file already. Copy it, or name a work folder to export."
        raise ModelError(msg)
    only = named_fold(found)
    stored = ModelFolder(found if only is None else only.model)
    known = averaged_folds(stored.folds()) if only is None else (only.fold,)
    folds = known if options.folds is None else options.folds
    _check_folds(stored, folds)
    precision: Literal["float32", "float16"] = "float16" if options.half else "float32"
    return write_archive(
        output,
        _contents(stored, folds, precision, options.license),
        configuration=stored.read_trained().configuration,
        precision=precision,
    )


def describe(file: Path) -> str:
    """Return the model card of a model file, in Markdown; no weights are read.

    Signs that would steer a terminal are left out: the card is a stranger's text.

    Raises:
        ModelError: If it is not a sound model file.
    """
    if not file.is_file():
        msg = f"{file} is not a file. Name a model file (*{SUFFIX}), as `autoseg export` writes it."
        raise ModelError(msg)
    return store.printable(ModelArchive(file).read_card_page())


def _contents(
    stored: ModelFolder,
    folds: Sequence[FoldName],
    precision: Literal["float32", "float16"],
    license_name: str,
) -> Iterator[Content]:
    """Yield the parts of the model file; the card goes first, weights are read one by one."""
    trained, plan = stored.read_trained(), stored.read_plan()
    configuration = plan.configuration(trained.configuration)
    network = empty_network(configuration.architecture)
    fingerprint, records = without_case_names(
        _fingerprint(stored), {fold: _record(stored.path / f"fold_{fold}") for fold in folds}
    )
    card = make_card(
        plan,
        configuration,
        fingerprint,
        records,
        parameters=sum(weights.numel() for weights in network.parameters()),
    ).model_copy(update={"license": license_name, "origin": trained.origin})
    yield Content(CARD_PAGE_NAME, card_page(card).encode())
    yield Content(CARD_NAME, store.as_text(card).encode())
    if fingerprint is not None:
        yield Content(FINGERPRINT_NAME, store.as_text(fingerprint).encode())
    yield Content(f"{configuration.name}/{MODEL_NAME}", store.as_text(trained).encode())
    yield Content(f"{configuration.name}/{PLAN_NAME}", store.as_text(plan).encode())
    for fold in in_order(folds):
        yield from _record_contents(configuration.name, fold, records[fold])
        tensors = stored.read_weights(fold, largest_bytes=largest_bytes(network))
        name = fold_part(configuration.name, fold, WEIGHTS_NAME)
        yield Content(name, weights_content(tensors, precision))


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


def _fingerprint(stored: ModelFolder) -> Fingerprint | None:
    """Return the fingerprint in the model folder, or else the work folder's, or else None."""
    own = stored.read_fingerprint()
    shared = stored.path.parent.parent / FINGERPRINT_NAME
    if own is not None or not shared.is_file():
        return own
    return store.load(Fingerprint, shared, made_by="autoseg plan")


def _check_folds(stored: ModelFolder, folds: Sequence[FoldName]) -> None:
    """Check that each fold is trained.

    Raises:
        ModelError: If one is not.
    """
    missing = in_order(set(folds) - set(stored.folds()))
    if missing:
        msg = (
            f"folds {list(missing)} of {stored.path} are not trained to the end; finished are "
            f"{list(stored.folds())}. Choose others with --fold, or let `autoseg train` finish "
            "them."
        )
        raise ModelError(msg)
