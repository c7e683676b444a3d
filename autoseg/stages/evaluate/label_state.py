"""Detect label files that have changed since predictions were scored against them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.documents.dataset import CaseFiles
from autoseg.documents.report import Report
from autoseg.readers import storage_of, storage_state


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


def have_labels_changed(report: Report, cases: Sequence[CaseFiles]) -> bool:
    """Return True if the label files of cases have changed since they were scored.

    Missing files, and reports without a label state, count as unchanged.

    Args:
        report: Report of the scored cases.
        cases: The same cases with their current files.
    """
    current = label_state({case.name: case.labels for case in cases})
    return None not in (report.label_state, current) and report.label_state != current
