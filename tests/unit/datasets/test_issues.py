"""What is wrong with many cases alike is said once."""

from autoseg.datasets.issues import CaseIssue, format_issues


def test_a_issue_of_all_cases_is_said_once() -> None:
    issues = [CaseIssue(f"case_{index}", "It is odd.", "Make it even.") for index in range(5)]
    assert format_issues(issues, 5) == "  all 5 cases\n    - It is odd. Make it even."


def test_a_issue_of_many_cases_names_some_of_them_and_comes_first() -> None:
    issues = [CaseIssue("a", "a.png: it is blue.")]
    issues += [CaseIssue(f"b_{index}", f"b_{index}.nii.gz: it is odd.") for index in range(4)]
    issues += [CaseIssue(f"b_{index}", "It is small.") for index in range(4)]
    assert format_issues(issues, 9).splitlines() == [
        "  4 cases (b_0, b_1, b_2 and 1 more)",
        "    - *.nii.gz: it is odd.",
        "    - It is small.",
        "  a",
        "    - a.png: it is blue.",
    ]


def test_all_that_is_wrong_with_one_case_stands_below_it() -> None:
    issues = [CaseIssue("b", "b_0001.png is red."), CaseIssue("a", "ab.png is red.")]
    issues.append(CaseIssue("b", "b.png is blue."))
    assert format_issues(issues).splitlines() == [
        "  a",
        "    - ab.png is red.",
        "  b",
        "    - b_0001.png is red.",
        "    - b.png is blue.",
    ]
