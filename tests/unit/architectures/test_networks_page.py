"""The page about networks says what is so."""

import re
import runpy
from pathlib import Path

from autoseg.architectures import ARCHITECTURES

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "pages" / "networks.md").read_text(encoding="utf-8")


def test_every_network_has_a_line():
    assert set(re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$", PAGE, re.M)) == {
        *ARCHITECTURES
    }


def test_the_stated_numbers_of_parameters_are_those_of_the_networks():
    table = runpy.run_path(str(DOCS / "benchmarks" / "network_parameters.py"))["table"]()
    assert "\n" + "\n".join(table) + "\n\n" in PAGE
    assert len(table) > 10
