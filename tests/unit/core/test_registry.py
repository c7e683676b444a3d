"""A family knows its own files and what installed packages bring."""

import importlib
import sys
from pathlib import Path

import pytest

from autoseg.core.errors import ExtensionError, UnknownComponent
from autoseg.core.registry import Family

BASE = """
from autoseg.core.registry import Component, Family

PAINTS = Family("paint")


class Paint(Component):
    pass
"""
PAINT = """
from typing import Literal

from paints.base import PAINTS, Paint


@PAINTS.register
class {name}(Paint):
    kind: Literal["{kind}"] = "{kind}"
    thickness: float = {thickness}
"""


def install(folder: Path, module: str) -> None:
    """Write the metadata of an installed package that brings a paint."""
    metadata = folder / "stranger-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[paints]\nblue = {module}\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on the path with a family of paints, of which one is red."""
    package = tmp_path / "paints"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "base.py").write_text(BASE)
    (package / "red.py").write_text(PAINT.format(name="Red", kind="red", thickness=1.0))
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def discovered() -> Family:
    family = importlib.import_module("paints.base").PAINTS
    family.discover("paints")
    return family


def test_a_family_finds_its_files(folder: Path) -> None:
    assert list(discovered()) == ["red"]


def test_a_family_finds_what_an_installed_package_brings(folder: Path) -> None:
    install(folder, "their_blue")
    source = PAINT.format(name="Blue", kind="blue", thickness=2.0)
    (folder / "their_blue.py").write_text(source)
    family = discovered()
    assert list(family) == ["blue", "red"]
    assert family.parse({"kind": "blue"}).thickness == 2.0
    assert family.parse("red").thickness == 1.0


@pytest.mark.parametrize("source", [None, "import not_there_at_all", "from os import no_such"])
def test_what_cannot_be_imported_is_blamed_on_its_package(folder: Path, source: str | None) -> None:
    install(folder, "their_blue")
    if source is not None:
        (folder / "their_blue.py").write_text(source)
    with pytest.raises(
        ExtensionError, match=r"package stranger provides the paint 'blue' in their_"
    ):
        discovered()


def test_two_paints_of_one_name_are_refused(folder: Path) -> None:
    source = PAINT.format(name="OtherRed", kind="red", thickness=3.0)
    (folder / "paints" / "scarlet.py").write_text(source)
    with pytest.raises(ValueError, match=r"'red' is defined by .*Red.* and again by .*OtherRed"):
        discovered()


def test_an_unknown_paint_is_answered_with_all_that_there_are(folder: Path) -> None:
    with pytest.raises(UnknownComponent, match=r"no paint called 'blue'\. Choose one of: red; or"):
        discovered().parse("blue")


def test_what_is_no_name_is_left_to_others(folder: Path) -> None:
    assert discovered().parse(3) == 3
