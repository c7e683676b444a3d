"""The field's terms: words that were replaced by standard ones do not come back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import autoseg

ROOT = Path(__file__).parents[2]
SOURCES = sorted(Path(autoseg.__file__).parent.rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "pages").rglob("*.md")),
    *sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")),
]

BANNED = {
    r"beside": "next to, in addition to",
    r"anew": "again, from scratch",
    r"go(es|ing)? on": "continue, resume",
    r"(which|that|what) (is|are) there": "existing",
    r"sa(ys|id) so": "reports, warns",
    r"sound": "valid",
    r"(graphics )?cards?": "GPU (a model card is a model card)",
    r"faults?": "issue, error",
    r"invented": "spurious, made up",
    r"let(s|ting)? go of": "release, free",
    r"forgives?": "tolerance",
    r"whoever": "name the person",
    r"of then": "original",
    r"otherwise than": "differently from",
}
"""Patterns of whole words, and what to write instead."""

ALLOWED = re.compile(r"model[ _]card|segmentation fault|card\.(json|md)|at fault", re.IGNORECASE)
OPENINGS = re.compile(r"(Return|Yield|Say|Tell) (what|how|whether|who|which)\b")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module, docstrings included, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page that are not code."""
    is_code = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        is_code ^= line.startswith("```")
        if not is_code:
            yield number, re.sub(r"`[^`]*`", "", line)


def banned(text: str) -> list[str]:
    """Return the banned words of a text."""
    rest = ALLOWED.sub("", text)
    return [
        f"{found.group(0)!r}: write {instead}"
        for pattern, instead in BANNED.items()
        for found in re.finditer(rf"\b{pattern}\b", rest, re.IGNORECASE)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_strings_and_docstrings_use_the_terms_of_the_field(path: Path) -> None:
    assert not [f"line {number}: {word}" for number, text in texts(path) for word in banned(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_use_the_terms_of_the_field(page: Path) -> None:
    assert not [f"line {number}: {word}" for number, text in prose(page) for word in banned(text)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_open_with_a_noun_or_a_condition(path: Path) -> None:
    docstrings = [
        text
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and (text := ast.get_docstring(node))
    ]
    assert not [text.splitlines()[0] for text in docstrings if OPENINGS.match(text)]
