import pytest

from autoseg.core.formatting import (
    format_budget,
    format_cases,
    format_count,
    format_duration,
    format_folds,
    format_megabytes,
    format_names,
    format_number,
    format_percent,
    format_shape,
    format_stages,
    format_value,
    printable,
)


@pytest.mark.parametrize(("number", "text"), [(0, "0 cases"), (1, "1 case"), (2, "2 cases")])
def test_only_one_thing_is_singular(number: int, text: str) -> None:
    assert format_count(number, "case") == text


def test_numbers_have_four_digits_and_a_complete_integer_part() -> None:
    numbers = (0.00012344, 1.23456, -7, 999.96, 123456.7)
    assert [format_number(number) for number in numbers] == [
        "0.0001234",
        "1.235",
        "-7",
        "1000",
        "123457",
    ]


def test_numbers_can_have_fewer_digits() -> None:
    numbers = (0.0001234, 1.234, 99.96, 100.4, 123456.7)
    assert [format_number(number, 3) for number in numbers] == [
        "0.000123",
        "1.23",
        "100",
        "100",
        "123457",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.01234, "0.0123 s"),
        (0.0, "0 s"),
        (119.0, "119 s"),
        (150.0, "2.5 min"),
        (1800.0, "30 min"),
        (8100.0, "2.25 h"),
        (2e5, "2.31 days"),
    ],
)
def test_durations_have_a_suitable_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(44.1, "45s"), (90.0, "90s"), (121.0, "3m")])
def test_a_budget_is_rounded_up(seconds: float, text: str) -> None:
    assert format_budget(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.05, "5 %"), (0.3333, "33 %"), (0.00034, "0.034 %"), (1.0, "100 %")]
)
def test_percent_have_two_digits(share: float, text: str) -> None:
    assert format_percent(share) == text


def test_percent_near_a_threshold_can_have_more_digits() -> None:
    assert format_percent(0.24968, 4) == "24.97 %"


def test_shapes_and_spacings_are_formatted_alike() -> None:
    assert format_shape((12, 40, 38)) == "12 × 40 × 38"
    assert format_shape((2.5, 0.9765625)) == "2.5 × 0.9766"
    assert format_stages([(1, 1), (1, 2)]) == "11 12"


def test_an_unknown_value_is_a_dash() -> None:
    assert [format_value(0.91234), format_value(None), format_value(7, "d")] == ["0.912", "–", "7"]


def test_long_lists_end_with_the_number_of_further_names() -> None:
    assert format_names("abcde") == "a, b, c, d, e"
    assert format_names("abcdefg") == "a, b, c, d, e and 2 more"
    assert format_names([1, 2, 3], 2) == "1, 2 and 1 more"


def test_cases_are_counted_unless_there_is_only_one() -> None:
    assert format_cases(["a"]) == "a"
    assert format_cases(["a", "b"]) == "2 cases (a, b)"
    assert format_cases(["a", "b", "c", "d"]) == "4 cases (a, b, c and 1 more)"


def test_folds_and_files_are_formatted() -> None:
    assert format_folds(["all"]) == "fold all"
    assert format_folds([0, 2]) == "folds 0, 2"
    assert format_megabytes(12_340_000) == "12.3 MB"


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[31mb\n\tc") == "a\\x1b[31mb\n\tc"
    assert printable("caf\udce9 5\u00a0mm") == "caf\\xe9 5\u00a0mm"
