"""One training step, and the evaluation of one validation batch.

Batches are copied to the device of the network while it computes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from autoseg.architectures import NetworkOutput
from autoseg.core.device import autocast, memory_layout, to_device
from autoseg.core.labels import LabelScheme
from autoseg.core.tensors import ImageBatch, ScoredLabels
from autoseg.training.augmenting import augmented
from autoseg.training.deep_supervision import supervised_loss
from autoseg.training.sampling import Batch, UnaugmentedBatch
from autoseg.training.state import TrainingState
from autoseg.training.targets import Objective, TargetCounts, target_counts

TensorBatch = tuple[ImageBatch, ScoredLabels]


def batch_to_device(batch: Batch | UnaugmentedBatch, device: torch.device) -> TensorBatch:
    """Copy images and labels to the device; an unaugmented batch is augmented there."""
    if isinstance(batch, UnaugmentedBatch):
        images, labels = augmented(batch, device)
    else:
        images, labels = to_device(batch.images, device), to_device(batch.labels, device)
    layout = memory_layout(device, images.ndim - 2)
    return images.contiguous(memory_format=layout), labels.long()


class DevicePrefetcher:
    """Batches on the device of the network, fetched ahead of time from those `drawn` on the CPU.

    GPU operations are asynchronous until their result is read. Before that, the next batch is taken
    from its worker, and its copy and augmentation are queued. None of this synchronises: even the
    highest label, which rotations need, was computed in the worker.
    """

    def __init__(self, drawn: Iterator[Batch | UnaugmentedBatch], device: torch.device) -> None:
        self._drawn = drawn
        self._device = device
        self._next: tuple[Batch | UnaugmentedBatch, TensorBatch] | None = None

    def fetch(self) -> None:
        """Fetch the next batch unless it has been fetched already."""
        self._next = self._next or self._load()

    def take(self) -> tuple[Batch | UnaugmentedBatch, TensorBatch]:
        """Return the next batch, as drawn and as tensors on the device."""
        batch, self._next = self._next or self._load(), None
        return batch

    def _load(self) -> tuple[Batch | UnaugmentedBatch, TensorBatch]:
        drawn = next(self._drawn)
        return drawn, batch_to_device(drawn, self._device)


def training_step(
    state: TrainingState,
    batch: TensorBatch,
    loss: Objective,
    *,
    rate: float,
    gradient_clip: float,
    dtype: torch.dtype,
) -> Tensor:
    """Update the weights once and return the loss of the batch.

    If the gradient is not finite, its norm is returned instead of the loss. In float16, the scaler
    then skips the update and lowers its scale, so that only the loss counts.

    Args:
        state: Training state; its network and optimiser are changed.
        batch: Images and labels on the device of the network.
        loss: Loss to minimise.
        rate: Learning rate.
        gradient_clip: Maximum norm of all gradients together.
        dtype: Data type of convolutions.
    """
    images, labels = batch
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.zero_grad(set_to_none=True)
    with autocast(images.device, dtype):
        output: NetworkOutput = state.network(images)
    value = supervised_loss(loss, output, labels)
    state.scaler.scale(value).backward()  # type: ignore[no-untyped-call]
    state.scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), gradient_clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.scaler.is_enabled():
        return value.detach()
    return torch.where(norm.isfinite(), value, norm).detach()  # no wait for a GPU, unlike `if`


def update_average(state: TrainingState, decay: float) -> None:
    """Update the moving average of the weights.

    The decay is smaller in the first steps, so that the random initialisation fades quickly.
    """
    if state.average is None:
        return
    step = state.position.step
    decay = min(decay, (1 + step) / (10 + step))
    averaged, current = state.average.state_dict(), state.network.state_dict()
    for name, value in current.items():
        if value.is_floating_point():
            averaged[name].lerp_(value, 1 - decay)
        else:
            averaged[name].copy_(value)


@torch.inference_mode()
def validation_scores(
    network: nn.Module, batch: TensorBatch, loss: Objective, labels: LabelScheme, dtype: torch.dtype
) -> tuple[Tensor, TargetCounts]:
    """Return the loss at full resolution and the voxel counts for Dice.

    Args:
        network: The network; left in training mode.
        batch: Images and labels on the device of the network.
        loss: Loss to compute.
        labels: Label scheme.
        dtype: Data type of convolutions.
    """
    images, classes = batch
    network.eval()
    with autocast(images.device, dtype):
        logits: Tensor = network(images).logits
    network.train()
    logits = logits.float()
    return loss(logits, classes), target_counts(logits, classes, labels)


def pseudo_dice(counts: TargetCounts) -> tuple[float | None, ...]:
    """Return Dice per target from pooled counts; None for targets without voxels."""
    both, predicted, true = counts.cpu()
    return tuple(
        None if total == 0 else 2 * hit / total
        for hit, total in zip(both.tolist(), (predicted + true).tolist(), strict=True)
    )
