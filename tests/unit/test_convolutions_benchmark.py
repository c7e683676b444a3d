"""The benchmark of convolutions lists those of the networks, and outlives those that crash."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from fakes import tiny_configuration

SCRIPT = Path(__file__).parents[2] / "docs" / "benchmarks" / "convolutions.py"
FAULTY = f"""
import faulthandler, importlib.util, os, signal, sys, time
spec = importlib.util.spec_from_file_location("convolutions", {str(SCRIPT)!r})
script = importlib.util.module_from_spec(spec)
sys.modules["convolutions"] = script
spec.loader.exec_module(script)
valid = script.compute
def compute(convolution, dtype):
    if dtype is script.torch.bfloat16:
        if convolution.images[0] == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        if convolution.images[0] == 3:
            faulthandler.dump_traceback_later(0.1, exit=True)  # earlier than the script's own
            time.sleep(600)
    valid(convolution, dtype)
script.compute = compute
script.child()
"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("convolutions", SCRIPT)
    made = importlib.util.module_from_spec(spec)
    sys.modules["convolutions"] = made
    spec.loader.exec_module(made)
    yield made
    del sys.modules["convolutions"]


def listed(script, batch_size=1):
    return list(script.recorded(tiny_configuration((8, 8)).architecture, batch_size))


def test_the_convolutions_of_a_network_are_listed_with_heads_of_all_numbers_of_classes(script):
    found = listed(script)
    network = tiny_configuration((8, 8)).architecture.build()
    shapes = {
        tuple(module.weight.shape)
        for module in network.modules()
        if isinstance(module, torch.nn.modules.conv._ConvNd)
    }
    heads = {(classes, 4, 1, 1) for classes in script.CLASSES}
    assert {each.weights for each in found} == shapes | heads
    assert len(found) == len(set(found))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals on Windows")
def test_a_convolution_that_crashes_or_hangs_is_recorded_and_the_others_are_compared(
    script, tmp_path, monkeypatch
):
    faulty = tmp_path / "faulty.py"
    faulty.write_text(FAULTY)
    monkeypatch.setattr(script, "CHILD", (sys.executable, str(faulty)))
    convolutions = [listed(script, batch_size)[0] for batch_size in (1, 2, 3, 4)]
    results = list(script.results_of("AMX", "DEFAULT", list(convolutions)))
    assert [result.convolution for result in results] == convolutions
    assert [result.outcome for result in results] == ["valid", "crashed", "hung", "valid"]
    assert results[1].finding == "ended with SIGSEGV"
    lines = list(script.tables(results))
    assert "| AMX | 4 | 1 | 1 | 0 | 0 |" in lines
    assert sum("ended with SIGSEGV" in line for line in lines) == 1
