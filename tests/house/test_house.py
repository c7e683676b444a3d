"""House rules: what no type can say. The tools run as they would on the command line."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import autoseg

ROOT = Path(__file__).parents[2]
FILES = sorted(Path(autoseg.__file__).parent.rglob("*.py"))
SCRIPTS = sorted((ROOT / "docs" / "benchmarks").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

ALLOWED_PRIVATE = {
    *("_replace", "_asdict"),  # named tuples
    "_exit",  # os
    *("_python_dispatch", "_pytree", "_subclasses", "_dynamo", "_cdata"),  # torch
    *("_ConvNd", "_ConvTransposeNd"),  # torch
    "_finish",  # batchgenerators, as nnU-Net's own trainer calls it
}
"""Names of other packages that have no public counterpart."""

ATTRIBUTE_FUNCTIONS = {"setattr", "getattr", "delattr", "hasattr", "attrgetter"}

LONGEST_FILE = 400
LONGEST_FUNCTION = 50
DOCUMENTED_FROM = 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_fit_in_the_head(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0].lineno  # the options of a command are a list, not a function
            assert node.end_lineno - first < LONGEST_FUNCTION, node.name


def undocumented_arguments(source: str) -> list[str]:
    """List the public functions with several arguments and no section `Args:`.

    The docstring of a class may have the section of its constructor. Overrides have the arguments
    of the base class, and the options of a command are documented by their help texts.
    """

    def visit(body: list[ast.stmt], kind: ast.ClassDef | None) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from visit(node.body, node)
            elif isinstance(node, ast.FunctionDef) and lacks_arguments(node, kind):
                yield node.name

    return list(visit(ast.parse(source).body, None))


def lacks_arguments(function: ast.FunctionDef, kind: ast.ClassDef | None) -> bool:
    """Return True if a function must have a section `Args:` and has none."""
    is_constructor = function.name == "__init__"
    if function.name.startswith("_") and not is_constructor and function.name != "__call__":
        return False
    marks = {ast.unparse(decorator) for decorator in function.decorator_list}
    listed = function.args
    arguments = [*listed.posonlyargs, *listed.args, *listed.kwonlyargs]
    arguments += [rest for rest in (listed.vararg, listed.kwarg) if rest is not None]
    if kind is not None and "staticmethod" not in marks:
        arguments = arguments[1:]
    is_command = any(ast.unparse(each.annotation or each) == "typer.Context" for each in arguments)
    if len(arguments) < DOCUMENTED_FROM or "override" in marks or is_command:
        return False
    texts = [ast.get_docstring(function)]
    texts += [ast.get_docstring(kind)] if is_constructor and kind is not None else []
    return not any("Args:" in (text or "") for text in texts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arguments_of_public_functions_are_documented(path: Path) -> None:
    assert not undocumented_arguments(path.read_text(encoding="utf-8"))


def test_a_function_without_documented_arguments_is_found() -> None:
    source = r"""
def plain(a, b, *, c): "Add."
def documented(a, b, *, c): "Add.\n\nArgs:\n    a: Number."
def short(a, b): "Add."
def _private(a, b, c): "Add."
def command(context: typer.Context, b, c): "Add."
class Public:
    def __init__(self, a, b, c): "Keep."
    def method(self, a, b, *c): "Add."
    def short(self, a, b): "Add."
    @override
    def inherited(self, a, b, c): "Add."
class Described:
    "Sum.\n\nArgs:\n    a: Number."
    def __init__(self, a, b, c): "Keep."
class _Private:
    def method(self, a, b, c): "Add."
"""
    assert undocumented_arguments(source) == ["plain", "__init__", "method"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_readers_import_simple_itk(path: Path) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    if "readers" not in path.parts:
        assert "SimpleITK" not in imported


def test_nothing_unpickles() -> None:
    for path in FILES:
        source = path.read_text(encoding="utf-8")
        for danger in ("torch.load(", "pickle.load", "allow_pickle=True", "eval(", "exec("):
            written = [line for line in source.splitlines() if danger in line]
            harmless = (".eval(", "weights_only=True")
            assert not [line for line in written if not any(mark in line for mark in harmless)], (
                path,
                danger,
            )


def private_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield the private names that a module imports, accesses or passes to `setattr` and others."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        elif isinstance(node, ast.Attribute):
            is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            names = [] if is_own else [node.attr]
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            texts = [text.value for text in node.args if isinstance(text, ast.Constant)]
            names = [str(text) for text in texts if called in ATTRIBUTE_FUNCTIONS]
        for part in ".".join(names).split("."):
            if part.startswith("_") and part[1:2] not in ("", "_") and part not in ALLOWED_PRIVATE:
                yield node.lineno, part


@pytest.mark.parametrize("path", [*TESTS, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_and_scripts_use_public_names_only(path: Path) -> None:
    assert not list(private_names(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "line",
    [
        "from autoseg.stages.run.run import _begun",
        "import autoseg._private",
        "run._begun()",
        "sums._sums.values()",
        'monkeypatch.setattr(run, "_begun", None)',
        'monkeypatch.setattr("autoseg.stages.run.run._begun", None)',
        'getattr(run, "_begun")',
    ],
)
def test_a_private_name_in_a_test_is_found(line: str) -> None:
    assert len(list(private_names(line))) == 1


def test_own_attributes_and_dunders_are_not_private_names() -> None:
    lines = (
        "self._left = 1",
        "type(run).__name__",
        "row._replace(a=1)",
        'setattr(run, "begun", 1)',
    )
    assert not list(private_names("\n".join(lines)))


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("importlinter.cli", "lint"),
    ],
    ids=" ".join,
)
def test_the_tools_have_nothing_to_say(command: tuple[str, ...]) -> None:
    program = (
        ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
        if command[0] == "importlinter.cli"
        else ["-m", *command]
    )
    done = subprocess.run(
        [sys.executable, *program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_is_there() -> None:
    for name in autoseg.__all__:
        assert getattr(autoseg, name) is not None


@pytest.mark.parametrize(
    ("program", "more"),
    [
        ("import autoseg, autoseg.cli", ("scipy", "numpy", "pydantic")),
        ("from autoseg.cli import app; app(['--help'], standalone_mode=False)", ("scipy", "numpy")),
        (
            "from autoseg.cli import app; app(['train', '--help'], standalone_mode=False)",
            ("scipy", "numpy"),
        ),
        (
            "import autoseg.stages.evaluate.evaluate, autoseg.stages.evaluate.known_labels",
            ("blosc2",),
        ),
        ("import autoseg.models.archive.reader", ("scipy", "blosc2")),
        ("import autoseg.stages.preprocess, autoseg.stages.next_command", ("scipy",)),
        ("import autoseg.stages.plan.fingerprint, autoseg.terminal", ("scipy",)),
    ],
    ids=["import", "help", "help of a command", "evaluate", "describe", "preprocess", "plan"],
)
def test_what_a_command_does_not_need_is_not_loaded(program: str, more: tuple[str, ...]) -> None:
    """Packages that take a tenth of a second to several are imported where they are used."""
    heavy = ["torch", "SimpleITK", "skimage", "sklearn", "matplotlib", "pandas", "scipy.spatial"]
    loaded = f"import sys; print([name for name in {[*heavy, *more]} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{loaded}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
