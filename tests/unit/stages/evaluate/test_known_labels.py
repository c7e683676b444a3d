import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_picture

from autoseg.core.errors import DatasetError
from autoseg.stages.evaluate.known_labels import known_labels

REGIONS = {
    "labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3},
    "regions_class_order": [1, 2],
}


@pytest.mark.parametrize("name", ["dataset.json", "challenge.json"])
def test_a_description_tells_regions_and_the_ignore_value(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(REGIONS))
    labels = known_labels(path)
    assert [region.values for region in labels.regions] == [(1, 2), (2,)]
    assert labels.ignore == 3


def test_a_folder_with_a_description_is_enough(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"nucleus": 255}}))
    labels = known_labels(tmp_path)
    assert (labels.names, labels.values) == (("background", "nucleus"), (0, 255))


def test_a_dataset_without_json_is_looked_through(tmp_path: Path) -> None:
    picture = np.zeros((8, 8), np.uint8)
    picture[2:4] = 7
    write_picture(picture, tmp_path / "images" / "a.png")
    write_picture(picture, tmp_path / "labels" / "a.png")
    assert known_labels(tmp_path).values == (0, 7)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "does not exist"), ("{}", "declares no labels"), ("[1]", "one JSON object")],
)
def test_a_file_that_says_nothing_is_explained(tmp_path: Path, content, words: str) -> None:
    path = tmp_path / "dataset.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DatasetError, match=words):
        known_labels(path)
