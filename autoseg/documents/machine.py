"""Measurements of a machine: its training speed, and whether half precision works on it."""

from typing import ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveFloat

from autoseg.core.frozen import Frozen, PositiveInt
from autoseg.documents.document import Document


class MachineIdentity(Frozen):
    """Key of a measurement: it is reused only if all of these are equal.

    Attributes:
        device: Name of the GPU, or of the processor without a GPU.
        cores: Number of CPU cores available to this process.
        threads: Number of threads of torch.
        torch: Version of torch.
        precision: Data type of convolutions.
    """

    device: str
    cores: PositiveInt
    threads: PositiveInt
    torch: str
    precision: str


class StepCosts(Frozen):
    """Costs of a training step: forward pass, backward pass and optimiser together.

    Attributes:
        seconds_per_step: Constant time, independent of the network's size.
        seconds_per_billion_multiplications: Time per multiplications of the convolutions in the
            forward pass.
        seconds_per_million_activations: Time per output values of the convolutions.
    """

    seconds_per_step: NonNegativeFloat
    seconds_per_billion_multiplications: NonNegativeFloat
    seconds_per_million_activations: NonNegativeFloat

    def seconds(self, *, multiplications: float | int, activations: float | int) -> float:
        """Return the time of a training step, in seconds.

        Args:
            multiplications: Multiplications of the forward pass, for the whole batch.
            activations: Output values of the convolutions, for the whole batch.
        """
        return (
            self.seconds_per_step
            + self.seconds_per_billion_multiplications * multiplications / 1e9
            + self.seconds_per_million_activations * activations / 1e6
        )


class MeasuredMachine(Document):
    """Training speed of a machine.

    Attributes:
        identity: The machine.
        planes: Costs of networks with 2-D patches.
        volumes: Costs of networks with 3-D patches.
    """

    MADE_BY: ClassVar[str] = "autoseg plan --remeasure"
    schema_version: Literal[1] = 1
    identity: MachineIdentity
    planes: StepCosts
    volumes: StepCosts

    def costs(self, num_axes: int) -> StepCosts:
        """Return the costs of networks whose patches have 2 or 3 axes."""
        return self.planes if num_axes == 2 else self.volumes


class TimedNetwork(Document):
    """Measured time of a network's training step on a machine.

    Attributes:
        identity: The machine.
        network: Hash of the architecture with its sizes and the patch.
        batch_size: Number of patches per step.
        seconds: Time of one step.
    """

    MADE_BY: ClassVar[str] = "autoseg plan --remeasure"
    schema_version: Literal[1] = 1
    identity: MachineIdentity
    network: str
    batch_size: PositiveInt
    seconds: PositiveFloat


class StepIdentity(Frozen):
    """Key of a check: its result is reused only if all of these are equal.

    Attributes:
        processor: Name of the CPU.
        threads: Number of threads of torch.
        torch: Version of torch.
        network: Hash of the architecture with its sizes and the patch.
        batch_size: Number of patches per step.
        precision: Data type of convolutions.
        instructions: CPU instructions that oneDNN may use.
    """

    processor: str
    threads: PositiveInt
    torch: str
    network: str
    batch_size: PositiveInt
    precision: str
    instructions: str


class CheckedStep(Document):
    """Result of checking a training step.

    Attributes:
        identity: The step and the machine.
        finding: The problem, as the end of a sentence; None if the step works.
    """

    MADE_BY: ClassVar[str] = "autoseg train"
    schema_version: Literal[1] = 1
    identity: StepIdentity
    finding: str | None
