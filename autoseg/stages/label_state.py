"""Notice that label files have changed since predictions were scored against them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.documents.dataset import CaseFiles
from autoseg.documents.report import Report
from autoseg.readers import companion_files


def label_state(files: Mapping[str, Path]) -> str | None:
    """Return a hash over size and time of label files, by case; None if one is not there.

    It does not depend on the folder, so that moved files count as unchanged.
    """
    try:
        sizes = [
            (case, [_size_and_time(path) for path in (files[case], *companion_files(files[case]))])
            for case in sorted(files)
        ]
    except OSError:
        return None
    return hashlib.sha256(json.dumps(sizes).encode()).hexdigest()


def have_labels_changed(report: Report, cases: Sequence[CaseFiles]) -> bool:
    """Return whether cases have other label files now than when they were scored.

    Those that have been taken away, and those of a report that does not tell, count as unchanged.
    """
    now = label_state({case.name: case.labels for case in cases})
    return None not in (report.label_state, now) and report.label_state != now


def _size_and_time(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns
