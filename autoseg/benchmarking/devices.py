"""Wait for a device, and say what to do when its memory runs out."""

import torch

from autoseg.core.errors import TrainingError


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has done what it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def lack_of_memory(device: torch.device, configuration: str) -> TrainingError:
    """Return what is to be said if a device has too little memory for a configuration."""
    return TrainingError(
        f"{device} has too little free memory for {configuration}. Close what else uses it, "
        "measure another one with --configuration, or plan for the GiB that are free with "
        "`autoseg plan DATASET --memory`."
    )
