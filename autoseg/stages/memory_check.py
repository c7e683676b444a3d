"""Refuse a training whose predicted memory the machine does not have, before it is built."""

import torch

from autoseg.core.errors import TrainingError
from autoseg.core.formatting import format_number
from autoseg.core.memory import BYTES_PER_GIB, machine_bytes
from autoseg.documents.plan import Configuration
from autoseg.planning.step_memory import step_memory_gib

ACCELERATOR_MARGIN = 1.5
"""Factor by which the prediction may exceed the memory of a GPU before it is refused: torch reports
at once that a GPU is full, but exceeding the main memory ends or freezes the machine."""


def check_training_memory(configuration: Configuration, device: torch.device) -> None:
    """Check that a training step can fit into the memory of its device.

    Args:
        configuration: The configuration to train.
        device: Device to train on.

    Raises:
        TrainingError: If the predicted memory is larger than that of the device.
    """
    needed = step_memory_gib(
        configuration.architecture, configuration.batch_size, configuration.recipe
    )
    found, where = machine_bytes(), "this machine"
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        found, where = int(ACCELERATOR_MARGIN * total), str(device)
    if found is not None and needed > found / BYTES_PER_GIB:
        shown = configuration.architecture.topology.patch_shape
        msg = (
            f"a training step of {configuration.name} is predicted to need {format_number(needed)} "
            f"GiB, more than {where} has ({format_number(found / BYTES_PER_GIB)} GiB): "
            f"batch_size {configuration.batch_size}, patch_shape {list(shown)}. Make them or the "
            "network smaller in plan.json, or plan again with a smaller --memory."
        )
        raise TrainingError(msg)
