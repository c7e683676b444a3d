"""A compiled network trains as it does without that, and what cannot be compiled is said."""

import json
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

PROGRAM = """
import json, sys
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
import torch
from torch import nn
from pipeline.test_losses import task, stored
from autoseg.core.errors import TrainingError
from autoseg.core.interrupt import StopRequest
from autoseg.training.fit import fit
from autoseg.training.loop import measure_step, new_state
from autoseg.training.task import Callbacks

folder, graphs = Path(sys.argv[1]), []

def backend(graph, inputs):
    graphs.append(graph)
    if len(sys.argv) > 2:
        raise OSError(sys.argv[2])
    return graph

nn.Module.compile = partialmethod(nn.Module.compile, backend=backend)
plain = task("dice_ce", stored(folder / "case", (8, 12, 12)), (8, 12, 12), folder)

def trained(training):
    state = new_state(training, epoch_steps=2)
    fit(training, state, Callbacks(lambda _: None, lambda _: None, StopRequest(), print))
    return state.network.state_dict()

try:
    expected = trained(plain)
    before = len(graphs)
    found = trained(replace(plain, compiled=True))
    torch.testing.assert_close(found, expected)
    names = list(found) == list(expected)
    print(json.dumps({"before": before, "graphs": len(graphs), "same names": names}))
except TrainingError as error:
    print(json.dumps({"error": str(error)}))
"""
"""A process of its own, since what checks the types of arrays in tests cannot be compiled."""


def told(folder: Path, *issue: str) -> dict[str, object]:
    """Return what the program says; with an issue, the compiler fails with it."""
    command = [sys.executable, "-c", PROGRAM, str(folder), *issue]
    found = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=True)
    return dict(json.loads(found.stdout.splitlines()[-1]))


def test_a_compiled_network_trains_alike(tmp_path: Path) -> None:
    found = told(tmp_path)
    assert found.pop("graphs") >= 1
    assert found == {"before": 0, "same names": True}


def test_what_cannot_be_compiled_is_said(tmp_path: Path) -> None:
    message = str(told(tmp_path, "no compiler here")["error"])
    assert message.startswith("the network could not be compiled (")
    assert "no compiler here" in message
    assert "without --compile" in message
