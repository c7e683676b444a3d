"""Timing of training steps for the planner, and the cache of the results."""

import sys
from io import BytesIO, StringIO, TextIOWrapper

import pytest
import torch

from autoseg.architectures import ARCHITECTURES
from autoseg.core.child import EndedProcess
from autoseg.core.instructions import LIMITED, UNLIMITED, VARIABLE
from autoseg.core.progress import Silent
from autoseg.planning.topology import topology_for
from autoseg.stages.plan import step_times as stage
from autoseg.stages.plan.step_times import StepTimes, TimesRequest, main, measure_step_times

CPU = torch.device("cpu")
HUNG = EndedProcess(1, "", "Timeout (0:05:00)!")


class Recorder(Silent):
    def __init__(self):
        self.messages = []

    def say(self, message):
        self.messages.append(message)


def step(edge, batch_size=2, name="unet", num_classes=3):
    topology = topology_for((1.0, 1.0), (float(edge),) * 2)
    network = ARCHITECTURES[name].for_topology(topology, in_channels=1, num_classes=num_classes)
    return network, batch_size


SMALL, LARGE = step(16), step(32)


def found(*seconds, is_disturbed=False) -> EndedProcess:
    return EndedProcess(
        0, StepTimes(seconds=seconds, is_disturbed=is_disturbed).model_dump_json(), ""
    )


@pytest.fixture
def children(monkeypatch):
    """Return a function that lets child processes end in some ways; it returns what they get."""

    def end(*endings):
        monkeypatch.setenv(VARIABLE, "")
        seen, left = [], list(endings)

        def run(module, given, *, instructions):
            assert module == "autoseg.stages.plan.step_times"
            request = TimesRequest.model_validate_json(given)
            seen.append((list(request.steps), instructions))
            return left.pop(0)

        monkeypatch.setattr(stage, "run_module", run)
        return seen

    return end


def test_timed_steps_are_cached(tmp_path, children):
    seen = children(found(0.5), found(0.25))
    progress = Recorder()
    assert measure_step_times(tmp_path, "cpu", [SMALL], progress=progress) == {SMALL: 0.5}
    assert measure_step_times(tmp_path, "cpu", [SMALL, LARGE], progress=progress) == {
        SMALL: 0.5,
        LARGE: 0.25,
    }
    assert measure_step_times(tmp_path, "cpu", [LARGE], progress=progress) == {LARGE: 0.25}
    assert [asked for asked, _ in seen] == [[SMALL], [LARGE]]
    assert progress.messages == []


def test_another_batch_or_machine_is_timed_again(tmp_path, children, monkeypatch):
    seen = children(found(0.5), found(0.7), found(0.9))
    measure_step_times(tmp_path, "cpu", [SMALL], progress=Recorder())
    other = (SMALL[0], 3)
    assert measure_step_times(tmp_path, "cpu", [other], progress=Recorder()) == {other: 0.7}
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert measure_step_times(tmp_path, "cpu", [SMALL], progress=Recorder()) == {SMALL: 0.9}
    assert len(seen) == len(list(tmp_path.iterdir())) == 3


def test_steps_can_be_timed_again(tmp_path, children):
    children(found(0.5), found(0.6))
    measure_step_times(tmp_path, "cpu", [SMALL], progress=Recorder())
    again = measure_step_times(tmp_path, "cpu", [SMALL], remeasure=True, progress=Recorder())
    assert (
        again == measure_step_times(tmp_path, "cpu", [SMALL], progress=Recorder()) == {SMALL: 0.6}
    )


def test_damaged_files_are_timed_again(tmp_path, children):
    children(found(0.5), found(0.6))
    measure_step_times(tmp_path, "cpu", [SMALL], progress=Recorder())
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:40])
    assert measure_step_times(tmp_path, "cpu", [SMALL], progress=Recorder()) == {SMALL: 0.6}


def test_disturbed_measurements_are_used_but_not_cached(tmp_path, children):
    children(found(0.5, is_disturbed=True))
    assert measure_step_times(tmp_path, "cpu", [SMALL], progress=Recorder()) == {SMALL: 0.5}
    assert list(tmp_path.iterdir()) == []


def test_after_a_crash_steps_are_timed_with_fewer_instructions(tmp_path, children):
    seen = children(HUNG, found(0.5))
    progress = Recorder()
    assert measure_step_times(tmp_path, "cpu", [SMALL], progress=progress) == {SMALL: 0.5}
    assert [instructions for _, instructions in seen] == [UNLIMITED, LIMITED]
    assert "a training step did not finish within 0:05:00" in progress.messages[0]


def test_steps_that_cannot_be_timed_are_missing_and_reported(tmp_path, children):
    children(HUNG, EndedProcess(1, "", "too little free memory to time training steps"))
    progress = Recorder()
    assert measure_step_times(tmp_path, "cpu", [SMALL], progress=progress) == {}
    assert progress.messages[1:] == [
        "note: too little free memory to time training steps",
        "note: training steps could not be timed; the plan uses predicted times",
    ]


def test_a_child_times_real_steps(tmp_path, monkeypatch):
    def run(module, given, *, instructions):
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(given.encode())))
        monkeypatch.setattr("sys.stdout", StringIO())
        main()
        return EndedProcess(0, sys.stdout.getvalue(), "")

    monkeypatch.setattr(stage, "run_module", run)
    steps = [SMALL, step(16, num_classes=1), step(16, name="unet_plus_plus")]
    seconds = measure_step_times(tmp_path, "cpu", steps, progress=Recorder())
    assert seconds.keys() == set(steps)
    assert all(0 < each < 60 for each in seconds.values())


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Time steps in this process, as on a GPU, and let each training raise an error."""
    gpu = torch.device("meta")

    def failing(error):
        def fail(*_):
            raise error

        monkeypatch.setattr(stage, "choose_device", lambda _: gpu)
        monkeypatch.setattr(stage, "NoiseTraining", fail)

    return failing


def test_a_gpu_without_memory_times_nothing(on_a_gpu, tmp_path):
    on_a_gpu(torch.OutOfMemoryError())
    progress = Recorder()
    assert measure_step_times(tmp_path, "cuda", [SMALL], progress=progress) == {}
    assert progress.messages[-1].startswith("note: training steps could not be timed")


def test_another_error_is_not_swallowed(on_a_gpu, tmp_path):
    on_a_gpu(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        measure_step_times(tmp_path, "cuda", [SMALL], progress=Recorder())
