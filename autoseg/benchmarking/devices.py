"""Wait for a device, and say what to do when its memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from autoseg.core.device import is_out_of_memory
from autoseg.core.errors import TrainingError


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has done what it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def naming_lack_of_memory(device: torch.device, configuration: str) -> Iterator[None]:
    """Turn torch's error about a lack of memory into one for the user.

    Raises:
        TrainingError: If memory ran out in the block.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        msg = (
            f"{device} has too little free memory for {configuration}. Close what else uses it, "
            "measure another one with --configuration, or plan for the GiB that are free with "
            "`autoseg plan DATASET --memory`."
        )
        raise TrainingError(msg) from error
