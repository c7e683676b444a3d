from autoseg.core import compute
from autoseg.core.compute import Compute


def test_the_number_of_processes_is_the_requested_one_or_that_of_the_machine(monkeypatch):
    monkeypatch.setattr(compute, "default_workers", lambda: 7)
    assert Compute().num_workers == 7
    assert Compute(workers=0).num_workers == 0
