"""Save and restore a training, exactly.

A checkpoint is one safetensors file: tensors (weights, optimiser, random generators) plus a JSON
header (counters, learning curve, what it belongs to). It is written under a temporary name and
renamed, so that a kill at any moment leaves the previous one whole; nothing in it is executed.
"""

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import TrainingError
from autoseg.core.frozen import Frozen
from autoseg.documents.run import EpochRecord
from autoseg.training.learning_rate import Position
from autoseg.training.state import TrainingState


class CheckpointHeader(Frozen):
    """The counters of a `TrainingState`, and which training it is.

    Attributes:
        identity: Hash of plan, recipe, options and cases; only the same training may go on from it.
        step: See `Position`.
        seconds: See `Position`.
        epoch_steps: See `TrainingState`.
        epoch_losses: See `TrainingState`.
        history: See `TrainingState`.
        scaler: State of the gradient scaler; empty where gradients are not scaled.
        started_with: The length and seed that were asked for, as options of the command.
    """

    identity: str
    step: int
    seconds: float
    epoch_steps: int
    epoch_losses: tuple[float, ...]
    history: tuple[EpochRecord, ...]
    scaler: dict[str, int | float]
    started_with: str = ""


def save_checkpoint(
    state: TrainingState, path: Path, *, identity: str, started_with: str = ""
) -> None:
    """Write the state, replacing an older checkpoint only once this one is whole.

    Args:
        state: What to write.
        path: The file.
        identity: See `CheckpointHeader`.
        started_with: See `CheckpointHeader`.
    """
    header = CheckpointHeader(
        identity=identity,
        step=state.position.step,
        seconds=state.position.seconds,
        epoch_steps=state.epoch_steps,
        epoch_losses=tuple(state.epoch_losses),
        history=tuple(state.history),
        scaler=state.scaler.state_dict(),
        started_with=started_with,
    )
    with atomic_write(path) as temporary:
        metadata = {"header": header.model_dump_json()}
        temporary.write_bytes(save(_tensors(state), metadata=metadata))


def load_checkpoint(
    state: TrainingState, path: Path, *, identity: str, started_with: str = ""
) -> None:
    """Put a saved training into `state`.

    Args:
        state: Is changed.
        path: The file.
        identity: See `CheckpointHeader`.
        started_with: The same of the training that is to go on, to name what differs.

    Raises:
        TrainingError: If the file is damaged or belongs to another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = CheckpointHeader.model_validate_json((file.metadata() or {})["header"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValidationError, KeyError, OSError) as error:
        msg = (
            f"{path} cannot be read as a checkpoint ({error}). Delete it to start this training "
            "from the beginning (--restart does it)."
        )
        raise TrainingError(msg) from error
    if header.identity != identity:
        msg = (
            f"{path} was made with {_difference(header.started_with, started_with)}. To go on, run "
            f"the command that it was started with ({header.started_with or 'not known'}), with "
            "the plan and cases of then; to begin anew, add --restart."
        )
        raise TrainingError(msg)
    _restore_tensors(state, tensors)
    if header.scaler:  # else the device before scaled no gradients, and this one begins to
        state.scaler.load_state_dict(dict(header.scaler))
    state.position = Position(step=header.step, seconds=header.seconds)
    state.epoch_steps = header.epoch_steps
    state.epoch_losses = list(header.epoch_losses)
    state.history = list(header.history)


def _difference(then: str, now: str) -> str:
    """Return what differs between two trainings, as far as their options tell."""
    if not (then and now):
        return "another plan, length, seed, precision, set of cases or pretrained model"
    if then != now:
        return f"{then}, not with {now}"
    same_name = " or weights of the pretrained model" if "--pretrained" in now else ""
    return f"the same length and seed, but another plan, precision, set of cases{same_name}"


def _tensors(state: TrainingState) -> dict[str, Tensor]:
    tensors = _prefixed("network.", state.network.state_dict())
    if state.average is not None:
        tensors |= _prefixed("average.", state.average.state_dict())
    for index, entries in state.optimizer.state_dict()["state"].items():
        tensors |= _prefixed(f"optimizer.{index}.", entries)
    tensors["random.cpu"] = torch.get_rng_state()
    device = _device(state.network)
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        tensors["random.mps"] = torch.mps.get_rng_state()
    return tensors


def _device(network: nn.Module) -> torch.device:
    """Return where a network is; other GPUs, which may be someone else's, are left alone."""
    return next(network.parameters()).device


def _prefixed(prefix: str, entries: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors under longer names, on the CPU and contiguous, as the format needs."""
    return {
        prefix + name: value.detach().to("cpu").contiguous()
        for name, value in entries.items()
        if isinstance(value, Tensor)
    }


def _restore_tensors(state: TrainingState, tensors: dict[str, Tensor]) -> None:
    state.network.load_state_dict(_without_prefix("network.", tensors))
    if state.average is not None:
        state.average.load_state_dict(_without_prefix("average.", tensors))
    optimizer = state.optimizer.state_dict()
    entries: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _without_prefix("optimizer.", tensors).items():
        index, field = name.split(".", maxsplit=1)
        entries.setdefault(int(index), {})[field] = tensor
    state.optimizer.load_state_dict({**optimizer, "state": entries})
    _lay_out_like_weights(state.optimizer)
    torch.set_rng_state(tensors["random.cpu"])
    device = _device(state.network)
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
    elif device.type == "mps" and "random.mps" in tensors:
        torch.mps.set_rng_state(tensors["random.mps"])


def _lay_out_like_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give what the optimiser remembers of each weight the memory layout of that weight.

    A checkpoint's tensors are contiguous. An optimiser that goes through all weights at once takes
    the numbers of one weight in the order in which they lie, whatever their strides.
    """
    for weight, entries in optimizer.state.items():
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                entries[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a finished network's weights, float32."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(_prefixed("", network.state_dict())))
