"""Label maps of pairs are made again when their probabilities are newer."""

import os
from pathlib import Path

from autoseg.documents.dataset import CaseFiles
from autoseg.inference.probabilities import ProbabilityGrid
from autoseg.stages.select.ensembles import EnsembleTask


def test_a_label_map_that_is_older_than_its_probabilities_is_made_again(tmp_path: Path) -> None:
    sources = (tmp_path / "a", tmp_path / "b")
    for source in sources:
        source.mkdir()
        (source / ProbabilityGrid.FILE_NAME).write_text("{}")
        os.utime(source / ProbabilityGrid.FILE_NAME, (100, 100))
    case = CaseFiles(name="case", images=(tmp_path / "image.png",), labels=tmp_path / "labels.png")
    task = EnsembleTask(case=case, sources=sources, output=tmp_path / "case.png")
    assert not task.is_done
    task.output.write_text("")
    os.utime(task.output, (200, 200))
    assert task.is_done
    os.utime(sources[1] / ProbabilityGrid.FILE_NAME, (300, 300))
    assert not task.is_done
    (sources[1] / ProbabilityGrid.FILE_NAME).unlink()
    assert not task.is_done
