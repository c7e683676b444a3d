"""Label maps of pairs are made again when their probabilities are newer."""

import os
from pathlib import Path

from autoseg.inference.probabilities import ProbabilityGrid
from autoseg.stages.evaluate.evaluate import LabelMapPair
from autoseg.stages.select.ensembles import is_current


def test_a_label_map_that_is_older_than_its_probabilities_is_made_again(tmp_path: Path) -> None:
    sources = (tmp_path / "a", tmp_path / "b")
    for source in sources:
        source.mkdir()
        (source / ProbabilityGrid.FILE_NAME).write_text("{}")
        os.utime(source / ProbabilityGrid.FILE_NAME, (100, 100))
    pair = LabelMapPair("case", tmp_path / "case.png", tmp_path / "labels.png", sources)
    assert not is_current(pair)
    pair.prediction.write_text("")
    os.utime(pair.prediction, (200, 200))
    assert is_current(pair)
    os.utime(sources[1] / ProbabilityGrid.FILE_NAME, (300, 300))
    assert not is_current(pair)
    (sources[1] / ProbabilityGrid.FILE_NAME).unlink()
    assert not is_current(pair)
