"""A training step in half precision is tried against float32, and issues are found."""

import subprocess
import sys

import pytest
import torch
from fakes import tiny_configuration

from autoseg.architectures import ARCHITECTURES
from autoseg.core.child import EndedProcess
from autoseg.training import trial_step
from autoseg.training.trial_step import TrialRequest, TrialResult, run_trial


def request(kind=None, patch=(8, 8), **settings):
    architecture = tiny_configuration(patch).architecture
    if kind is not None:
        architecture = (
            ARCHITECTURES[kind]
            .for_topology(architecture.topology, in_channels=1, num_classes=3)
            .compact()
        )
    settings = {"batch_size": 2, "precision": "bfloat16", "threads": 1} | settings
    return TrialRequest(architecture=architecture, **settings)


@pytest.fixture(autouse=True)
def _same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", [None, "trans_unet", "unet_2015"])
def test_a_sound_step_has_no_finding(kind):
    assert run_trial(request(kind)) == TrialResult(finding=None)


def faulty(monkeypatch, spoil):
    """Let steps in bfloat16 go wrong."""
    valid = trial_step.step_scores

    def step_scores(network, images, dtype):
        scores = valid(network, images, dtype)
        return scores if dtype == torch.float32 else spoil(network, scores)

    monkeypatch.setattr(trial_step, "step_scores", step_scores)


def gradient_not_finite(network, scores):
    network.heads[0].bias.grad[0] = torch.nan
    return scores


FAULTS = {
    "the scores)": lambda _, scores: scores.fill_(torch.inf),
    "the gradient of heads.0.bias)": gradient_not_finite,
    "the scores differ from float32 by 100 %": lambda _, scores: 0 * scores,
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_faulty_step_is_described(words, monkeypatch):
    faulty(monkeypatch, FAULTS[words])
    finding = run_trial(request()).finding
    assert finding.startswith("gave ")
    assert words in finding


HANGS = """
import time, torch
from autoseg.training import trial_step
valid = trial_step.step_scores
def step_scores(network, images, dtype):
    if dtype == torch.bfloat16:
        time.sleep(600)
    return valid(network, images, dtype)
trial_step.step_scores, trial_step.SLOWEST = step_scores, 0
trial_step.main()
"""


def test_a_step_that_hangs_is_ended():
    given = request(patience_seconds=0.5).model_dump_json()
    done = subprocess.run(
        [sys.executable, "-c", HANGS], input=given, capture_output=True, text=True, check=False
    )
    crash = EndedProcess(done.returncode, done.stdout, done.stderr).crash
    assert crash is not None
    assert crash.startswith("did not finish within 0:00:00.5")
