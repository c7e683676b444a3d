"""The page about networks says what is so."""

import re
import runpy
from pathlib import Path

from autoseg.architectures import ARCHITECTURES
from autoseg.architectures.encoders import backbones

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "pages" / "networks.md").read_text(encoding="utf-8")


def test_every_network_has_a_line():
    assert set(re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$", PAGE, re.M)) == {
        *ARCHITECTURES
    }


SCRIPT = runpy.run_path(str(DOCS / "benchmarks" / "network_parameters.py"))


def test_the_stated_numbers_of_parameters_are_those_of_the_networks():
    table = SCRIPT["table"]()
    assert "\n" + "\n".join(table) + "\n\n" in PAGE
    assert len(table) > 10


def test_every_encoder_has_a_line_with_its_numbers_of_parameters():
    assert {*SCRIPT["PUBLISHED"]} == {*backbones()}
    assert "\n" + "\n".join(SCRIPT["encoder_table"]()) + "\n\n" in PAGE


def test_encoders_have_the_published_numbers_of_parameters():
    for name, _, total, published, _ in SCRIPT["encoder_rows"]():
        millions = re.fullmatch(r"(\d+)(?:\.(\d+))? million", published)
        if millions is not None:
            # papers round up or down: to the last digit
            unit = 10 ** -len(millions[2] or "")
            assert abs(total / 1e6 - float(millions[0].split()[0])) < unit, name
        elif published != "not stated":
            assert total == int(published.replace(" ", "")), name
