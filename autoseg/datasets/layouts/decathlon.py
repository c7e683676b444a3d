"""Medical Segmentation Decathlon: a dataset.json that lists pairs of image and label files.

An image is one file with all channels, or a list with one file per channel.
"""

import glob
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoseg.core.labels import LabelScheme
from autoseg.datasets.layouts.declared_labels import IGNORE
from autoseg.datasets.layouts.description import Description, TrainingPair, labelled_pairs
from autoseg.datasets.layouts.pairing import (
    FoundCases,
    complete_cases,
    listed_path,
    relative_to_root,
)
from autoseg.documents.dataset import CaseFiles, DatasetSpec, is_valid_folder_name
from autoseg.documents.splits import Fold
from autoseg.readers import ending_of, exists, stem_of
from autoseg.readers.names import channel_of, without_channel_suffix

NAME = "decathlon"


def find_cases(root: Path, description: Description | None) -> FoundCases | None:
    """Return the cases of a dataset, or None if it does not have this layout."""
    if description is None or not description.training:
        return None
    held_out = labelled_pairs(description.validation)
    pairs = (*description.training, *held_out)
    listed = listed_cases(root, pairs)
    names = [case.name for case in listed]
    found = complete_cases(listed, root)
    listed_held_out = description.validation
    number = len(listed_held_out) if isinstance(listed_held_out, list) else 0
    unlabelled = number - len(held_out)
    if unlabelled:
        note = f"{unlabelled} entries of validation in dataset.json have no label and are not used"
        found = replace(found, notes=(note,))
    if held_out:
        number = len(description.training)
        return replace(found, folds=_folds(names, [(range(number), range(number, len(names)))]))
    folds = [pair.fold for pair in description.training]
    parts = [
        (
            [place for place, fold in enumerate(folds) if fold != number],
            [place for place, fold in enumerate(folds) if fold == number],
        )
        for number in sorted({fold for fold in folds if fold is not None})
    ]
    are_complete = all(train for train, _ in parts)
    return replace(found, folds=_folds(names, parts)) if are_complete else found


def _folds(
    names: Sequence[str], parts: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> tuple[Fold, ...]:
    """Return folds of the cases at some places of a list, without those of invalid names."""

    def named(places: Sequence[int]) -> tuple[str, ...]:
        return tuple(name for name in map(names.__getitem__, places) if is_valid_folder_name(name))

    return tuple(
        Fold(train=named(train), validation=named(validation))
        for train, validation in parts
        if named(train)
    )


def listed_cases(root: Path, pairs: tuple[TrainingPair, ...]) -> list[CaseFiles]:
    """Return the cases listed in a dataset.json, whether or not their files exist."""
    return _unique_names([_case_files(root, pair) for pair in pairs], root)


def _case_files(root: Path, pair: TrainingPair) -> CaseFiles:
    listed = (pair.image,) if isinstance(pair.image, str) else pair.image
    images = tuple(listed_path(root, name) for name in listed)
    labels = listed_path(root, pair.label)
    if len(images) == 1 and not exists(images[0]):
        images = _numbered_files(images[0]) or images
    if pair.case is not None:
        return CaseFiles(name=pair.case, images=images, labels=labels)
    stem = stem_of(images[0])
    if len(images) > 1 or without_channel_suffix(stem) == stem_of(labels):
        stem = without_channel_suffix(stem)
    return CaseFiles(name=stem, images=images, labels=labels)


def _numbered_files(path: Path) -> tuple[Path, ...]:
    """Return CASE_0000.nii.gz, CASE_0001.nii.gz … for CASE.nii.gz in the dataset.json.

    The first version of nnU-Net wrote its dataset.json in this way.
    """
    files = sorted(path.parent.glob(f"{glob.escape(stem_of(path))}_????{ending_of(path)}"))
    return tuple(file for file in files if channel_of(stem_of(file)) is not None)


def _unique_names(cases: list[CaseFiles], root: Path) -> list[CaseFiles]:
    """Rename the cases after their whole image paths if any names collide."""
    if len({case.name for case in cases}) == len(cases):
        return cases
    paths = [relative_to_root(case.images[0].with_name(case.name), root) for case in cases]
    names = [path.lstrip("./").replace("/", "_") for path in paths]
    return [case.model_copy(update={"name": name}) for case, name in zip(cases, names, strict=True)]


def written_description(spec: DatasetSpec, folder: Path) -> dict[str, object]:
    """Return the content of a dataset.json that `find_cases` reads back to the same cases.

    Args:
        spec: The dataset.
        folder: Folder of the dataset.json; paths of files in it are relative to it.
    """
    single = spec.splits[0] if len(spec.splits) == 1 else None
    held_out = set(single.validation if single else ())
    fold_of = {
        name: number
        for number, fold in enumerate(spec.splits if single is None else ())
        for name in fold.validation
    }

    def entry(case: CaseFiles) -> dict[str, object]:
        images = [relative_to_root(path, folder) for path in case.images]
        fold = {"fold": fold_of[case.name]} if case.name in fold_of else {}
        return {
            "image": images[0] if len(images) == 1 else images,
            "label": relative_to_root(case.labels, folder),
            "case": case.name,
            **fold,
        }

    cases = (*spec.cases, *spec.test_cases)
    labels = spec.labels
    regions = {"regions_class_order": [region.written_as for region in labels.regions]}
    groups = {case.name: case.group for case in cases if case.group is not None}
    return {
        "name": spec.name,
        "channel_names": {str(number): name for number, name in enumerate(spec.channel_names)},
        "labels": _written_labels(labels),
        **(regions if labels.regions else {}),
        "training": [entry(case) for case in spec.cases if case.name not in held_out],
        "validation": [entry(case) for case in spec.cases if case.name in held_out],
        "test": [entry(case) for case in spec.test_cases],
        **({"groups": groups} if groups else {}),
    }


def _written_labels(labels: LabelScheme) -> dict[str, object]:
    background: dict[str, object] = {labels.names[0]: labels.values[0]}
    ignore: dict[str, object] = {} if labels.ignore is None else {IGNORE: labels.ignore}
    if labels.regions:
        return background | {region.name: list(region.values) for region in labels.regions} | ignore
    return {**dict(zip(labels.names, labels.values, strict=True)), **ignore}
