"""Save and load the exact state of a training.

A checkpoint is a safetensors file: tensors (weights, optimiser, random generators) and a JSON
header (counters, learning curve, identity of the training). It is written under a temporary name
and renamed, so that the previous checkpoint stays intact if the process is killed. Loading a
checkpoint executes no code from it.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeFloat, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import TrainingError, first_line
from autoseg.core.frozen import Frozen, NonNegativeInt, PositiveInt
from autoseg.documents.run import EpochRecord
from autoseg.training.position import Position
from autoseg.training.state import TrainingState


class CheckpointHeader(Frozen):
    """The counters of a `TrainingState` and the identity of the training.

    Attributes:
        identity: Hash of plan, recipe, options and cases; only the same training may resume.
        step: See `Position`.
        seconds: See `Position`.
        epoch_steps: See `TrainingState`.
        epoch_losses: See `TrainingState`.
        history: See `TrainingState`.
        scaler: State of the gradient scaler; empty if gradients are not scaled.
        rate_factor: See `TrainingState`.
        started_with: The requested length and seed as options of the command.
    """

    identity: str
    step: NonNegativeInt
    seconds: NonNegativeFloat
    epoch_steps: PositiveInt
    epoch_losses: tuple[float, ...]
    history: tuple[EpochRecord, ...]
    scaler: dict[str, int | float]
    rate_factor: float = 1.0
    started_with: str = ""


def save_checkpoint(
    state: TrainingState, path: Path, *, identity: str, started_with: str = ""
) -> None:
    """Save the state, replacing an older checkpoint once the new one is complete.

    Args:
        state: The state to save.
        path: The checkpoint file.
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
        rate_factor=state.rate_factor,
        started_with=started_with,
    )
    _write(path, _tensors(state), {"header": header.model_dump_json()})


def load_checkpoint(
    state: TrainingState, path: Path, *, identity: str, started_with: str = ""
) -> None:
    """Load a checkpoint into `state`.

    Args:
        state: The state to change.
        path: The checkpoint file.
        identity: Identity of the training to resume, see `CheckpointHeader`.
        started_with: Options of the training to resume, to name differences in the error message.

    Raises:
        TrainingError: If the file is corrupt or belongs to another training.
        OSError: If it cannot be opened.
    """
    path.open("rb").close()  # safetensors calls every file missing that it cannot open
    try:
        with safe_open(path, framework="pt") as file:
            header = CheckpointHeader.model_validate_json((file.metadata() or {})["header"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValidationError, KeyError) as error:
        raise _invalid_checkpoint(path, error) from error
    if header.identity != identity:
        msg = (
            f"{path} was saved with {_difference(header.started_with, started_with)}. To resume, "
            f"run the original command ({header.started_with or 'options unknown'}) with the "
            "original plan and cases; to start over, add --restart."
        )
        raise TrainingError(msg)
    try:
        _restore_tensors(state, tensors)
        if header.scaler:  # empty if saved on a device without gradient scaling
            state.scaler.load_state_dict(dict(header.scaler))
    except (RuntimeError, KeyError, ValueError, TypeError, IndexError) as error:
        raise _invalid_checkpoint(path, error) from error
    state.position = Position(step=header.step, seconds=header.seconds)
    state.epoch_steps = header.epoch_steps
    state.epoch_losses = list(header.epoch_losses)
    state.history = list(header.history)
    state.rate_factor = header.rate_factor


def _invalid_checkpoint(path: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"{path} is an invalid or corrupt checkpoint ({first_line(error)}). Delete it or add "
        "--restart to train from scratch."
    )


def _difference(then: str, now: str) -> str:
    """Describe how a checkpoint differs from the present training, judging by their options."""
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
    """Return the device of a network; other GPUs may be in use by others and are not touched."""
    return next(network.parameters()).device


def _prefixed(prefix: str, entries: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors with prefixed names, contiguous and on the CPU as safetensors requires."""
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
    entries: defaultdict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in _without_prefix("optimizer.", tensors).items():
        index, field = name.split(".", maxsplit=1)
        entries[int(index)][field] = tensor
    state.optimizer.load_state_dict({**optimizer, "state": entries})
    _lay_out_like_weights(state.optimizer)
    torch.set_rng_state(tensors["random.cpu"])
    device = _device(state.network)
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
    elif device.type == "mps" and "random.mps" in tensors:
        torch.mps.set_rng_state(tensors["random.mps"])


def _lay_out_like_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give the optimiser state of each weight the memory layout of that weight.

    Raises:
        ValueError: If a state has neither the shape of its weight nor a single value.

    Tensors loaded from a checkpoint are contiguous, but fused optimisers ignore strides and read
    the values of weight and state in memory order.
    """
    for weight, entries in optimizer.state.items():
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.numel() > 1 and value.shape != weight.shape:
                msg = f"{name} has shape {list(value.shape)}, its weight {list(weight.shape)}"
                raise ValueError(msg)
            if isinstance(value, Tensor) and value.shape == weight.shape:
                entries[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def save_weights(network: nn.Module, path: Path) -> None:
    """Save the weights of a trained network in float32."""
    _write(path, _prefixed("", network.state_dict()))


def _write(path: Path, tensors: dict[str, Tensor], header: dict[str, str] | None = None) -> None:
    content = save(tensors, header)
    with atomic_write(path, num_bytes=len(content)) as temporary:
        temporary.write_bytes(content)
