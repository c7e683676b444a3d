"""Record of a finished training, stored next to the weights."""

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from autoseg.core.frozen import Frozen, NonNegativeInt, PositiveInt
from autoseg.core.names import FileName
from autoseg.documents.document import Document
from autoseg.documents.recipe import Recipe, TrainingOptions
from autoseg.documents.splits import FoldName
from autoseg.documents.versions import Versions


class EpochRecord(Frozen):
    """One point of the learning curve; one line of `log.jsonl`.

    Attributes:
        epoch: Counted from 1.
        step: Number of optimiser steps at the end of the epoch.
        seconds: Training time at the end of the epoch, summed over interruptions.
        learning_rate: Learning rate at the end of the epoch.
        training_loss: Mean over the steps of the epoch.
        validation_loss: Mean over the validation batches with a finite loss; None without any.
        pseudo_dice: Dice of each foreground class or region, pooled over the validation patches;
            None if it neither occurs nor is predicted in them.
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
        """Mean over the classes with a pseudo-Dice; None without any."""
        known = [value for value in self.pseudo_dice if value is not None]
        return sum(known) / len(known) if known else None


class TensorGroup(Frozen):
    """A group of tensors of a network.

    Attributes:
        names: Names of the tensors.
        weights: Total number of values.
    """

    names: tuple[str, ...]
    weights: NonNegativeInt


class Pretraining(Frozen):
    """Initialisation of a training from a pretrained model.

    Attributes:
        model: Dataset, configuration and fold of the pretrained model.
        sha256: Hash of all weights of the pretrained model.
        taken: Tensors copied unchanged from the pretrained model.
        adapted: Tensors copied in part, or adapted to different channels.
        fresh: Tensors that were initialised randomly.
        unused: Tensors of the pretrained model that were not used.
    """

    model: str
    sha256: str
    taken: TensorGroup
    adapted: TensorGroup
    fresh: TensorGroup
    unused: TensorGroup


class Run(Document):
    """A finished training of one fold.

    Attributes:
        configuration: Configuration of the plan.
        fold: The fold.
        recipe: Training recipe.
        options: Requested duration, seed and precision.
        device: Name of the device.
        precision: Data type of convolutions.
        steps: Number of optimiser steps.
        seconds: Training time.
        epoch_steps: Steps between two online validations.
        parameters: Number of trained weights.
        versions: Versions of the software.
        history: The learning curve.
        pretraining: The pretrained model that it started from; None for random initialisation.
        resubstitution: Whether the validation cases were also trained on, as in a dataset with a
            single case or group.
        stage_weights: Hash of the weights of each fold of the previous stage, by the name of the
            fold; empty without a previous stage.
        predicted_memory_gib: Predicted memory of a training step in half precision.
        peak_memory_gib: Measured peak since the training was last started or resumed: tensors on a
            GPU; on the CPU, the process beyond its memory at the start. None if unknown.
    """

    FILE_NAME: ClassVar[str] = "run.json"
    MADE_BY: ClassVar[str] = "autoseg train"
    schema_version: Literal[2] = 2
    configuration: FileName
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
    stage_weights: dict[str, str] = Field(default_factory=dict)
    predicted_memory_gib: PositiveFloat | None = None
    peak_memory_gib: NonNegativeFloat | None = None
