"""JSON of others is read without surprises."""

import pytest

from autoseg.core.json_text import parse_json, read_json, whole_number


@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, '"\\ud800"', "9" * 5000, b"\xff", "{"])
def test_what_python_stumbles_over_later_is_refused_as_invalid(text) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": "é"}', encoding="utf-8-sig")
    assert read_json(path) == {"a": "é"}


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), ("²", None), ("٣", None), ("-1", None), ("", None), ("9" * 5000, None)],
)
def test_only_decimal_digits_are_a_number(text, number) -> None:
    assert whole_number(text) == number
