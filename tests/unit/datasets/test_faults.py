"""What is wrong with many cases alike is said once."""

from autoseg.datasets.faults import CaseFault, listed


def test_a_fault_of_all_cases_is_said_once() -> None:
    faults = [CaseFault(f"case_{index}", "It is odd.", "Make it even.") for index in range(5)]
    assert listed(faults, 5) == "  all 5 cases\n    - It is odd. Make it even."


def test_a_fault_of_many_cases_names_some_of_them_and_comes_first() -> None:
    faults = [CaseFault("a", "a.png: it is blue.")]
    faults += [CaseFault(f"b_{index}", f"b_{index}.nii.gz: it is odd.") for index in range(4)]
    faults += [CaseFault(f"b_{index}", "It is small.") for index in range(4)]
    assert listed(faults, 9).splitlines() == [
        "  4 cases (b_0, b_1, b_2 …)",
        "    - *.nii.gz: it is odd.",
        "    - It is small.",
        "  a",
        "    - a.png: it is blue.",
    ]


def test_all_that_is_wrong_with_one_case_stands_below_it() -> None:
    faults = [CaseFault("b", "b_0001.png is red."), CaseFault("a", "ab.png is red.")]
    faults.append(CaseFault("b", "b.png is blue."))
    assert listed(faults).splitlines() == [
        "  a",
        "    - ab.png is red.",
        "  b",
        "    - b_0001.png is red.",
        "    - b.png is blue.",
    ]
