"""Everything that defines a training, and what it reports to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from autoseg.architectures import Architecture
from autoseg.core.interrupt import StopRequest
from autoseg.core.labels import LabelScheme
from autoseg.documents.recipe import AnyLength, Budget, Recipe
from autoseg.losses import Loss
from autoseg.training.loading import BatchDataset
from autoseg.training.pretrained import Pretrained
from autoseg.training.state import TrainingState


@dataclass(frozen=True)
class TrainingTask:
    """Everything that defines a training.

    Attributes:
        architecture: The network.
        loss: Loss to minimise.
        labels: Label scheme of the class indices in `data`.
        recipe: Training recipe.
        length: Length of the training.
        seed: Random seed of the network's weights; the sampling in `data` has its own.
        data: Dataset of batches.
        class_frequencies: Share of each class among all voxels, for the biases of the heads.
        device: Device to train on.
        dtype: Data type of convolutions.
        workers: Number of worker processes that prepare batches.
        checkpoint: Checkpoint file.
        checkpoint_seconds: Time between two checkpoints.
        identity: Hash of everything that must not change when the training is resumed.
        pretrained: Pretrained weights; None for a random initialisation.
        compiled: Whether to compile the network with torch.compile. Weights keep their names, so
            that a training can be resumed with or without.
    """

    architecture: Architecture
    loss: Loss
    labels: LabelScheme
    recipe: Recipe
    length: AnyLength
    seed: int
    data: BatchDataset
    class_frequencies: tuple[float, ...]
    device: torch.device
    dtype: torch.dtype
    workers: int
    checkpoint: Path
    checkpoint_seconds: float
    identity: str
    pretrained: Pretrained | None = None
    compiled: bool = False

    @property
    def started_with(self) -> str:
        """Length, seed and pretrained model as options of the command."""
        if isinstance(self.length, Budget):
            duration = f"--budget {self.length.seconds:g}s"
        else:
            duration = f"--iterations {self.length.total}"
        pretrained = "" if self.pretrained is None else f" --pretrained, {self.pretrained.model}"
        return f"{duration} --seed {self.seed}{pretrained}"


@dataclass(frozen=True)
class Callbacks:
    """Callbacks of the training loop.

    Attributes:
        on_step: Called with the state after every step.
        on_epoch: Called with the state after every validation, whose record is the last one.
        stop: Stop request, checked after every step.
        say: Receives messages.
    """

    on_step: Callable[[TrainingState], None]
    on_epoch: Callable[[TrainingState], None]
    stop: StopRequest
    say: Callable[[str], None]
