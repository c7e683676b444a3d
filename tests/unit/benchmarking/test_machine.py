import torch

from autoseg.benchmarking.machine import processor_name, this_machine


def test_linux_names_the_processor():
    text = "processor\t: 0\nmodel name\t: Some CPU @ 2:1 GHz\nmodel name\t: Another\n"
    assert processor_name(text) == "Some CPU @ 2:1 GHz"


def test_other_descriptions_name_none():
    assert processor_name("processor\t: 0\nBogoMIPS : 1\n") is None


def test_this_machine_has_a_processor_and_cores():
    found = this_machine(torch.device("cpu"))
    assert found.processor
    assert found.cores >= 1
    assert found.device == "cpu"
