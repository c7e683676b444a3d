from command_line import LISTING, listing


def test_commands_and_options_are_as_before():
    assert listing() == LISTING.read_text(encoding="utf-8"), (
        "if the change is wanted, run `python tests/command_line.py`, read the diff, and look for "
        "the old spelling in README.md and docs/pages"
    )
