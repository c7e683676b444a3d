import json

import pytest
from archetypes import ARCHETYPES, planned


@pytest.mark.parametrize("path", ARCHETYPES, ids=lambda path: path.stem)
def test_an_archetypal_dataset_is_planned_as_before(path):
    archetype = json.loads(path.read_text())
    assert planned(archetype) == archetype["plan"], (
        "if the change is wanted, run `python tests/archetypes.py` and read the diff"
    )
