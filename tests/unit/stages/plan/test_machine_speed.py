"""Caching of the measured training speed, and when it is measured again."""

import json
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest
import torch

from autoseg.core.child import EndedProcess
from autoseg.core.errors import TrainingError
from autoseg.core.instructions import LIMITED, UNLIMITED, VARIABLE, choices
from autoseg.core.progress import Silent
from autoseg.documents.machine import MeasuredMachine, StepCosts
from autoseg.stages.plan import machine_speed as stage
from autoseg.stages.plan.machine_speed import (
    CPU_PROBES,
    Measurement,
    MeasurementRequest,
    Probe,
    cached_speed,
    is_disturbed,
    machine_identity,
    machine_speed,
    main,
    measure,
    measure_in_process,
    measure_in_subprocess,
    time_probes,
)
from autoseg.training.noise_training import NoiseTraining

CPU = torch.device("cpu")
COSTS = StepCosts(
    seconds_per_step=0.01,
    seconds_per_billion_multiplications=0.01,
    seconds_per_million_activations=0.01,
)


class Recorder(Silent):
    def __init__(self):
        self.messages = []

    def say(self, message):
        self.messages.append(message)


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Take a made-up measurement in no time; return the list of the devices that were measured."""
    devices: list[torch.device] = []

    def measured(device, precision="auto"):
        devices.append(device)
        return MeasuredMachine(identity=machine_identity(device), planes=COSTS, volumes=COSTS)

    monkeypatch.setattr(stage, "measure", measured)
    monkeypatch.setattr(stage, "measure_in_subprocess", lambda _: measure_in_process(CPU))
    return devices


def speed(cache: Path, progress=None, **settings) -> MeasuredMachine | None:
    return machine_speed(cache, "cpu", progress=progress or Silent(), **settings)


def cached_file(cache: Path) -> Path:
    (file,) = cache.iterdir()
    return file


def test_a_machine_is_measured_once(tmp_path, measurements):
    progress = Recorder()
    first = speed(tmp_path / "cache", progress)
    assert speed(tmp_path / "cache", progress) == first == cached_speed(tmp_path / "cache", "cpu")
    assert measurements == [CPU]
    assert len(progress.messages) == 1
    assert "measuring how fast" in progress.messages[0]


def test_a_machine_can_be_measured_again(tmp_path, measurements):
    speed(tmp_path)
    speed(tmp_path, remeasure=True)
    assert len(measurements) == 2


def test_nothing_is_known_before_and_looking_measures_nothing(tmp_path, measurements):
    assert cached_speed(tmp_path / "cache", "cpu") is None
    assert measurements == []
    assert not (tmp_path / "cache").exists()


def changed(**fields):
    def edit(text):
        return json.dumps(json.loads(text) | fields)

    return edit


DAMAGES = {
    "empty": lambda _: "",
    "half-written": lambda text: text[: len(text) // 2],
    "no JSON": lambda _: "seconds: many",
    "another version": changed(schema_version=2),
    "a cost below zero": changed(planes={**COSTS.model_dump(), "seconds_per_step": -1.0}),
    "another machine": changed(
        identity={**machine_identity(CPU).model_dump(), "device": "Another Processor 9000"}
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_measurement_that_cannot_be_trusted_is_repeated(damage, tmp_path, measurements):
    first = speed(tmp_path)
    file = cached_file(tmp_path)
    file.write_text(DAMAGES[damage](file.read_text()))
    assert cached_speed(tmp_path, "cpu") is None
    assert speed(tmp_path) == first
    assert len(measurements) == 2
    assert cached_speed(tmp_path, "cpu") == first


def test_a_measurement_that_is_not_text_is_repeated(tmp_path, measurements):
    speed(tmp_path)
    cached_file(tmp_path).write_bytes(b"\xff\xfe\x00")
    assert speed(tmp_path) is not None
    assert len(measurements) == 2


def test_other_threads_or_another_torch_are_another_machine(tmp_path, measurements, monkeypatch):
    speed(tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    speed(tmp_path)
    monkeypatch.setattr(torch, "__version__", "99.0")
    speed(tmp_path)
    assert len(measurements) == len(list(tmp_path.iterdir())) == 3


def test_a_cache_that_cannot_be_written_is_reported_and_does_no_harm(tmp_path, measurements):
    (tmp_path / "cache").write_text("a file where the folder should be")
    progress = Recorder()
    assert speed(tmp_path / "cache", progress) is not None
    assert "could not be saved" in progress.messages[-1]


def test_a_device_without_memory_goes_unmeasured(tmp_path, monkeypatch):
    errors = "Traceback …\nRuntimeError: DefaultCPUAllocator: can't allocate memory"
    ends(monkeypatch, EndedProcess(1, "", errors))
    progress = Recorder()
    assert speed(tmp_path, progress) is None
    assert "too little free memory" in progress.messages[-1]
    assert list(tmp_path.iterdir()) == []


def test_another_error_is_not_swallowed(tmp_path, monkeypatch):
    ends(monkeypatch, EndedProcess(1, "", "ValueError: a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        speed(tmp_path)


def test_a_measurement_on_a_busy_machine_is_used_but_not_cached(
    tmp_path, measurements, monkeypatch
):
    monkeypatch.setattr(stage, "is_disturbed", lambda *_: True)
    progress = Recorder()
    assert speed(tmp_path / "cache", progress) is not None
    assert "not cached" in progress.messages[-1]
    assert cached_speed(tmp_path / "cache", "cpu") is None


def test_work_is_disturbed_if_its_threads_had_less_than_half_of_the_time():
    assert is_disturbed(10.0, 9.0, threads=2)
    assert not is_disturbed(10.0, 11.0, threads=2)
    assert not is_disturbed(0.5, 0.0, threads=2)


def ends(monkeypatch, *endings):
    """Let child processes end in some ways; return what they are given."""
    monkeypatch.setenv(VARIABLE, "")
    seen, left = [], list(endings)

    def run(module, given, *, instructions):
        assert module == "autoseg.stages.plan.machine_speed"
        seen.append((MeasurementRequest.model_validate_json(given).precision, instructions))
        return left.pop(0)

    monkeypatch.setattr(stage, "run_module", run)
    return seen


def fine() -> EndedProcess:
    machine = MeasuredMachine(identity=machine_identity(CPU), planes=COSTS, volumes=COSTS)
    return EndedProcess(0, Measurement(machine=machine, is_disturbed=False).model_dump_json(), "")


HUNG = EndedProcess(1, "", "Timeout (0:10:00)!")


def test_after_a_crash_it_is_measured_with_fewer_instructions_and_in_float32(tmp_path, monkeypatch):
    seen = ends(monkeypatch, HUNG, HUNG, fine())
    progress = Recorder()
    assert speed(tmp_path, progress) == cached_speed(tmp_path, "cpu") is not None
    assert seen == [("auto", UNLIMITED), ("auto", LIMITED), ("float32", UNLIMITED)]
    assert "the measurement did not finish within 0:10:00" in progress.messages[1]
    assert choices() == (UNLIMITED, LIMITED)  # this process has computed nothing


def test_a_measurement_that_always_crashes_is_refused(tmp_path, monkeypatch):
    ends(monkeypatch, HUNG, HUNG, HUNG)
    with pytest.raises(TrainingError, match=r"also in float32.*plan without --budget"):
        speed(tmp_path)


def test_a_cpu_is_measured_by_a_child_process(monkeypatch):
    def run(module, given, *, instructions):
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(given.encode())))
        monkeypatch.setattr("sys.stdout", StringIO())
        main()
        return EndedProcess(0, sys.stdout.getvalue(), "")

    monkeypatch.setattr(stage, "run_module", run)
    monkeypatch.setattr(
        stage,
        "measure",
        lambda *_: MeasuredMachine(identity=machine_identity(CPU), planes=COSTS, volumes=COSTS),
    )
    found = measure_in_subprocess(Silent())
    assert found.machine.planes == COSTS
    assert not found.is_disturbed


def test_an_unknown_device_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="cannot be used"):
        machine_speed(tmp_path, "gpu9", progress=Silent())


def test_steps_are_timed_with_their_sizes():
    small, wide = time_probes([Probe(2, 16, 8, 2), Probe(2, 16, 16, 2)], CPU)
    assert small.seconds > 0
    assert wide.activations > 1.5 * small.activations
    assert wide.multiplications > 3 * small.multiplications


def test_a_gpu_is_timed_with_the_convolutions_that_training_uses(monkeypatch):
    chosen = []

    class Running(NoiseTraining):
        def __init__(self, *_):
            pass

        def step(self):
            chosen.append(torch.backends.cudnn.benchmark)
            return 1.0

    monkeypatch.setattr(stage, "NoiseTraining", Running)
    monkeypatch.setattr(stage, "training_dtype", lambda *_: torch.float16)
    (step,) = time_probes([Probe(2, 16, 8, 2)], torch.device("cuda"))
    assert step.seconds == 1.0
    assert all(chosen)
    assert not torch.backends.cudnn.benchmark


def test_measuring_gives_costs_of_planes_and_volumes(monkeypatch):
    smaller = tuple(Probe(probe.num_axes, 16, probe.features, 2) for probe in CPU_PROBES)
    monkeypatch.setattr(stage, "CPU_PROBES", smaller)
    monkeypatch.setattr(stage, "ROUNDS", 1)
    measured = measure(CPU)
    assert measured.identity == machine_identity(CPU)
    for num_axes in (2, 3):
        assert measured.costs(num_axes).seconds(multiplications=1e9, activations=1e6) > 0


@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize("name", ["CPU_PROBES", "ACCELERATOR_PROBES"])
def test_probes_tell_the_three_costs_apart(name, num_axes):
    sizes = torch.tensor(
        [
            [
                1.0,
                probe.architecture().multiplication_count() * probe.batch_size / 1e9,
                probe.architecture().activation_count() * probe.batch_size / 1e6,
            ]
            for probe in getattr(stage, name)
            if probe.num_axes == num_axes
        ],
        dtype=torch.float64,
    )
    scaled = sizes / sizes.norm(dim=0)
    assert float(torch.linalg.cond(scaled)) < 30
