import torch

from autoseg.benchmarking.machine import this_machine


def test_this_machine_has_a_processor_and_cores():
    found = this_machine(torch.device("cpu"))
    assert found.processor
    assert found.cores >= 1
    assert found.device == "cpu"
