"""`autoseg view`: show images, references and predictions in the browser."""

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread

from autoseg.core.errors import AutosegError, DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.core.interrupt import interrupt_on_sigterm
from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Progress
from autoseg.core.reading_process import READING
from autoseg.datasets.containers import labels_in
from autoseg.datasets.inputs import MAX_CHANNELS, InputCase, find_inputs
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.report import Report
from autoseg.documents.selection import Selection
from autoseg.documents.workspace import Workspace
from autoseg.readers import ending_of, is_image_name, label_ending, stem_of
from autoseg.readers.names import channel_of, without_channel_suffix
from autoseg.stages.evaluate.evaluate import files_by_name
from autoseg.viewing.cases import LabelFile, ViewerCase, Viewing, worst_first
from autoseg.viewing.server import HOST, create_app, new_token, open_socket, serve

Scores = dict[str, ViewerCase]
"""Scores of cases by their names, in cases without files."""


@dataclass(frozen=True)
class ServerOptions:
    """Options of the server.

    Attributes:
        port: Number of the port; None for a free one.
        opens_browser: Whether to open the page in a browser.
        max_voxels: Greatest number of voxels of a channel that is sent to the browser.
    """

    port: int | None
    opens_browser: bool
    max_voxels: int


def view(viewing: Viewing, options: ServerOptions, progress: Progress) -> None:
    """Serve the page until Ctrl-C.

    Args:
        viewing: The cases.
        options: Options of the server.
        progress: Receives the address of the page.

    Raises:
        AutosegError: If the port cannot be used, or a package is missing.
    """
    token = new_token()
    app = create_app(viewing, token, options.max_voxels)
    READING.start()  # before the server starts threads
    with open_socket(options.port) as listening:
        url = f"http://{HOST}:{listening.getsockname()[1]}/?token={token}"
        progress.say(f"{format_count(len(viewing.cases), 'case')} at {url} (Ctrl-C ends it)")
        progress.begin(f"showing {viewing.title}")
        if options.opens_browser:  # a text browser would only return when it is closed
            Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        try:
            with interrupt_on_sigterm():
                serve(app, listening)
        except KeyboardInterrupt:  # the way to end it
            return


def started_at(viewing: Viewing, name: str | None) -> Viewing:
    """Return the cases with the one of a name shown first.

    Raises:
        DatasetError: If there is none.
    """
    if name is None:
        return viewing
    names = [case.name for case in viewing.cases]
    if name not in names:
        msg = f"found no case {name!r}; expected one of {format_names(sorted(names))}."
        raise DatasetError(msg)
    return replace(viewing, start=names.index(name))


def image_cases(
    images: Path,
    reference: Path | None = None,
    predictions: Sequence[Path] = (),
    *,
    labels: LabelScheme | None = None,
    series: Sequence[str] = (),
) -> Viewing:
    """Find the cases of an image or of a folder of images, with label maps of the same names.

    Args:
        images: An image, or a folder.
        reference: Label map of the image, or folder of label maps.
        predictions: The same, of one or several predictions. If the first one is a folder with
            scores of `autoseg evaluate`, the cases are sorted by them.
        labels: The classes; None to show every value except 0.
        series: Patterns of the descriptions of DICOM series.

    Raises:
        DatasetError: If there is no image, or no label map of a folder has the name of one.
    """
    found = _with_channels(find_inputs(images, num_channels=1, series=series))
    names = [case.name for case in found]
    references = {} if reference is None else _label_maps(reference, names)
    predicted = [(_title(path, predictions), _label_maps(path, names)) for path in predictions]
    scores: Scores = {}
    if predictions and predictions[0].is_dir():
        scores = _scores(predictions[0] / Report.FILE_NAME)
    cases = []
    for case in found:
        scored = scores.get(case.name, ViewerCase(case.name, ()))
        files = [LabelFile(name, maps[case.name]) for name, maps in predicted if case.name in maps]
        cases.append(
            replace(
                scored,
                images=() if case.issue else case.images,
                reference=references.get(case.name),
                predictions=tuple(files),
                issue=case.issue or scored.issue,
            )
        )
    return Viewing(title=images.resolve().name, cases=worst_first(cases), labels=labels)


def work_cases(workspace: Workspace, dataset: DatasetSpec) -> Viewing:
    """Collect the cases of a planned dataset with the held-out predictions of all trained folds.

    Test cases have the predictions of `autoseg test`.

    The cases are sorted by the scores of the selected configuration, otherwise by those of the
    first one.

    Args:
        workspace: Work folder.
        dataset: Description of the dataset.
    """
    names = sorted(path.name for path in workspace.models.glob("*") if path.is_dir())
    selection = store.load_if_valid(Selection, workspace.selection)
    if selection is not None:
        names.sort(key=lambda name: name not in selection.members)
    folders = [
        LabelFile(name, folder)
        for name in names
        for folder in sorted((workspace.models / name).glob("fold_*/validation"))
    ]
    predicted: dict[str, list[LabelFile]] = {}
    scores: Scores = {}
    for file in (*folders, LabelFile("test", workspace.test)):
        for case, scored in _scores(file.path / Report.FILE_NAME).items():
            scores.setdefault(case, scored)
            predicted.setdefault(case, []).append(file)
    cases = [
        replace(
            scores.get(case.name, ViewerCase(case.name, ())),
            images=case.images,
            reference=case.labels,
            predictions=tuple(
                replace(file, path=_label_map(file.path, case))
                for file in predicted.get(case.name, ())
            ),
        )
        for case in (*dataset.cases, *dataset.test_cases)
    ]
    return Viewing(dataset.name, worst_first(cases), dataset.labels, dataset.channel_names)


def _label_map(folder: Path, case: CaseFiles) -> Path:
    """Return the path of the predicted label map of a case in a folder."""
    return folder / f"{case.name}{label_ending(ending_of(case.images[0]))}"


def _scores(path: Path) -> Scores:
    """Load the scores of a report; empty if it is missing or not valid."""
    report = store.load_if_valid(Report, path)
    if report is None:
        return {}
    names = [entry.name for entry in report.classes]
    scores = {
        issue.name: ViewerCase(issue.name, (), issue=issue.message) for issue in report.issues
    }
    for case in report.cases:
        known = {
            name: entry.dice
            for name, entry in zip(names, case.classes, strict=False)
            if entry.dice is not None
        }
        mean = sum(known.values()) / len(known) if known else None
        scores[case.name] = ViewerCase(case.name, (), dice=mean, class_dice=known)
    return scores


def _with_channels(cases: Sequence[InputCase]) -> list[InputCase]:
    """Merge cases whose files are numbered _0000, _0001 … without a gap: channels of one case."""
    numbered: dict[str, dict[int | None, InputCase]] = {}
    for case in cases:
        number = None if case.issue else channel_of(case.name)
        stem = case.name if number is None else without_channel_suffix(case.name)
        numbered.setdefault(stem, {})[number] = case
    merged = []
    for stem, parts in numbered.items():
        numbers = sorted(number for number in parts if number is not None)
        if 1 < len(parts) <= MAX_CHANNELS and numbers == list(range(len(parts))):
            images = tuple(path for number in numbers for path in parts[number].images)
            merged.append(replace(parts[0], name=stem, images=images))
        else:
            merged.extend(parts.values())
    return merged


def _label_maps(path: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the label maps of cases by their names.

    Args:
        path: A folder, or the label map of the only case.
        names: Names of the cases.

    Raises:
        DatasetError: If there is none.
    """
    if path.is_dir() and not is_image_name(path):
        found = {name: file for name, file in files_by_name(path).items() if name in names}
        if not found:
            msg = (
                f"no label map in {path} has the name of an image, such as {format_names(names, 3)}"
                ". Name label maps like their images; only the extensions may differ."
            )
            raise DatasetError(msg)
    elif len(names) == 1:
        found = {names[0]: path}
    else:
        msg = (
            f"{path} is not a folder, but there are {len(names)} images. Give the folder of their "
            "label maps, or a single image."
        )
        raise DatasetError(msg)
    return {name: _labels_of(file) for name, file in found.items()}


def _labels_of(path: Path) -> Path:
    """Return the path of the labels in a file; a file that cannot be read is kept for the page."""
    try:
        return labels_in(path)
    except AutosegError:
        return path


def _title(path: Path, paths: Sequence[Path]) -> str:
    """Return the name of a prediction: that of its folder or file if it is the only such name."""
    is_unique = [other.resolve().name for other in paths].count(path.resolve().name) == 1
    return stem_of(path.resolve()) if is_unique else str(path)
