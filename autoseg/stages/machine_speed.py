"""How fast this machine trains: measured in seconds, once, and kept for all datasets."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import torch

from autoseg.architectures import ARCHITECTURES, Architecture
from autoseg.architectures.u_shape import doubling_features
from autoseg.core.atomic import remove_leftovers
from autoseg.core.device import choose_device, is_out_of_memory
from autoseg.core.errors import DocumentError
from autoseg.core.labels import LabelScheme
from autoseg.core.parallel import default_workers
from autoseg.core.processor import processor_name
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.machine import MachineIdentity, MeasuredMachine, StepCosts
from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.losses.dice_ce import DiceCrossEntropy
from autoseg.planning.speed import TimedStep, fitted_costs
from autoseg.planning.topology import topology_for
from autoseg.training.loop import fast_convolutions
from autoseg.training.precision import training_dtype
from autoseg.training.state import TrainingState, initial_state
from autoseg.training.step import training_step
from autoseg.training.targets import Objective, objective

ROUNDS = 3
"""Times that every probe is timed; the fastest counts, for other work only makes steps slower."""

MOST_SECONDS = 20.0
"""Time after which no further round begins."""

LEAST_SHARE = 0.5
"""Share of its threads' time that a measurement on a CPU must have had: one that had less, because
other work ran, serves one plan and is not kept."""

SHORTEST_JUDGED = 1.0
"""Seconds below which a measurement's share of the processor says nothing."""

DISTURBED = (
    "note: other work took much of the processor meanwhile; so what was measured is not kept, and "
    "the next plan measures again"
)
"""What is said of such a measurement."""

LABELS = LabelScheme(names=("background", "class_1"), values=(0, 1))


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
    cache: Path, device_name: str = "auto", *, anew: bool = False, progress: Progress
) -> MeasuredMachine | None:
    """Return how fast a device trains, from the cache or measured now and kept there.

    What is damaged there, half-written or of another machine or version is measured anew. None if
    the device has too little memory now.

    Args:
        cache: Folder of such measurements; made if it is not there.
        device_name: As `choose_device` takes it.
        anew: Whether to measure even if it was before.
        progress: Where to report to.

    Raises:
        TrainingError: If the device is none.
    """
    device = choose_device(device_name)
    known = None if anew else known_speed(cache, device_name)
    if known is not None:
        return known
    progress.begin("measuring how fast this machine trains")
    progress.say("measuring how fast this machine trains; this is done once")
    started, used = perf_counter(), process_time()
    try:
        measured = measure(device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        progress.say(f"note: {device} has too little free memory to measure its speed")
        return None
    seconds, used = perf_counter() - started, process_time() - used
    if device.type == "cpu" and is_disturbed(seconds, used, torch.get_num_threads()):
        progress.say(DISTURBED)
    else:
        _keep(measured, cache, progress)
    return measured


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
    try:
        kept = store.load(MeasuredMachine, _file(cache, identity), made_by="autoseg plan --measure")
    except (DocumentError, OSError):
        return None
    return kept if kept.identity == identity else None


def identity_of(device: torch.device) -> MachineIdentity:
    """Return what a measurement of a device depends on."""
    is_cuda = device.type == "cuda"
    return MachineIdentity(
        device=torch.cuda.get_device_name(device) if is_cuda else processor_name(),
        cores=default_workers(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        precision=str(_dtype(CPU_PROBES[0], device)).removeprefix("torch."),
    )


def measure(device: torch.device) -> MeasuredMachine:
    """Return how fast a device trains, from steps on noise.

    Raises:
        RuntimeError: If it has too little memory; `is_out_of_memory` tells.
    """
    probes = CPU_PROBES if device.type == "cpu" else ACCELERATOR_PROBES
    costs: dict[int, StepCosts] = {}
    for num_axes in (2, 3):
        costs[num_axes] = fitted_costs(
            timed([probe for probe in probes if probe.num_axes == num_axes], device)
        )
    return MeasuredMachine(identity=identity_of(device), planes=costs[2], volumes=costs[3])


def timed(probes: list[Probe], device: torch.device) -> list[TimedStep]:
    """Return the fastest of a few steps of every probe; the rounds go over all in turns."""
    running = [_Running(probe, device) for probe in probes]
    with fast_convolutions(device):
        for probe in running:  # warms up
            probe.step()
        started = perf_counter()
        seconds = [[probe.step()] for probe in running]
        for _ in range(ROUNDS - 1):
            if perf_counter() - started > MOST_SECONDS / 2:  # one half for each number of axes
                break
            for probe, found in zip(running, seconds, strict=True):
                found.append(probe.step())
    return [probe.timed(min(found)) for probe, found in zip(running, seconds, strict=True)]


class _Running:
    """A network in training on noise."""

    def __init__(self, probe: Probe, device: torch.device) -> None:
        self._probe = probe
        self._architecture = probe.architecture()
        self._dtype = _dtype(probe, device)
        self._state: TrainingState = initial_state(
            self._architecture,
            SHORT_RECIPE,
            device=device,
            dtype=self._dtype,
            seed=0,
            epoch_steps=1,
        )
        shape = (probe.batch_size, 1, *(probe.edge,) * probe.num_axes)
        drawn = torch.Generator().manual_seed(0)
        images = torch.randn(shape, generator=drawn)
        self._batch = (images.to(device), (images[:, 0] > 1).long().to(device))
        self._objective: Objective = objective(DiceCrossEntropy().build(), LABELS)

    def step(self) -> float:
        """Return the seconds of one training step."""
        before = perf_counter()
        loss = training_step(
            self._state,
            self._batch,
            self._objective,
            rate=SHORT_RECIPE.optimizer.learning_rate,
            gradient_clip=SHORT_RECIPE.gradient_clip,
            dtype=self._dtype,
        )
        float(loss)  # waits until an accelerator is done
        return perf_counter() - before

    def timed(self, seconds: float) -> TimedStep:
        """Return the size of a step with what it took."""
        batch = self._probe.batch_size
        return TimedStep(
            multiplications=float(self._architecture.multiplication_count() * batch),
            activations=float(self._architecture.activation_count() * batch),
            seconds=seconds,
        )


def _dtype(probe: Probe, device: torch.device) -> torch.dtype:
    return training_dtype(device, "auto", probe.architecture().topology)


def _file(cache: Path, identity: MachineIdentity) -> Path:
    digest = hashlib.sha256(identity.model_dump_json().encode()).hexdigest()[:16]
    return cache / f"machine-{digest}.json"


def _keep(measured: MeasuredMachine, cache: Path, progress: Progress) -> None:
    """Write a measurement; a cache that cannot be written costs the next command a new one."""
    try:
        store.save(measured, _file(cache, measured.identity))
        remove_leftovers(cache)
    except OSError as error:
        progress.say(f"note: the measurement could not be kept in {cache} ({error.strerror})")
