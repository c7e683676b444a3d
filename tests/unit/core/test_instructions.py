"""What a process may still choose, and that oneDNN does what it chose."""

import subprocess
import sys

import pytest

from autoseg.core.instructions import (
    LIMITED,
    UNLIMITED,
    VARIABLE,
    child_environment,
    choices,
    choose,
)


@pytest.fixture(autouse=True)
def _undecided(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")


def test_a_process_chooses_once():
    assert choices() == (UNLIMITED, LIMITED)
    choose(UNLIMITED)
    assert choices() == (UNLIMITED,)


def test_a_limited_process_stays_limited():
    choose(LIMITED)
    assert choices() == (LIMITED,)


def test_what_the_user_has_set_is_the_only_choice(monkeypatch):
    monkeypatch.setenv(VARIABLE, "AVX2")
    assert choices() == ("AVX2",)


def test_a_child_is_not_bound_by_what_its_parent_noted(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"{UNLIMITED}-1")
    assert choices() == (UNLIMITED, LIMITED)


def test_a_child_gets_its_instructions_and_the_rest_of_the_environment(monkeypatch):
    monkeypatch.setenv("OTHER", "kept")
    environment = child_environment(LIMITED)
    assert (environment[VARIABLE], environment["OTHER"]) == (LIMITED, "kept")


PROGRAM = """
import torch
from autoseg.core import instructions
if {early}:
    instructions.choose({chosen!r})
convolution = torch.nn.Conv2d(8, 8, 3)
convolution(torch.randn(4, 8, 64, 64))
if not {early}:
    instructions.choose({chosen!r})
    convolution(torch.randn(4, 8, 32, 32))
"""


def instructions_used(chosen, *, early):
    """Return what oneDNN says it uses in a process that has imported torch."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(chosen=chosen, early=early)],
        env=child_environment("") | {"ONEDNN_VERBOSE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if "cpu,isa:" in line]


def test_one_dnn_obeys_until_the_first_convolution():
    if not (unlimited := instructions_used(UNLIMITED, early=True)):
        pytest.skip("torch computes without oneDNN here")
    limited = instructions_used("SSE41", early=True)
    assert limited != unlimited
    assert "SSE4.1" in limited[0]
    assert instructions_used("SSE41", early=False) == unlimited
