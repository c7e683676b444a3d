"""Check README, pages and API reference: commands parse, links resolve, and names exist."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from pkgutil import iter_modules, resolve_name

import pytest
import typer
from command_line import commands

import autoseg
from autoseg.cli import app

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pages"
REFERENCE = sorted((PAGES / "api").glob("*.md"))
DOCUMENTS = (ROOT / "README.md", *sorted(PAGES.rglob("*.md")))
SCRIPTS = sorted((ROOT / "docs" / "benchmarks").glob("*.py"))
SOURCES = (*DOCUMENTS, *sorted((ROOT / "autoseg").rglob("*.py")))

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")

OPTIONS_OF_OTHERS = {
    *("--c", "--continue_prediction", "--disable_tta", "--npz", "--save_probabilities"),  # nnU-Net
    "--val",  # nnU-Net
    "--cov",  # pytest
    *("--verify_dataset_integrity", "--shm-size", "--index-url"),  # nnU-Net, Docker, pip
}


def page_name(path: Path) -> str:
    return path.relative_to(PAGES).as_posix() if path.is_relative_to(PAGES) else path.name


def blocks(path: Path, language: str) -> list[str]:
    found = BLOCK.findall(path.read_text(encoding="utf-8"))
    return [text for name, text in found if name == language]


def command_lines(path: Path) -> list[list[str]]:
    """Return the words of every autoseg command in the shell blocks of a page."""
    parts = [
        part.split("#")[0].strip()
        for block in blocks(path, "bash")
        for line in block.splitlines()
        for part in line.split("&&")
    ]
    return [shlex.split(part) for part in parts if part.startswith("autoseg ")]


def prose(path: Path) -> str:
    return BLOCK.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """Return the anchors of headings, as the site and GitHub generate them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    kept = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"\s+", "-", heading) for heading in kept}


def parse(words: list[str]) -> None:
    """Parse a command like the command line; its exceptions are passed on."""
    name = command_name(words)
    commands()[name].make_context(name, words[1 + len(name.split()) :])


def command_name(words: list[str]) -> str:
    """Return the name of a command, which has two words if it is in a group."""
    pair = " ".join(words[1:3])
    return pair if pair in commands() else words[1]


@pytest.mark.parametrize("path", DOCUMENTS, ids=page_name)
def test_every_command_in_a_block_parses(path):
    for words in command_lines(path):
        parse(words)


def test_commands_are_found_in_the_pages_and_wrong_ones_are_refused():
    assert sum(len(command_lines(path)) for path in DOCUMENTS) > 15
    with pytest.raises(Exception, match="--folds"):
        parse(["autoseg", "train", "DATASET", "--folds", "0"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=page_name)
def test_every_command_and_option_in_a_sentence_exists(path):
    known = {
        option
        for command in (typer.main.get_command(app), *commands().values())
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for span in INLINE.findall(prose(path)):
        words = span.split()
        if words[0] == "autoseg" and len(words) > 1 and words[1] not in {"COMMAND", *known}:
            assert command_name(words) in commands(), span
        if words[0] in {"autoseg", *known} or words[0].startswith("--"):
            options = {word for word in words if word.startswith("--")} - {"--help"}
            assert options <= known | OPTIONS_OF_OTHERS, span


@pytest.mark.parametrize("path", DOCUMENTS, ids=page_name)
def test_every_relative_link_leads_somewhere(path):
    for link in LINK.findall(prose(path)):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_the_site_lists_every_page_once():
    listed = re.findall(r": ([\w/]+\.md)$", (ROOT / "docs/mkdocs.yml").read_text(), re.MULTILINE)
    notebooks = [f"notebooks/{path.stem}.md" for path in (ROOT / "docs/notebooks").glob("*.ipynb")]
    assert sorted(listed) == sorted([*map(page_name, PAGES.rglob("*.md")), *notebooks])


def test_the_readme_links_every_page():
    links = LINK.findall(prose(ROOT / "README.md"))
    assert {f"docs/pages/{page.name}" for page in PAGES.glob("*.md")} <= set(links)
    assert "docs/pages/api/index.md" in links


def test_the_overview_of_the_api_reference_links_every_page_of_it():
    links = LINK.findall(prose(PAGES / "api" / "index.md"))
    assert {page.name for page in REFERENCE} - {"index.md"} <= set(links)


def targets() -> list[str]:
    """Return the names that the API reference documents."""
    return [name for page in REFERENCE for name in DIRECTIVE.findall(page.read_text("utf-8"))]


@pytest.mark.parametrize("name", sorted(set(targets())))
def test_every_name_of_the_api_reference_can_be_imported(name):
    assert resolve_name(name).__doc__


def test_the_api_reference_documents_the_public_functions_and_all_packages():
    public = {name for name in autoseg.__all__ if not name.isupper()} - {"AutosegError"}
    packages = {module.name for module in iter_modules(autoseg.__path__) if module.ispkg}
    expected = public | packages - {"commands"}
    assert {f"autoseg.{name}" for name in expected} <= set(targets())


@pytest.mark.parametrize("path", DOCUMENTS, ids=page_name)
def test_python_and_json_blocks_are_python_and_json(path):
    for block in blocks(path, "json"):
        json.loads(block)
    for block in blocks(path, "python"):
        compile(block, str(path), "exec")
        assert set(re.findall(r"\bautoseg\.([A-Z]\w+)", block)) <= set(autoseg.__all__)


def test_pages_that_the_code_refers_to_exist():
    pages = {
        page
        for path in SOURCES
        for page in re.findall(r"docs/pages/\w+\.md", path.read_text(encoding="utf-8"))
    }
    assert pages
    assert all((ROOT / page).is_file() for page in pages), pages


def test_every_benchmark_finds_what_it_imports() -> None:
    names = [path.stem for path in SCRIPTS]
    program = f"import importlib\nfor name in {names}: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        cwd=SCRIPTS[0].parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
