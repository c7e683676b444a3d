"""Synchronise devices and report a lack of memory."""

import torch

from autoseg.core.errors import TrainingError


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def out_of_memory_error(device: torch.device, configuration: str) -> TrainingError:
    """Build the out-of-memory error of a configuration."""
    return TrainingError(
        f"{device} has too little free memory for {configuration}. Close other programs that use "
        "it, measure another configuration with --configuration, or plan for the free memory (GiB) "
        "with `autoseg plan DATASET --memory`."
    )
