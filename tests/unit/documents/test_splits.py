from pathlib import Path

import pytest

from autoseg.core.errors import DocumentError
from autoseg.documents import store
from autoseg.documents.splits import Splits


def test_splits_without_a_fold_are_refused(tmp_path: Path):
    (tmp_path / "splits.json").write_text('{"seed": 0, "reason": "edited", "folds": []}')
    with pytest.raises(DocumentError, match=r"folds: .*at least 1 item"):
        store.load(Splits, tmp_path / "splits.json")
