"""What an architecture is, and how the planner sizes one it has never heard of."""

from abc import abstractmethod
from math import inf, prod
from typing import Annotated, ClassVar, NamedTuple

from pydantic import BeforeValidator, PositiveInt, SerializeAsAny, model_validator
from torch import Tensor, nn

from autoseg.core.frozen import Frozen
from autoseg.core.registry import Component, Family


class Topology(Frozen):
    """Where a network changes its resolution; chosen by the planner, architecture-independent.

    Attributes:
        patch_shape: Input size in voxels, planned axis order.
        strides: Per stage, the downsampling factor along each axis; the first is all ones.
        kernels: Per stage, the convolution kernel along each axis (1 or 3).
    """

    patch_shape: tuple[PositiveInt, ...]
    strides: tuple[tuple[PositiveInt, ...], ...]
    kernels: tuple[tuple[PositiveInt, ...], ...]

    @model_validator(mode="after")
    def _check(self) -> "Topology":
        axes = len(self.patch_shape)
        if axes not in (2, 3):
            msg = f"patch_shape needs 2 or 3 axes; found {list(self.patch_shape)}."
            raise ValueError(msg)
        if len(self.strides) != len(self.kernels) or not self.strides:
            msg = (
                f"strides and kernels need one entry per stage; found {len(self.strides)} "
                f"strides and {len(self.kernels)} kernels."
            )
            raise ValueError(msg)
        if any(len(entry) != axes for entry in (*self.strides, *self.kernels)):
            msg = f"every stride and kernel needs {axes} entries, as patch_shape has."
            raise ValueError(msg)
        if any(factor != 1 for factor in self.strides[0]):
            msg = (
                f"the first stage works at full resolution; found the stride "
                f"{list(self.strides[0])}, expected {[1] * axes}. Add a stage before it."
            )
            raise ValueError(msg)
        if any(size % 2 == 0 for kernel in self.kernels for size in kernel):
            msg = f"kernel sizes must be odd; found {[list(kernel) for kernel in self.kernels]}."
            raise ValueError(msg)
        for axis, (size, factor) in enumerate(zip(self.patch_shape, self.divisors, strict=True)):
            if size % factor:
                msg = (
                    f"patch_shape {list(self.patch_shape)} cannot be halved as the strides ask: "
                    f"axis {axis} ({size} voxels) must be a multiple of {factor}; "
                    f"try {max(factor, round(size / factor) * factor)}."
                )
                raise ValueError(msg)
        return self

    @property
    def num_axes(self) -> int:
        """2 or 3."""
        return len(self.patch_shape)

    @property
    def divisors(self) -> tuple[int, ...]:
        """Per axis, what an input's size must be a multiple of: the product of its strides."""
        return tuple(prod(column) for column in zip(*self.strides, strict=True))


class NetworkOutput(NamedTuple):
    """What every network returns.

    Attributes:
        logits: Raw scores at input resolution, `batch classes *space`.
        auxiliary: Further scores, as of the coarser decoder stages, finest first, for deep
            supervision; empty in evaluation mode and for networks without deep supervision.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...] = ()


class MemoryReference(NamedTuple):
    """What a known network needs on a known GPU; the planner scales from it.

    Attributes:
        activations: Value of `activation_count` that fits `memory_gib` at `batch_size` patches.
        batch_size: Patches per step of the reference.
        memory_gib: Accelerator memory of the reference.
        below_gib: Memory from which the next larger reference is used instead.
        smallest_batch: Patches that the largest patch must leave room for.
        largest_share: Share of the dataset's voxels that one batch may hold.
        preset: What its authors call it, if it is one of several.
    """

    activations: float
    batch_size: int
    memory_gib: float
    below_gib: float = inf
    smallest_batch: int = 2
    largest_share: float = 0.05
    preset: str | None = None

    def needed_gib(self, activations: int, patches: int) -> float:
        """Return the memory that so many patches of so many activations need."""
        return activations * patches / (self.activations * self.batch_size) * self.memory_gib


class Architecture(Component):
    """Configuration of a network, complete enough to rebuild it without the dataset.

    Attributes:
        topology: Patch, strides and kernels.
        in_channels: Image channels, and in a cascade those of the previous stage's prediction.
        num_classes: Classes, background included.
        memory_references: By number of axes, what the planner scales from, by rising memory.
        kept_values: By number of axes, values per activation that a training step keeps for the
            backward pass; None where the references say it, compared with the plain U-Net's.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]]
    kept_values: ClassVar[dict[int, float] | None] = None

    topology: Topology
    in_channels: PositiveInt
    num_classes: PositiveInt

    @classmethod
    def memory_reference(cls, num_axes: int, memory_gib: float) -> MemoryReference:
        """Return the reference that a network for this much memory is scaled from."""
        references = cls.memory_references[num_axes]
        return next(reference for reference in references if memory_gib < reference.below_gib)

    @classmethod
    @abstractmethod
    def for_topology(
        cls, topology: Topology, *, in_channels: int, num_classes: int
    ) -> "Architecture":
        """Return the default configuration of this architecture at that topology."""

    @abstractmethod
    def activation_count(self) -> int:
        """Return how many activations one forward pass keeps, per batch element.

        Arithmetic only; the planner calls it in its loop. It compares the count with
        `memory_references` to predict memory.
        """

    @abstractmethod
    def multiplication_count(self) -> int:
        """Return how many multiplications one forward pass needs, per batch element.

        Arithmetic only; the planner predicts time from it.
        """

    def output_margin(self) -> tuple[int, ...]:
        """Return how many voxels per axis and side the scores are smaller than the images.

        A network of convolutions that do not pad is given so many voxels around the patch, those
        of the image or, where it ends, its mirror image. All others have no margin.
        """
        return (0,) * self.topology.num_axes

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the network is given, voxels: the patch, with the margin on either side."""
        sizes = zip(self.topology.patch_shape, self.output_margin(), strict=True)
        return tuple(size + 2 * margin for size, margin in sizes)

    @abstractmethod
    def compact(self) -> "Architecture":
        """Return the same network at the smallest width that still learns well.

        The planner offers it on machines without an accelerator.
        """

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a module mapping `batch channels *space` to a `NetworkOutput`.

        The weights are initialised from torch's global generator. Any input size that is a
        multiple of `topology.divisors`, plus twice the margin, works. The modules that give the
        scores their last value are its `heads`; the bias of each has one value per class.
        """

    def load_start(self, network: nn.Module) -> None:
        """Give a built network what its training starts from, if that is not random.

        Only a training calls this: whoever loads trained weights needs no others before.
        """


ARCHITECTURES: Family[Architecture] = Family("architecture")
AnyArchitecture = Annotated[SerializeAsAny[Architecture], BeforeValidator(ARCHITECTURES.parse)]
