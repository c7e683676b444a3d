import pytest
import torch

from autoseg.benchmarking import stepping
from autoseg.benchmarking.stepping import (
    FEWEST_STEPS,
    MOST_STEPS,
    mean_seconds,
    mean_step,
    num_steps,
    untimed_steps,
)
from autoseg.benchmarking.timing import TimeLimit
from autoseg.training.loading import prefetched_batches


def test_the_first_steps_do_not_count():
    times = [0.0, 50.0, 60.0, 61.0, 62.0, 63.0]  # the start of the loader, a warm-up, and then
    assert mean_step(times, 2) == pytest.approx(1.0)


def test_the_start_of_the_loader_never_counts():
    assert mean_step([0.0, 50.0, 51.0, 52.0], 0) == pytest.approx(1.0)


def test_a_training_that_was_cut_short_still_has_a_step_time():
    assert mean_step([0.0, 50.0, 53.0], 5) == pytest.approx(3.0)


def test_waiting_now_and_then_counts_in_full():
    times = [0.0, 1.0, 2.0, 3.0, 9.0]  # a median would say 1
    assert mean_step(times, 1) == pytest.approx(8 / 3)


@pytest.mark.parametrize(
    ("seconds", "steps"), [(1e-6, MOST_STEPS), (0.1, 10), (0.5, 2), (100.0, FEWEST_STEPS)]
)
def test_as_many_steps_are_timed_as_fit_into_half_the_time_limit(seconds, steps):
    assert num_steps(seconds, TimeLimit(seconds=2.0)) == steps


def test_prefetched_batches_of_a_slow_loader_are_used_up_before_steps_are_timed():
    assert untimed_steps(0.3, 0.5, 2) == 1  # two processes need 0.15 s a batch
    assert untimed_steps(0.3, 0.5, 1) == prefetched_batches(1) + 1  # too near to call
    assert untimed_steps(2.0, 0.5, 2) == 2 * prefetched_batches(2) + 1
    assert untimed_steps(0.3, 0.5, 0) == 1  # no process, no prefetched batches


def test_bare_steps_on_a_gpu_use_the_convolutions_that_training_uses(monkeypatch):
    monkeypatch.setattr(stepping, "synchronize", lambda _: None)
    chosen = []

    def step():
        chosen.append(torch.backends.cudnn.benchmark)

    mean_seconds(step, torch.device("cuda"), 2)
    assert all(chosen)
    assert not torch.backends.cudnn.benchmark
