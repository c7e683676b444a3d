"""Result of a check that a network trains correctly in half precision on a machine."""

from typing import ClassVar, Literal

from pydantic import PositiveInt

from autoseg.core.frozen import Frozen
from autoseg.documents.document import Document


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
