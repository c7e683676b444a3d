"""How long training steps of networks take on this machine; what was timed is kept."""

import hashlib
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time

import torch
from pydantic import PositiveFloat, PositiveInt

from autoseg.architectures import AnyArchitecture, Architecture
from autoseg.core.child import ended_after, run_module
from autoseg.core.device import choose_device, is_out_of_memory
from autoseg.core.frozen import Frozen
from autoseg.core.instructions import choices
from autoseg.core.progress import Progress
from autoseg.documents.machine import MachineIdentity, TimedNetwork
from autoseg.planning.forecast import Step
from autoseg.stages.machine_speed import identity_of, is_disturbed
from autoseg.stages.measurements import keep, kept, measurement_file
from autoseg.training.loop import fast_convolutions
from autoseg.training.noise_training import NoiseTraining, step_times
from autoseg.training.precision import training_dtype

ROUNDS = 9
"""Steps of each network that are timed at most; their median counts, as in a training."""

MOST_SECONDS = 3.0
"""Time after which no further round begins."""

PROGRAM = "autoseg.stages.step_times"
"""What times steps on a CPU, in a process of its own: convolutions in bfloat16 may crash."""

LONGEST_SECONDS = 300.0
"""Time after which a step hangs."""


class TimedStep(Frozen):
    """A training step to time.

    Attributes:
        architecture: The network.
        batch_size: Patches per step.
    """

    architecture: AnyArchitecture
    batch_size: PositiveInt


class TimesRequest(Frozen):
    """What to time on a CPU.

    Attributes:
        steps: Of which networks.
        threads: That torch computes with.
    """

    steps: tuple[TimedStep, ...]
    threads: PositiveInt


class StepTimes(Frozen):
    """What came of it.

    Attributes:
        seconds: Of a step of each network.
        is_disturbed: Whether other work took too much of the processor.
    """

    seconds: tuple[PositiveFloat, ...]
    is_disturbed: bool


def timed_steps(
    cache: Path,
    device_name: str,
    steps: Sequence[Step],
    *,
    remeasure: bool = False,
    progress: Progress,
) -> dict[Step, float]:
    """Return the seconds of training steps, from the cache or timed now and kept there.

    Those that cannot be timed, because memory runs out or their convolutions crash, are missing.

    Args:
        cache: Folder of such measurements; made if it is not there.
        device_name: As `choose_device` takes it.
        steps: Networks and their batch sizes.
        remeasure: Whether to time steps that were timed before.
        progress: Where to report to.

    Raises:
        TrainingError: If the device is none.
    """
    device = choose_device(device_name)
    identities = {step: _identity(step, device) for step in steps}
    files = {step: _file(cache, step, identity) for step, identity in identities.items()}
    known = {} if remeasure else {step: kept(TimedNetwork, file) for step, file in files.items()}
    seconds = {
        step: found.seconds
        for step, found in known.items()
        if found is not None and found.identity == identities[step]
    }
    missing = [step for step in steps if step not in seconds]
    if not missing:
        return seconds
    progress.begin(f"timing training steps of {len(missing)} candidates")
    found = (
        _timed_apart(missing, progress) if device.type == "cpu" else _timed_here(missing, device)
    )
    if found is None:
        progress.say("note: training steps could not be timed; the plan goes by predicted times")
        return seconds
    for step, each in zip(missing, found.seconds, strict=True):
        seconds[step] = each
        if not found.is_disturbed:
            timed = TimedNetwork(
                identity=identities[step],
                network=_hash(step[0]),
                batch_size=step[1],
                seconds=each,
            )
            keep(timed, files[step], progress)
    return seconds


def _timed_apart(steps: Sequence[Step], progress: Progress) -> StepTimes | None:
    """Return the times on this CPU, found by another process; None if it crashes."""
    request = TimesRequest(
        steps=tuple(
            TimedStep.model_validate({"architecture": network, "batch_size": batch_size})
            for network, batch_size in steps
        ),
        threads=torch.get_num_threads(),
    )
    for instructions in choices():
        ended = run_module(PROGRAM, request.model_dump_json(), instructions=instructions)
        if ended.crash is not None:
            progress.say(f"warning: a training step {ended.crash} (oneDNN: {instructions})")
        elif ended.status == 0:
            return StepTimes.model_validate_json(ended.output.splitlines()[-1])
        else:
            progress.say(f"note: {ended.last_error}")
    return None


def _timed_here(steps: Sequence[Step], device: torch.device) -> StepTimes | None:
    """Return the times on a device, found by this process; None if it has too little memory.

    Raises:
        RuntimeError: If something else is wrong.
    """
    started, used = perf_counter(), process_time()
    try:
        with fast_convolutions(device):
            trainings = [
                NoiseTraining(network, batch_size, device, _dtype(network, device))
                for network, batch_size in steps
            ]
            found = step_times(trainings, ROUNDS, MOST_SECONDS)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
    seconds, used = perf_counter() - started, process_time() - used
    return StepTimes(
        seconds=tuple(statistics.median(each) for each in found),
        is_disturbed=device.type == "cpu" and is_disturbed(seconds, used, torch.get_num_threads()),
    )


def _identity(step: Step, device: torch.device) -> MachineIdentity:
    precision = str(_dtype(step[0], device)).removeprefix("torch.")
    return identity_of(device).model_copy(update={"precision": precision})


def _file(cache: Path, step: Step, identity: MachineIdentity) -> Path:
    asked = TimedNetwork(identity=identity, network=_hash(step[0]), batch_size=step[1], seconds=1.0)
    return measurement_file(cache, "training-step", asked)


def _hash(network: Architecture) -> str:
    return hashlib.sha256(network.model_dump_json().encode()).hexdigest()


def _dtype(network: Architecture, device: torch.device) -> torch.dtype:
    return training_dtype(device, "auto", network.topology)


def main() -> None:
    """Read a `TimesRequest` and write the `StepTimes` of this CPU, both as JSON."""
    request = TimesRequest.model_validate_json(sys.stdin.buffer.read())
    torch.set_num_threads(request.threads)
    steps = [(step.architecture, step.batch_size) for step in request.steps]
    with ended_after(LONGEST_SECONDS):
        found = _timed_here(steps, torch.device("cpu"))
    if found is None:
        sys.exit("too little free memory to time training steps")
    sys.stdout.write(found.model_dump_json())


if __name__ == "__main__":
    main()
