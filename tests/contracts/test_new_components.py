"""A new component is one file, and all contract tests of its kind test it.

The files are the examples of the pages. They are put into a package that looks like an installed
one, and the contract tests are run beside it, in a process of their own.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pages"
CONTRACTS = (
    "test_losses.py",
    "test_architectures.py",
    "test_planned_networks.py",
    "test_optimizers.py",
    "test_schedules.py",
    "test_metrics.py",
)
NEW = {
    "poly_cross_entropy": ("losses", "losses.md"),
    "flat_network": ("architectures", "networks.md"),
    "adamax": ("optimizers", "training.md"),
    "stable_decay": ("schedules", "training.md"),
    "volume_similarity": ("evaluation.metrics", "evaluation.md"),
}
"""Group of entry points and page of each example."""


def example(page: str, kind: str) -> str:
    """Return the code block of a page that defines a component."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (PAGES / page).read_text("utf-8"), re.M | re.S)
    (found,) = [block for block in blocks if f'kind: Literal["{kind}"]' in block]
    return found


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a package that provides the examples, as installed by pip."""
    folder = tmp_path_factory.mktemp("site")
    metadata = folder / "newcomers-1.0.dist-info"
    for inner in (folder / "newcomers", metadata):
        inner.mkdir()
    (folder / "newcomers" / "__init__.py").touch()
    for kind, (_, page) in NEW.items():
        (folder / "newcomers" / f"{kind}.py").write_text(example(page, kind), "utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: newcomers\nVersion: 1.0\n")
    groups = [f"[autoseg.{name}]\n{kind} = newcomers.{kind}\n" for kind, (name, _) in NEW.items()]
    (metadata / "entry_points.txt").write_text("".join(groups))
    return folder


def contract_tests(*arguments: str, beside: Path | None = None) -> str:
    """Return what pytest says of the contract tests, with a folder on the path."""
    files = [str(ROOT / "tests" / "contracts" / name) for name in CONTRACTS]
    options = ["-p", "no:cacheprovider", *arguments, *files]
    program = (
        f"import sys, pytest; sys.path += {[str(beside)] if beside else []}; "
        f"sys.exit(pytest.main({options}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def before() -> list[str]:
    """Return the names of all contract tests."""
    return [line for line in contract_tests("--collect-only", "-q").splitlines() if "::" in line]


@pytest.fixture(scope="module")
def said(package: Path) -> str:
    """Return what pytest says when the tests of the new components alone are run."""
    return contract_tests("-v", "-k", " or ".join(NEW), beside=package)


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("poly_cross_entropy", "cross_entropy"),
        ("flat_network", "unet_2015"),
        ("adamax", "adamw"),
        ("stable_decay", "cosine"),
        ("volume_similarity", "symmetric_volume_error"),
    ],
)
def test_a_new_component_keeps_all_contracts_that_a_known_one_keeps(
    kind: str, known: str, before: list[str], said: str
) -> None:
    asked = {name for name in before if re.search(rf"[\[-]{known}[\]-]", name)}
    kept = set(re.findall(rf"^(\S*::.*[\[-]{kind}[\]-].*?) PASSED", said, re.M))
    assert len(kept) > 8
    assert {name.replace(kind, known) for name in kept} == asked


def test_the_other_contract_tests_stay_as_they_are(before: list[str], said: str) -> None:
    ((passed, deselected),) = re.findall(r"(\d+) passed, (\d+) deselected", said)
    assert int(deselected) == len(before)
    assert int(passed) > 40
