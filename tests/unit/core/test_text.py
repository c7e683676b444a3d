import pytest

from autoseg.core.text import count_noun


@pytest.mark.parametrize(("number", "text"), [(0, "0 cases"), (1, "1 case"), (2, "2 cases")])
def test_only_one_thing_is_singular(number: int, text: str) -> None:
    assert count_noun(number, "case") == text
