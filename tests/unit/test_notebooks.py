"""Run the notebooks: all code cells in order, in a process of their own, with short trainings."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"

LINK = re.compile(r"\]\(([^)\s]+)\)")

PARAMETERS = {
    "from_a_folder_to_a_model": 'budget = "3s"',
    "the_unet_step_by_step": "steps = 2",
}
"""Code that runs after the cell tagged `parameters`, by notebook."""

RUNNER = """
import json, sys
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
namespace = {"__name__": "__main__"}
for cell, source in json.load(sys.stdin):
    exec(compile(source, cell, "exec"), namespace)
    plt.close("all")
print("all cells ran")
"""


def cells(name: str) -> list[dict]:
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    return json.loads(text)["cells"]


def program(name: str) -> list[tuple[str, str]]:
    """Return name and code of all cells, with the parameters of the test."""
    code = []
    for cell in cells(name):
        if cell["cell_type"] == "code":
            code.append((cell["id"], "".join(cell["source"])))
        if "parameters" in cell["metadata"].get("tags", ()):
            code.append(("parameters of the test", PARAMETERS[name]))
    return code


def test_every_notebook_has_parameters_for_its_test() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(PARAMETERS)
    for name in PARAMETERS:
        assert "parameters of the test" in dict(program(name))


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_cell_of_a_notebook_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(program(name)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all cells ran\n")


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_link_between_a_notebook_and_other_files_leads_somewhere(name: str) -> None:
    text = "".join(line for cell in cells(name) for line in cell["source"])
    links = [link for link in LINK.findall(text) if not link.startswith("https://")]
    assert links
    assert all((NOTEBOOKS / link).is_file() for link in links), links


@pytest.mark.parametrize("name", PARAMETERS)
def test_notebooks_are_stored_without_outputs(name: str) -> None:
    for cell in cells(name):
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None), cell["id"]
