"""Find the test set of a dataset, which is only used for scoring.

It is stored in `imagesTs` and `labelsTs`, in `test/images` and `test/labels`, or listed as `test`
in the dataset.json. Test images without labels, as published by challenges, are only reported; they
can be segmented with `autoseg predict`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.layouts.decathlon import listed_cases
from autoseg.datasets.layouts.description import Description, labelled_pairs
from autoseg.datasets.layouts.pairing import FoundCases, complete_cases, image_files, pair_by_stem
from autoseg.documents.dataset import CaseFiles
from autoseg.documents.splits import Fold
from autoseg.readers import stem_of

FOLDER_PAIRS = (("imagesTs", "labelsTs"), ("test/images", "test/labels"))


@dataclass(frozen=True)
class FoundTestCases:
    """The test cases of a dataset.

    Attributes:
        cases: Cases that have all their files, sorted by name.
        notes: Sentences about the test set, and about cases that are left out.
    """

    cases: tuple[CaseFiles, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Found:
    """Test cases in one place, and the number of images without labels."""

    place: str
    cases: FoundCases = field(default_factory=lambda: FoundCases(()))
    num_unlabelled: int = 0


def find_test_set(
    root: Path, description: Description | None, training: tuple[CaseFiles, ...]
) -> FoundTestCases:
    """Find the labelled test cases of a dataset; the first place that has some is used.

    Args:
        root: Folder of the dataset.
        description: Content of its dataset.json; None without one.
        training: Training cases.

    Raises:
        DatasetError: If an image is both in the training set and in the test set.
    """
    places = [_listed(root, description)] if description is not None else []
    places += [_in_folders(root, *names, description) for names in FOLDER_PAIRS]
    found = next((place for place in places if place.cases.cases or place.cases.issues), None)
    if found is None:
        unlabelled = next((place for place in places if place.num_unlabelled), None)
        return FoundTestCases(notes=() if unlabelled is None else (_unlabelled_note(unlabelled),))
    _check_disjoint(found.cases.cases, training)
    notes = [
        f"test case {issue.case} is left out: {issue.sentence}" for issue in found.cases.issues
    ]
    if found.cases.cases:
        number = len(found.cases.cases)
        notes.insert(
            0,
            f"{format_count(number, 'test case')} in {found.place} "
            f"{'is' if number == 1 else 'are'} not used for training; `autoseg test` scores "
            f"{'it' if number == 1 else 'them'}.",
        )
    if found.num_unlabelled:
        notes.append(_unlabelled_note(found))
    return FoundTestCases(
        cases=tuple(sorted(found.cases.cases, key=lambda case: case.name)), notes=tuple(notes)
    )


def folds_without(folds: tuple[Fold, ...], moved: Collection[str]) -> tuple[Fold, ...]:
    """Return folds without cases that became test cases; none if a fold loses all its cases."""
    left = [
        tuple(tuple(name for name in side if name not in moved) for side in sides)
        for sides in ((fold.train, fold.validation) for fold in folds)
    ]
    are_complete = all(train and held_out for train, held_out in left)
    return tuple(Fold(train=t, validation=v) for t, v in left) if are_complete else ()


def _listed(root: Path, description: Description) -> _Found:
    """Return the test cases listed in a dataset.json; the Decathlon lists images without labels."""
    entries = description.test if isinstance(description.test, list) else []
    pairs = labelled_pairs(entries)
    return _Found(
        place="dataset.json",
        cases=complete_cases(listed_cases(root, pairs), root),
        num_unlabelled=len(entries) - len(pairs),
    )


def _in_folders(root: Path, images: str, labels: str, description: Description | None) -> _Found:
    """Return the test cases in an image folder and a label folder."""
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


def _check_disjoint(test: tuple[CaseFiles, ...], training: tuple[CaseFiles, ...]) -> None:
    """Check that no image is both in the training set and in the test set."""
    trained = {path.resolve() for case in training for path in case.images}
    both = [case.name for case in test if trained & {path.resolve() for path in case.images}]
    if both:
        raise DatasetError(
            f"{len(both)} cases are in both the training set and the test set (leakage): "
            f"{format_names(both)}. Remove them from one of the two."
        )


def _unlabelled_note(found: _Found) -> str:
    return (
        f"{found.num_unlabelled} test images in {found.place} have no labels and are not used; "
        "segment them with `autoseg predict`."
    )
