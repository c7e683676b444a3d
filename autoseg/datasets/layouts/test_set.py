"""Cases of a test set, which lies beside the training cases and is only ever scored.

`imagesTs` with `labelsTs`, `test/images` with `test/labels`, or pairs listed as `test` in the
dataset.json. Test images without labels, as challenges publish them, are none of autoseg's business
but for `predict`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autoseg.core.errors import DatasetError
from autoseg.datasets.issues import CaseIssue
from autoseg.datasets.layouts.decathlon import listed_cases
from autoseg.datasets.layouts.description import Description, TrainingPair
from autoseg.datasets.layouts.pairing import FoundCases, complete_cases, image_files, pair_by_stem
from autoseg.documents.dataset import CaseFiles
from autoseg.readers import stem_of

FOLDER_PAIRS = (("imagesTs", "labelsTs"), ("test/images", "test/labels"))


@dataclass(frozen=True)
class FoundTestCases:
    """The test cases of a dataset.

    Attributes:
        cases: Those that have all their files, sorted by name.
        notes: Sentences on what was found, and on what is left out.
    """

    cases: tuple[CaseFiles, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Found:
    """Test cases in one place, and images there that have no labels."""

    place: str
    cases: FoundCases = field(default_factory=lambda: FoundCases(()))
    num_unlabelled: int = 0


def find_test_set(
    root: Path, description: Description | None, training: tuple[CaseFiles, ...]
) -> FoundTestCases:
    """Return the test cases that have labels, from the first place that has some.

    Args:
        root: The dataset's folder.
        description: What its dataset.json says.
        training: The cases that are trained on.

    Raises:
        DatasetError: If a test image is that of a training case.
    """
    places = [_listed(root, description)] if description is not None else []
    places += [_in_folders(root, *names, description) for names in FOLDER_PAIRS]
    found = next((place for place in places if place.cases.cases or place.cases.issues), None)
    if found is None:
        unlabelled = next((place for place in places if place.num_unlabelled), None)
        return FoundTestCases(notes=() if unlabelled is None else (_told_unlabelled(unlabelled),))
    _check_apart(found.cases.cases, training)
    notes = [_told_left_out(issue) for issue in found.cases.issues]
    if found.cases.cases:
        notes.insert(
            0,
            f"{len(found.cases.cases)} test cases in {found.place} are scored by `autoseg test` "
            "and never trained on.",
        )
    if found.num_unlabelled:
        notes.append(_told_unlabelled(found))
    return FoundTestCases(
        cases=tuple(sorted(found.cases.cases, key=lambda case: case.name)), notes=tuple(notes)
    )


def _listed(root: Path, description: Description) -> _Found:
    """Return what the dataset.json lists as `test`; images alone are the Decathlon's habit."""
    entries = description.test if isinstance(description.test, list) else []
    pairs = [pair for entry in entries if (pair := _pair(entry)) is not None]
    return _Found(
        place="dataset.json",
        cases=complete_cases(listed_cases(root, tuple(pairs)), root),
        num_unlabelled=len(entries) - len(pairs),
    )


def _pair(entry: Any) -> TrainingPair | None:  # noqa: ANN401  (others wrote it)
    try:
        return TrainingPair.model_validate(entry)
    except ValidationError:
        return None


def _in_folders(root: Path, images: str, labels: str, description: Description | None) -> _Found:
    """Return the pairs of files in two folders."""
    if not (root / images).is_dir():
        return _Found(place=images)
    ending = description.file_ending if description else None
    pictures = image_files(root / images, preferred_ending=ending)
    if not (root / labels).is_dir():
        return _Found(place=images, num_unlabelled=len(pictures))
    maps = image_files(root / labels, preferred_ending=ending)
    found = pair_by_stem(pictures, maps)
    labelled = {stem_of(path) for path in maps}
    issues = tuple(issue for issue in found.issues if issue.case in labelled)
    return _Found(
        place=images,
        cases=FoundCases(found.cases, issues),
        num_unlabelled=len(found.issues) - len(issues),
    )


def _check_apart(test: tuple[CaseFiles, ...], training: tuple[CaseFiles, ...]) -> None:
    """Check that no image is both trained on and tested.

    Raises:
        DatasetError: If one is.
    """
    trained = {path.resolve() for case in training for path in case.images}
    both = [case.name for case in test if trained & {path.resolve() for path in case.images}]
    if both:
        more = " …" if len(both) > 5 else ""
        msg = (
            f"{len(both)} cases are trained on and in the test set: {', '.join(both[:5])}{more}. "
            "Their scores would be of cases that the model knows: remove them from one of the two."
        )
        raise DatasetError(msg)


def _told_left_out(issue: CaseIssue) -> str:
    return f"test case {issue.case} is left out: {issue.sentence}"


def _told_unlabelled(found: _Found) -> str:
    return (
        f"{found.num_unlabelled} test images in {found.place} have no labels and are not used; "
        "`autoseg predict` segments them."
    )
