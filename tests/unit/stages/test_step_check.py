"""A training step is checked once; the result decides instructions and precision."""

import sys
from pathlib import Path

import pytest
import torch
from fakes import save_model, tiny_configuration, tiny_plan

from autoseg.benchmarking.bench import safe_computes
from autoseg.core.child import EndedProcess, run_module
from autoseg.core.compute import Compute
from autoseg.core.instructions import LIMITED, UNLIMITED, VARIABLE, choices
from autoseg.core.progress import Silent
from autoseg.stages import step_check as stage
from autoseg.stages.predict.predictor import Predictor
from autoseg.stages.step_check import StepChecks, load_options
from autoseg.training.trial_step import TrialResult

CPU = torch.device("cpu")
TINY = tiny_configuration((8, 8))
WIDE = tiny_configuration((16, 16), name="wide")
SOUND = EndedProcess(0, TrialResult(finding=None).model_dump_json(), "")
NOT_FINITE = EndedProcess(
    0, TrialResult(finding="gave values that are not finite (the scores)").model_dump_json(), ""
)
CRASHED = EndedProcess(-11, "", "")
HUNG = EndedProcess(1, "", "Timeout (0:01:00)!\nThread 0x1 (most recent call first):\n")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="no signals on Windows")


class Recorder(Silent):
    def __init__(self):
        self.messages = []

    def say(self, message):
        self.messages.append(message)


class Children:
    """Stands for child processes.

    Attributes:
        ends: How each ends, by its instructions.
        seen: Instructions of each.
    """

    def __init__(self):
        self.ends = {UNLIMITED: SOUND, LIMITED: SOUND}
        self.seen = []

    def run(self, module, given, *, instructions):
        assert module == "autoseg.training.trial_step"
        self.seen.append(instructions)
        return self.ends[instructions]


@pytest.fixture(autouse=True)
def children(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    made = Children()
    monkeypatch.setattr(stage, "run_module", made.run)
    return made


@pytest.fixture
def progress():
    return Recorder()


def chosen(cache, progress, configuration=TINY, precision="bfloat16", device=CPU):
    return StepChecks(cache, progress).safe_precision(configuration, device, precision)


def test_a_sound_step_is_tried_once(children, tmp_path, progress):
    for _ in range(2):
        assert chosen(tmp_path / "cache", progress) == "bfloat16"
    assert children.seen == [UNLIMITED]
    assert len(progress.messages) == 1
    assert "(only once)" in progress.messages[0]
    assert choices() == (UNLIMITED,)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        pytest.param(CRASHED, "ended with SIGSEGV", marks=posix_only),
        (HUNG, "did not finish within 0:01:00"),
        (NOT_FINITE, "gave values that are not finite"),
    ],
    ids=["crash", "hang", "not finite"],
)
def test_a_fault_limits_the_instructions(end, words, children, tmp_path, progress):
    children.ends[UNLIMITED] = end
    assert chosen(tmp_path, progress) == "bfloat16"
    assert children.seen == [UNLIMITED, LIMITED]
    assert choices() == (LIMITED,)
    warning = progress.messages[-1]
    assert warning.startswith("warning: in bfloat16 on this CPU, a training step of tiny " + words)
    assert warning.endswith("instead, oneDNN is limited to AVX512_CORE_BF16.")


@posix_only
def test_what_is_faulty_with_all_instructions_computes_in_float32(children, tmp_path, progress):
    children.ends = {UNLIMITED: CRASHED, LIMITED: NOT_FINITE}
    assert chosen(tmp_path, progress) == "float32"
    warning = progress.messages[-1]
    assert "ended with SIGSEGV, and with oneDNN limited to AVX512_CORE_BF16 it gave" in warning
    assert "instead, it computes in float32" in warning


def test_faults_are_kept_too(children, tmp_path, progress, monkeypatch):
    children.ends = {UNLIMITED: HUNG, LIMITED: NOT_FINITE}
    chosen(tmp_path, progress)
    monkeypatch.setenv(VARIABLE, "")
    assert chosen(tmp_path, progress) == "float32"
    assert len(children.seen) == 2
    assert progress.messages[-2].startswith("warning: ")  # said again, but not tried


def test_a_process_that_has_computed_cannot_be_limited(children, tmp_path, progress):
    chosen(tmp_path, progress)
    children.ends[UNLIMITED] = HUNG
    assert chosen(tmp_path, progress, WIDE) == "float32"
    assert children.seen == [UNLIMITED] * 2
    assert "can no longer limit oneDNN" in progress.messages[-1]


def test_float32_counts_as_computing_and_costs_no_check(children, tmp_path, progress):
    assert chosen(tmp_path, progress, precision="float32") == "float32"
    assert children.seen == progress.messages == []
    assert choices() == (UNLIMITED,)


def test_an_accelerator_is_not_checked(children, tmp_path, progress):
    assert chosen(tmp_path, progress, device=torch.device("cuda")) == "bfloat16"
    assert children.seen == []
    assert choices() == (UNLIMITED, LIMITED)


OTHERS = {
    "network": lambda _: WIDE,
    "batch": lambda _: TINY.model_copy(update={"batch_size": 3}),
    "torch": lambda patch: patch.setattr(torch, "__version__", "99.0") or TINY,
    "threads": lambda patch: patch.setattr(torch, "get_num_threads", lambda: 99) or TINY,
    "processor": lambda patch: patch.setattr(stage, "processor_name", lambda: "Other") or TINY,
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_network_or_machine_is_checked_separately(
    other, children, tmp_path, progress, monkeypatch
):
    chosen(tmp_path, progress)
    chosen(tmp_path, progress, OTHERS[other](monkeypatch))
    assert len(children.seen) == 2


def test_a_damaged_result_is_checked_again(children, tmp_path, progress):
    chosen(tmp_path, progress)
    (file,) = tmp_path.iterdir()
    file.write_text("{")
    chosen(tmp_path, progress)
    assert len(children.seen) == 2


@pytest.mark.parametrize(
    "end", [EndedProcess(1, "", "ImportError: no such module"), EndedProcess(-9, "", "")]
)
def test_a_check_that_failed_to_run_is_reported_and_not_cached(end, children, tmp_path, progress):
    if end.status < 0 and sys.platform == "win32":
        pytest.skip("no signals on Windows")
    children.ends[UNLIMITED] = end
    assert chosen(tmp_path, progress) == "bfloat16"
    assert "unchecked" in progress.messages[-1]
    assert list(tmp_path.iterdir()) == []


def test_without_a_cache_every_training_checks(children, progress):
    chosen(None, progress)
    chosen(None, progress)
    assert len(children.seen) == 2


def test_prediction_uses_cached_results_and_runs_no_check(
    children, tmp_path, progress, monkeypatch
):
    children.ends = {UNLIMITED: HUNG, LIMITED: HUNG}
    chosen(tmp_path, progress)
    monkeypatch.setenv(VARIABLE, "")
    rule = load_options(Compute(cache=tmp_path), progress).rule
    assert rule(TINY, CPU, "bfloat16") == "float32"
    monkeypatch.setenv(VARIABLE, "")
    assert rule(WIDE, CPU, "bfloat16") == "bfloat16"
    assert len(children.seen) == 2


def test_one_of_several_networks_limits_all(children, tmp_path, progress, monkeypatch):
    def run(module, given, *, instructions):
        is_faulty = "[16,16]" in given and instructions == UNLIMITED
        return HUNG if is_faulty else SOUND

    monkeypatch.setattr(stage, "run_module", run)
    StepChecks(tmp_path, progress).limit_for_all([TINY, WIDE], CPU, "bfloat16")
    assert choices() == (LIMITED,)
    assert "wide did not finish" in progress.messages[-1]
    assert [chosen(tmp_path, progress, each) for each in (TINY, WIDE)] == ["bfloat16"] * 2


def test_networks_without_issues_leave_the_choice_open(tmp_path, progress):
    StepChecks(tmp_path, progress).limit_for_all([TINY, WIDE], CPU, "bfloat16")
    assert choices() == (UNLIMITED, LIMITED)


def test_a_real_step_is_tried_in_a_child_process(tmp_path, progress, monkeypatch):
    monkeypatch.setattr(stage, "run_module", run_module)
    assert chosen(tmp_path, progress) == "bfloat16"
    assert not [message for message in progress.messages if "unchecked" in message]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_python_api_uses_the_precision_that_training_found(
    children, tmp_path, progress, monkeypatch
):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    children.ends = {UNLIMITED: NOT_FINITE, LIMITED: NOT_FINITE}
    configuration = tiny_configuration((8, 8, 8))
    plan = tiny_plan(configuration, axis_order=(0, 1, 2))
    model = save_model(tmp_path / "work", plan, configuration, (0,))

    def dtype():
        predictor = Predictor(model, device="cpu", precision="bfloat16")
        return predictor.model.members[0].loaded.dtype

    assert dtype() == torch.bfloat16
    chosen(tmp_path / ".cache" / "autoseg", progress, configuration)
    monkeypatch.setenv(VARIABLE, "")
    with pytest.warns(UserWarning, match="it computes in float32"):
        assert dtype() == torch.float32
    assert choices() == (UNLIMITED, LIMITED)  # a library changes nothing for the whole process


def test_a_benchmark_computes_in_a_safe_precision(children, tmp_path, progress):
    children.ends = {UNLIMITED: NOT_FINITE, LIMITED: NOT_FINITE}
    asked = Compute("cpu", "bfloat16", cache=tmp_path)
    found = safe_computes((TINY, WIDE), asked, progress)
    assert [entry.precision for entry in found] == ["float32", "float32"]
