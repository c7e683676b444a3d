"""Detect label files that have changed since predictions were scored against them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from autoseg.core.errors import CaseError
from autoseg.documents.dataset import CaseFiles
from autoseg.documents.report import Report
from autoseg.readers import storage_of, storage_state
from autoseg.readers.storage import storage_digest


def label_state(files: Mapping[str, Path]) -> str | None:
    """Hash the size and modification time of label files; None if a file is missing.

    The hash does not depend on the folder, so moved files count as unchanged.

    Args:
        files: Label file of each case.
    """
    try:
        states = [
            (case, [storage_state(path) for path in storage_of(files[case])])
            for case in sorted(files)
        ]
    except OSError:
        return None
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()


def label_content(files: Mapping[str, Path]) -> str | None:
    """Hash the content of label files; None if a file is missing.

    Args:
        files: Label file of each case.
    """
    digest = hashlib.sha256()
    digest_of = cache(storage_digest)  # one file may hold the labels of all cases
    try:
        for case in sorted(files):
            parts = [digest_of(path) for path in storage_of(files[case])]
            digest.update(json.dumps([case, parts]).encode())
    except (OSError, CaseError):
        return None
    return digest.hexdigest()


def have_labels_changed(report: Report, cases: Sequence[CaseFiles]) -> bool:
    """Return True if the label files of cases have changed since they were scored.

    Missing files, and reports without a label state, count as unchanged. Their content is only read
    if size or times have changed, as they do in a copy.

    Args:
        report: Report of the scored cases.
        cases: The same cases with their current files.
    """
    files = {case.name: case.labels for case in cases}
    current = label_state(files)
    if None in (report.label_state, current) or report.label_state == current:
        return False
    return report.label_content is None or report.label_content != label_content(files)
