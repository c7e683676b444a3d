"""Whether a network trains safely in half precision on a machine, as it was found once."""

from typing import Literal

from pydantic import PositiveInt

from autoseg.core.frozen import Frozen


class StepIdentity(Frozen):
    """What a check holds for; anything else is checked by itself.

    Attributes:
        processor: Name of the CPU.
        threads: Threads that torch computes with.
        torch: Version of torch.
        network: Hash of the architecture with its sizes and the patch.
        batch_size: Patches per step.
        precision: Type that convolutions compute in.
        instructions: Of the CPU, which oneDNN may use.
    """

    processor: str
    threads: PositiveInt
    torch: str
    network: str
    batch_size: PositiveInt
    precision: str
    instructions: str


class CheckedStep(Frozen):
    """A training step that was tried.

    Attributes:
        identity: Which step, on which machine.
        finding: What is wrong with it, as the rest of a sentence; None if nothing is.
    """

    schema_version: Literal[1] = 1
    identity: StepIdentity
    finding: str | None
