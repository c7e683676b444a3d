"""How fast this machine trains: measured in seconds, once, and kept for all datasets."""

import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import torch
from pydantic import PositiveInt

from autoseg.architectures import ARCHITECTURES, Architecture
from autoseg.architectures.u_shape import doubling_features
from autoseg.core.child import ended_after, run_module
from autoseg.core.device import Precision, choose_device, is_out_of_memory
from autoseg.core.errors import TrainingError
from autoseg.core.frozen import Frozen
from autoseg.core.instructions import choices
from autoseg.core.parallel import default_workers
from autoseg.core.processor import processor_name
from autoseg.core.progress import Progress
from autoseg.documents.machine import MachineIdentity, MeasuredMachine, StepCosts
from autoseg.planning.speed import TimedStep, fitted_costs
from autoseg.planning.topology import topology_for
from autoseg.stages.measurements import keep, kept, measurement_file
from autoseg.training.loop import fast_convolutions
from autoseg.training.noise_training import NoiseTraining, step_times
from autoseg.training.precision import training_dtype

ROUNDS = 3
"""Times that every probe is timed; the fastest counts, for other work only makes steps slower."""

MOST_SECONDS = 20.0
"""Time after which no further round begins."""

LEAST_SHARE = 0.5
"""Share of its threads' time that a measurement on a CPU must have had: one that had less, reason
other work ran, serves one plan and is not kept."""

SHORTEST_JUDGED = 1.0
"""Seconds below which a measurement's share of the processor says nothing."""

DISTURBED = (
    "note: other work took much of the processor meanwhile; so what was measured is not kept, and "
    "the next plan measures again"
)
"""What is said of such a measurement."""

PROGRAM = "autoseg.stages.machine_speed"
"""What measures a CPU, in a process of its own: its convolutions in bfloat16 may crash."""

LONGEST_SECONDS = 600.0
"""Time after which a measurement hangs."""


@dataclass(frozen=True)
class Probe:
    """A network whose training steps are timed.

    Attributes:
        num_axes: Of its patches.
        edge: Of its patches, voxels.
        features: Of its first stage.
        batch_size: Patches per step.
    """

    num_axes: int
    edge: int
    features: int
    batch_size: int

    def architecture(self) -> Architecture:
        """Return the plain U-Net of this size."""
        topology = topology_for((1.0,) * self.num_axes, (float(self.edge),) * self.num_axes)
        network = ARCHITECTURES["unet"].for_topology(topology, in_channels=1, num_classes=2)
        features = doubling_features(self.features, topology)
        return network.model_copy(update={"features": features})

    def timed(self, seconds: float) -> TimedStep:
        """Return the size of a step with what it took."""
        network = self.architecture()
        return TimedStep(
            multiplications=float(network.multiplication_count() * self.batch_size),
            activations=float(network.activation_count() * self.batch_size),
            seconds=seconds,
        )


class MeasurementRequest(Frozen):
    """How to measure a CPU.

    Attributes:
        threads: That torch computes with.
        precision: Type that convolutions compute in.
    """

    threads: PositiveInt
    precision: Precision


class Measurement(Frozen):
    """A measurement of a machine.

    Attributes:
        machine: What was measured.
        is_disturbed: Whether other work took too much of the processor.
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
"""Each of a size that tells a step's fixed cost, multiplications and activations apart, and that
plans have: from patches of a tenth of that, steps of real ones were predicted up to 68 % too long.
Source: docs/pages/planning.md, "The machine's speed"."""


def machine_speed(
    cache: Path, device_name: str = "auto", *, remeasure: bool = False, progress: Progress
) -> MeasuredMachine | None:
    """Return how fast a device trains, from the cache or measured now and kept there.

    What is damaged there, half-written or of another machine or version is measured anew. None if
    the device has too little memory now.

    Args:
        cache: Folder of such measurements; made if it is not there.
        device_name: As `choose_device` takes it.
        remeasure: Whether to measure even if it was before.
        progress: Where to report to.

    Raises:
        TrainingError: If the device is none.
    """
    device = choose_device(device_name)
    known = None if remeasure else known_speed(cache, device_name)
    if known is not None:
        return known
    progress.begin("measuring how fast this machine trains")
    progress.say("measuring how fast this machine trains; this is done once")
    try:
        found = measured_apart(progress) if device.type == "cpu" else measurement(device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        progress.say(f"note: {device} has too little free memory to measure its speed")
        return None
    if found.is_disturbed:
        progress.say(DISTURBED)
    else:
        identity = found.machine.identity
        keep(found.machine, measurement_file(cache, "machine", identity), progress)
    return found.machine


def measured_apart(progress: Progress) -> Measurement:
    """Return a measurement of this CPU by another process, which a crash ends alone.

    After a crash it is repeated with fewer instructions of the CPU where this process can still be
    limited to these, and in float32 in the end, as trainings are.

    Raises:
        RuntimeError: If the other process has too little memory; `is_out_of_memory` tells.
        TrainingError: If it crashes in float32 too.
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
            found = Measurement.model_validate_json(ended.output.splitlines()[-1])
            identity = identity_of(torch.device("cpu"))
            return found.model_copy(
                update={"machine": found.machine.model_copy(update={"identity": identity})}
            )
        progress.say(f"warning: the measurement {ended.crash} ({precision}, oneDNN: {limit})")
    msg = (
        f"the measurement of this machine's speed {ended.crash}, also in float32. Free memory and "
        "run the same command again, or plan without --budget and --remeasure."
    )
    raise TrainingError(msg)


def measurement(device: torch.device, precision: Precision = "auto") -> Measurement:
    """Return a measurement by this process.

    Raises:
        RuntimeError: If the device has too little memory; `is_out_of_memory` tells.
    """
    started, used = perf_counter(), process_time()
    measured = measure(device, precision)
    seconds, used = perf_counter() - started, process_time() - used
    is_cpu = device.type == "cpu"
    return Measurement(
        machine=measured,
        is_disturbed=is_cpu and is_disturbed(seconds, used, torch.get_num_threads()),
    )


def is_disturbed(seconds: float, processor_seconds: float, threads: int) -> bool:
    """Return whether a computation had too little of the processor to tell how fast that is.

    Args:
        seconds: It took.
        processor_seconds: Of all its threads together.
        threads: How many compute.
    """
    return seconds > SHORTEST_JUDGED and processor_seconds < LEAST_SHARE * threads * seconds


def known_speed(cache: Path, device_name: str = "auto") -> MeasuredMachine | None:
    """Return how fast a device trains if that was measured before, else none.

    Raises:
        TrainingError: If the device is none.
    """
    identity = identity_of(choose_device(device_name))
    known = kept(MeasuredMachine, measurement_file(cache, "machine", identity))
    return known if known is not None and known.identity == identity else None


def identity_of(device: torch.device) -> MachineIdentity:
    """Return what a measurement of a device depends on."""
    is_cuda = device.type == "cuda"
    return MachineIdentity(
        device=torch.cuda.get_device_name(device) if is_cuda else processor_name(),
        cores=default_workers(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        precision=str(_dtype(CPU_PROBES[0], device, "auto")).removeprefix("torch."),
    )


def measure(device: torch.device, precision: Precision = "auto") -> MeasuredMachine:
    """Measure the speed of training on a device in a precision, from steps on noise.

    Raises:
        RuntimeError: If it has too little memory; `is_out_of_memory` tells.
    """
    probes = CPU_PROBES if device.type == "cpu" else ACCELERATOR_PROBES
    costs: dict[int, StepCosts] = {}
    for num_axes in (2, 3):
        own = [probe for probe in probes if probe.num_axes == num_axes]
        costs[num_axes] = fitted_costs(timed(own, device, precision))
    return MeasuredMachine(identity=identity_of(device), planes=costs[2], volumes=costs[3])


def timed(
    probes: list[Probe], device: torch.device, precision: Precision = "auto"
) -> list[TimedStep]:
    """Return the fastest of a few steps of every probe; the rounds go over all in turns."""
    running = [
        NoiseTraining(
            probe.architecture(), probe.batch_size, device, _dtype(probe, device, precision)
        )
        for probe in probes
    ]
    with fast_convolutions(device):
        # one half of the time for each number of axes
        seconds = step_times(running, ROUNDS, MOST_SECONDS / 2)
    return [probe.timed(min(found)) for probe, found in zip(probes, seconds, strict=True)]


def _dtype(probe: Probe, device: torch.device, precision: Precision) -> torch.dtype:
    return training_dtype(device, precision, probe.architecture().topology)


def main() -> None:
    """Read a `MeasurementRequest` and write a `Measurement` of this CPU, both as JSON."""
    request = MeasurementRequest.model_validate_json(sys.stdin.buffer.read())
    torch.set_num_threads(request.threads)
    with ended_after(LONGEST_SECONDS):
        found = measurement(torch.device("cpu"), request.precision)
    sys.stdout.write(found.model_dump_json())


if __name__ == "__main__":
    main()
