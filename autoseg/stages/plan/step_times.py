"""Time training steps of networks on this machine, and cache the results."""

import hashlib
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time

import torch
from pydantic import PositiveFloat

from autoseg.architectures import AnyArchitecture, Architecture
from autoseg.core.child import read_request, run_module, time_limit
from autoseg.core.device import choose_device, is_out_of_memory
from autoseg.core.frozen import Frozen, PositiveInt
from autoseg.core.instructions import choices
from autoseg.core.progress import Progress
from autoseg.documents.machine import TimedNetwork
from autoseg.planning.forecast import Step
from autoseg.stages.measurements import load_measurement, measurement_file, save_measurement
from autoseg.stages.plan.machine_speed import is_disturbed, machine_identity
from autoseg.training.loop import fast_convolutions
from autoseg.training.noise_training import NoiseTraining, step_times
from autoseg.training.precision import training_dtype

ROUNDS = 9
"""Maximum number of timed steps per network; their median is used."""

MOST_SECONDS = 3.0
"""Time after which no further round starts."""

PROGRAM = "autoseg.stages.plan.step_times"
"""Module that times steps on a CPU, in a child process: bfloat16 convolutions may crash."""

LONGEST_SECONDS = 300.0
"""Time after which the child process counts as hung."""


class TimesRequest(Frozen):
    """Training steps to time on a CPU.

    Attributes:
        steps: Networks and their batch sizes.
        threads: Number of torch threads.
    """

    steps: tuple[tuple[AnyArchitecture, PositiveInt], ...]
    threads: PositiveInt


class StepTimes(Frozen):
    """Result of timing training steps.

    Attributes:
        seconds: Median time of a step, per network.
        is_disturbed: Whether other processes used too much of the CPU.
    """

    seconds: tuple[PositiveFloat, ...]
    is_disturbed: bool


def measure_step_times(
    cache: Path,
    device_name: str,
    steps: Sequence[Step],
    *,
    remeasure: bool = False,
    progress: Progress,
) -> dict[Step, float]:
    """Return the seconds per training step, from the cache or timed now and cached.

    Args:
        cache: Cache folder for the measurements; created if missing.
        device_name: Device name, as for `choose_device`.
        steps: Networks and their batch sizes.
        remeasure: Whether to time steps again that are in the cache.
        progress: Receives messages.

    Returns:
        Seconds by step. Steps that cannot be timed, because memory runs out or convolutions crash,
        are missing.

    Raises:
        TrainingError: If the device does not exist.
    """
    device = choose_device(device_name)
    keys = {step: _key(step, device) for step in steps}
    files = {step: measurement_file(cache, "training-step", key) for step, key in keys.items()}
    seconds: dict[Step, float] = {}
    for step, key in keys.items():
        cached = None if remeasure else load_measurement(TimedNetwork, files[step])
        if cached is not None and cached.identity == key.identity:
            seconds[step] = cached.seconds
    missing = [step for step in steps if step not in seconds]
    if not missing:
        return seconds
    progress.begin(f"timing training steps of {len(missing)} candidates")
    timed = (
        _time_in_child(missing, progress) if device.type == "cpu" else _time_steps(missing, device)
    )
    if timed is None:
        progress.say("note: training steps could not be timed; the plan uses predicted times")
        return seconds
    for step, step_seconds in zip(missing, timed.seconds, strict=True):
        seconds[step] = step_seconds
        if not timed.is_disturbed:
            measurement = keys[step].model_copy(update={"seconds": step_seconds})
            save_measurement(measurement, files[step], progress)
    return seconds


def _time_in_child(steps: Sequence[Step], progress: Progress) -> StepTimes | None:
    """Time steps on this CPU in a child process; None if it crashes or fails."""
    request = TimesRequest.model_validate({"steps": steps, "threads": torch.get_num_threads()})
    for instructions in choices():
        ended = run_module(PROGRAM, request.model_dump_json(), instructions=instructions)
        if ended.crash is not None:
            progress.say(f"warning: a training step {ended.crash} (oneDNN: {instructions})")
        elif ended.status == 0:
            return StepTimes.model_validate_json(ended.output.splitlines()[-1])
        else:
            progress.say(f"note: {ended.last_error}")
    return None


def _time_steps(steps: Sequence[Step], device: torch.device) -> StepTimes | None:
    """Time steps on a device in this process; None if the memory is too small."""
    started, used = perf_counter(), process_time()
    try:
        with fast_convolutions(device):
            trainings = [
                NoiseTraining(network, batch_size, device, _dtype(network, device))
                for network, batch_size in steps
            ]
            times = step_times(trainings, ROUNDS, MOST_SECONDS)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
    seconds, used = perf_counter() - started, process_time() - used
    return StepTimes(
        seconds=tuple(statistics.median(each) for each in times),
        is_disturbed=device.type == "cpu" and is_disturbed(seconds, used, torch.get_num_threads()),
    )


def _key(step: Step, device: torch.device) -> TimedNetwork:
    """Describe everything that the time of a step depends on; its duration is a placeholder."""
    network, batch_size = step
    precision = str(_dtype(network, device)).removeprefix("torch.")
    return TimedNetwork(
        identity=machine_identity(device).model_copy(update={"precision": precision}),
        network=hashlib.sha256(network.model_dump_json().encode()).hexdigest(),
        batch_size=batch_size,
        seconds=1.0,
    )


def _dtype(network: Architecture, device: torch.device) -> torch.dtype:
    return training_dtype(device, "auto", network.topology)


def main() -> None:
    """Read a `TimesRequest` from stdin, and write `StepTimes` of this CPU to stdout, as JSON."""
    request = TimesRequest.model_validate_json(read_request())
    torch.set_num_threads(request.threads)
    with time_limit(LONGEST_SECONDS):
        timed = _time_steps(request.steps, torch.device("cpu"))
    if timed is None:
        sys.exit("too little free memory to time training steps")
    sys.stdout.write(timed.model_dump_json())


if __name__ == "__main__":
    main()
