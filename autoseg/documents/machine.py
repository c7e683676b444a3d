"""How fast a machine trains, as it was measured once."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from autoseg.core.frozen import Frozen


class MachineIdentity(Frozen):
    """What a measurement holds for; anything else is measured by itself.

    Attributes:
        device: Name of the GPU, or of the processor without one.
        cores: CPU cores that this process may use.
        threads: Threads that torch computes with.
        torch: Version of torch.
        precision: Type that convolutions compute in.
    """

    device: str
    cores: PositiveInt
    threads: PositiveInt
    torch: str
    precision: str


class StepCosts(Frozen):
    """What the parts of a training step cost, forward, backward and optimiser together.

    Attributes:
        seconds_per_step: Whatever its size.
        seconds_per_billion_multiplications: Of the convolutions, forward.
        seconds_per_million_activations: Values that the convolutions put out.
    """

    seconds_per_step: NonNegativeFloat
    seconds_per_billion_multiplications: NonNegativeFloat
    seconds_per_million_activations: NonNegativeFloat

    def seconds(self, *, multiplications: float | int, activations: float | int) -> float:
        """Return the time of a step with so many of each, all patches of the batch together."""
        return (
            self.seconds_per_step
            + self.seconds_per_billion_multiplications * multiplications / 1e9
            + self.seconds_per_million_activations * activations / 1e6
        )


class MeasuredMachine(Frozen):
    """The speed of a machine.

    Attributes:
        identity: Which machine.
        planes: Costs of networks with 2-D patches.
        volumes: Costs of networks with 3-D patches.
    """

    schema_version: Literal[1] = 1
    identity: MachineIdentity
    planes: StepCosts
    volumes: StepCosts

    def costs(self, num_axes: int) -> StepCosts:
        """Return the costs of networks whose patches have 2 or 3 axes."""
        return self.planes if num_axes == 2 else self.volumes


class TimedNetwork(Frozen):
    """How long a training step of a network takes on a machine.

    Attributes:
        identity: Which machine.
        network: Hash of the architecture with its sizes and the patch.
        batch_size: Patches per step.
        seconds: Of a step.
    """

    schema_version: Literal[1] = 1
    identity: MachineIdentity
    network: str
    batch_size: PositiveInt
    seconds: PositiveFloat
