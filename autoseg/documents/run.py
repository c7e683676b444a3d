"""What was trained: the record beside the weights."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from autoseg.core.frozen import Frozen
from autoseg.documents.recipe import Recipe, TrainingOptions
from autoseg.documents.splits import FoldName
from autoseg.documents.versions import Versions


class EpochRecord(Frozen):
    """One point of the learning curve; one line of `log.jsonl`.

    Attributes:
        epoch: Counted from 1.
        step: Optimiser steps done by its end.
        seconds: Training time by its end, over all interruptions.
        learning_rate: At its end.
        training_loss: Mean over its steps.
        validation_loss: Mean over the validation batches; None without any.
        pseudo_dice: Per foreground class or region, Dice pooled over the validation patches; None
            for one that neither occurs nor is predicted there.
    """

    epoch: PositiveInt
    step: PositiveInt
    seconds: NonNegativeFloat
    learning_rate: NonNegativeFloat
    training_loss: float
    validation_loss: float | None
    pseudo_dice: tuple[float | None, ...]

    @property
    def mean_pseudo_dice(self) -> float | None:
        """Mean over the classes that have one."""
        known = [value for value in self.pseudo_dice if value is not None]
        return sum(known) / len(known) if known else None


class TensorGroup(Frozen):
    """Some tensors of a network.

    Attributes:
        names: What they are called in it.
        weights: Number of values in all of them.
    """

    names: tuple[str, ...]
    weights: NonNegativeInt


class Pretraining(Frozen):
    """Where a training started from, if not at random.

    Attributes:
        model: Dataset, configuration and fold of the model whose weights it began with.
        sha256: Of all weights of that model.
        taken: Tensors that began as they are in that model.
        adapted: Tensors of which a part was taken, or that were fitted to other channels.
        fresh: Tensors that began at random.
        unused: Tensors of that model that fitted nowhere.
    """

    model: str
    sha256: str
    taken: TensorGroup
    adapted: TensorGroup
    fresh: TensorGroup
    unused: TensorGroup


class Run(Frozen):
    """A finished training of one fold.

    Attributes:
        configuration: Which configuration of the plan.
        fold: Which fold.
        recipe: How it was trained.
        options: Length, seed and precision that were asked for.
        device: Name of the device.
        precision: Type that convolutions computed in.
        steps: Optimiser steps done.
        seconds: Training time.
        epoch_steps: Steps between two online validations.
        parameters: Number of trained weights.
        versions: Of the software.
        history: The learning curve.
        pretraining: Where it started from; None for a random start.
        resubstitution: Whether it is scored on cases that it was trained on, as in a dataset of a
            single case or group.
    """

    schema_version: Literal[1] = 1
    configuration: str
    fold: FoldName
    recipe: Recipe
    options: TrainingOptions
    device: str
    precision: str
    steps: PositiveInt
    seconds: PositiveFloat
    epoch_steps: PositiveInt
    parameters: PositiveInt
    versions: Versions
    history: tuple[EpochRecord, ...]
    pretraining: Pretraining | None = None
    resubstitution: bool = False
