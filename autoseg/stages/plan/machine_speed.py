"""Measure the training speed of this machine once, and cache it for all datasets."""

import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import torch

from autoseg.architectures import ARCHITECTURES, Architecture
from autoseg.architectures.u_shape import doubling_features
from autoseg.core.child import read_request, run_module, time_limit
from autoseg.core.device import Precision, choose_device, is_out_of_memory
from autoseg.core.errors import TrainingError
from autoseg.core.frozen import Frozen, PositiveInt
from autoseg.core.instructions import choices
from autoseg.core.parallel import default_workers
from autoseg.core.processor import processor_name
from autoseg.core.progress import Progress
from autoseg.documents.machine import MachineIdentity, MeasuredMachine, StepCosts
from autoseg.planning.speed import TimedStep, fitted_costs
from autoseg.planning.topology import topology_for
from autoseg.stages.measurements import load_measurement, measurement_file, save_measurement
from autoseg.training.loop import fast_convolutions
from autoseg.training.noise_training import NoiseTraining, step_times
from autoseg.training.precision import training_dtype

ROUNDS = 3
"""Number of times that every probe is timed; the fastest counts, as other work only adds time."""

MAX_SECONDS = 20.0
"""Time after which no further round starts, seconds."""

MIN_CPU_SHARE = 0.5
"""Minimum CPU time of a CPU measurement, as a share of threads times elapsed time. A measurement
below it was slowed down by other work: it is used for one plan and not cached."""

MIN_JUDGED_SECONDS = 1.0
"""Duration below which the CPU share of a measurement is not meaningful, seconds."""

DISTURBED = (
    "note: the machine was busy; the measurement is used for this plan but not cached, and the "
    "next plan measures again"
)
"""Message about a measurement that other work slowed down."""

PROGRAM = "autoseg.stages.plan.machine_speed"
"""Module that measures a CPU in a subprocess, because convolutions in bfloat16 may crash."""

TIMEOUT_SECONDS = 600.0
"""Time after which the subprocess is considered to hang and ends, seconds."""


@dataclass(frozen=True)
class Probe:
    """A network whose training steps are timed.

    Attributes:
        num_axes: Number of axes of a patch.
        edge: Edge length of a patch, voxels.
        features: Number of features of the first stage.
        batch_size: Patches per step.
    """

    num_axes: int
    edge: int
    features: int
    batch_size: int

    def architecture(self) -> Architecture:
        """Build the plain U-Net of this size."""
        topology = topology_for((1.0,) * self.num_axes, (float(self.edge),) * self.num_axes)
        network = ARCHITECTURES["unet"].for_topology(topology, in_channels=1, num_classes=2)
        features = doubling_features(self.features, topology)
        return network.model_copy(update={"features": features})

    def to_timed_step(self, seconds: float) -> TimedStep:
        """Combine the size of a training step with its measured duration in seconds."""
        network = self.architecture()
        return TimedStep(
            multiplications=float(network.multiplication_count() * self.batch_size),
            activations=float(network.activation_count() * self.batch_size),
            seconds=seconds,
        )


class MeasurementRequest(Frozen):
    """Settings of a CPU measurement in a subprocess.

    Attributes:
        threads: Number of torch threads.
        precision: Precision of the convolutions.
    """

    threads: PositiveInt
    precision: Precision


class Measurement(Frozen):
    """A measurement of a machine.

    Attributes:
        machine: The measured speed.
        is_disturbed: Whether other work used too much CPU time.
    """

    machine: MeasuredMachine
    is_disturbed: bool


CPU_PROBES = (
    *(Probe(2, 160, 8, 2), Probe(2, 256, 16, 2), Probe(2, 384, 16, 2), Probe(2, 256, 32, 2)),
    *(Probe(3, 32, 8, 2), Probe(3, 40, 16, 2), Probe(3, 56, 16, 2), Probe(3, 40, 32, 2)),
)
ACCELERATOR_PROBES = (
    *(Probe(2, 32, 8, 2), Probe(2, 512, 8, 8), Probe(2, 512, 16, 8), Probe(2, 384, 32, 8)),
    *(Probe(3, 16, 8, 2), Probe(3, 96, 8, 2), Probe(3, 96, 16, 2), Probe(3, 64, 32, 2)),
)
"""Their sizes separate a step's fixed cost from the costs of multiplications and activations, and
are typical of plans: patches of a tenth of the size predicted real steps up to 68 % too long.
Source: docs/pages/planning.md, "The machine's speed"."""


def machine_speed(
    cache: Path, device_name: str = "auto", *, remeasure: bool = False, progress: Progress
) -> MeasuredMachine | None:
    """Return the training speed of a device, from the cache or measured now and cached.

    A cached measurement that is damaged, or of another machine or version, is measured again.

    Args:
        cache: Cache folder; created if missing.
        device_name: Device name, as for `choose_device`.
        remeasure: Whether to ignore the cache.
        progress: Receives messages.

    Returns:
        The measured speed; None if the device has too little free memory.

    Raises:
        TrainingError: If the device is unknown or unavailable.
    """
    device = choose_device(device_name)
    cached = None if remeasure else cached_speed(cache, device_name)
    if cached is not None:
        return cached
    progress.begin("measuring how fast this machine trains")
    progress.say("measuring how fast this machine trains; this is done once")
    try:
        is_cpu = device.type == "cpu"
        measurement = measure_in_subprocess(progress) if is_cpu else measure_in_process(device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        progress.say(f"note: {device} has too little free memory to measure its speed")
        return None
    machine = measurement.machine
    if measurement.is_disturbed:
        progress.say(DISTURBED)
    else:
        save_measurement(machine, measurement_file(cache, "machine", machine.identity), progress)
    return machine


def measure_in_subprocess(progress: Progress) -> Measurement:
    """Measure this CPU in a subprocess, so that a crash does not end this process.

    After a crash the measurement is repeated as trainings are: first with fewer CPU instructions,
    if this process can still be limited to them, and finally in float32.

    Raises:
        RuntimeError: If the subprocess fails; check `is_out_of_memory`.
        TrainingError: If it also crashes in float32.
    """
    instructions, *fewer = choices()
    attempts: list[tuple[Precision, str]] = [("auto", instructions)]
    attempts += [("auto", limit) for limit in fewer] + [("float32", instructions)]
    for precision, limit in attempts:
        request = MeasurementRequest(threads=torch.get_num_threads(), precision=precision)
        ended = run_module(PROGRAM, request.model_dump_json(), instructions=limit)
        if ended.crash is None:
            if ended.status != 0:
                raise RuntimeError(ended.errors)
            result = Measurement.model_validate_json(ended.output.splitlines()[-1])
            identity = machine_identity(torch.device("cpu"))
            machine = result.machine.model_copy(update={"identity": identity})
            return result.model_copy(update={"machine": machine})
        progress.say(f"warning: the measurement {ended.crash} ({precision}, oneDNN: {limit})")
    msg = (
        f"the measurement of this machine's speed {ended.crash}, also in float32. Free memory and "
        "run the same command again, or plan without --budget and --remeasure."
    )
    raise TrainingError(msg)


def measure_in_process(device: torch.device, precision: Precision = "auto") -> Measurement:
    """Measure a device in this process.

    Raises:
        RuntimeError: If the device has too little memory; check `is_out_of_memory`.
    """
    started, cpu_started = perf_counter(), process_time()
    measured = measure(device, precision)
    seconds, cpu_seconds = perf_counter() - started, process_time() - cpu_started
    is_cpu = device.type == "cpu"
    return Measurement(
        machine=measured,
        is_disturbed=is_cpu and is_disturbed(seconds, cpu_seconds, torch.get_num_threads()),
    )


def is_disturbed(seconds: float, processor_seconds: float, threads: int) -> bool:
    """Return True if a computation had too little CPU time for a valid measurement of the speed.

    Args:
        seconds: Elapsed time, seconds.
        processor_seconds: CPU time of all threads together, seconds.
        threads: Number of threads.
    """
    return seconds > MIN_JUDGED_SECONDS and processor_seconds < MIN_CPU_SHARE * threads * seconds


def cached_speed(cache: Path, device_name: str = "auto") -> MeasuredMachine | None:
    """Load the training speed of a device from the cache; None if it was not measured before.

    Raises:
        TrainingError: If the device is unknown or unavailable.
    """
    identity = machine_identity(choose_device(device_name))
    cached = load_measurement(MeasuredMachine, measurement_file(cache, "machine", identity))
    return cached if cached is not None and cached.identity == identity else None


def machine_identity(device: torch.device) -> MachineIdentity:
    """Collect the hardware and software properties that a measurement of a device depends on."""
    is_cuda = device.type == "cuda"
    return MachineIdentity(
        device=torch.cuda.get_device_name(device) if is_cuda else processor_name(),
        cores=default_workers(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        precision=str(_dtype(CPU_PROBES[0], device, "auto")).removeprefix("torch."),
    )


def measure(device: torch.device, precision: Precision = "auto") -> MeasuredMachine:
    """Measure the training speed of a device from steps on random data.

    Raises:
        RuntimeError: If the device has too little memory; check `is_out_of_memory`.
    """
    probes = CPU_PROBES if device.type == "cpu" else ACCELERATOR_PROBES
    costs: dict[int, StepCosts] = {}
    for num_axes in (2, 3):
        own = [probe for probe in probes if probe.num_axes == num_axes]
        costs[num_axes] = fitted_costs(time_probes(own, device, precision))
    return MeasuredMachine(identity=machine_identity(device), planes=costs[2], volumes=costs[3])


def time_probes(
    probes: list[Probe], device: torch.device, precision: Precision = "auto"
) -> list[TimedStep]:
    """Time several training steps of every probe, in rounds over all probes, and keep the fastest.

    Args:
        probes: Networks to time.
        device: Device to train on.
        precision: Precision of the convolutions.
    """
    trainings = [
        NoiseTraining(
            probe.architecture(), probe.batch_size, device, _dtype(probe, device, precision)
        )
        for probe in probes
    ]
    with fast_convolutions(device):
        # half of the time for 2-D, half for 3-D
        seconds = step_times(trainings, ROUNDS, MAX_SECONDS / 2)
    return [probe.to_timed_step(min(times)) for probe, times in zip(probes, seconds, strict=True)]


def _dtype(probe: Probe, device: torch.device, precision: Precision) -> torch.dtype:
    return training_dtype(device, precision, probe.architecture().topology)


def main() -> None:
    """Measure this CPU: read a `MeasurementRequest` from stdin, write a `Measurement` to stdout."""
    request = MeasurementRequest.model_validate_json(read_request())
    torch.set_num_threads(request.threads)
    with time_limit(TIMEOUT_SECONDS):
        measurement = measure_in_process(torch.device("cpu"), request.precision)
    sys.stdout.write(measurement.model_dump_json())


if __name__ == "__main__":
    main()
