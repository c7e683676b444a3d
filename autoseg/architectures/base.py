"""Base class of the architectures, and the interface that the planner uses to size a network."""

from abc import abstractmethod
from math import inf, prod
from typing import Annotated, ClassVar, NamedTuple

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator
from torch import Tensor, nn

from autoseg.core.frozen import Frozen
from autoseg.core.limits import MOST_STAGES, Channels, Kernel, PatchEdge, Stride
from autoseg.core.registry import Component, Family


class Topology(Frozen):
    """Resolutions of a network; chosen by the planner independently of the architecture.

    Attributes:
        patch_shape: Patch size in voxels, in planned axis order.
        strides: Downsampling factor along each axis, per stage; all ones in the first stage.
        kernels: Convolution kernel size along each axis (1 or 3), per stage.
    """

    patch_shape: tuple[PatchEdge, ...]
    strides: Annotated[tuple[tuple[Stride, ...], ...], Field(max_length=MOST_STAGES)]
    kernels: Annotated[tuple[tuple[Kernel, ...], ...], Field(max_length=MOST_STAGES)]

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
                    f"patch_shape {list(self.patch_shape)} is not divisible by the strides: "
                    f"axis {axis} ({size} voxels) must be a multiple of {factor}; "
                    f"try {max(factor, round(size / factor) * factor)}."
                )
                raise ValueError(msg)
        return self

    @property
    def num_axes(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.patch_shape)

    @property
    def divisors(self) -> tuple[int, ...]:
        """Product of the strides along each axis; the input size must be a multiple of it."""
        return tuple(prod(column) for column in zip(*self.strides, strict=True))


class NetworkOutput(NamedTuple):
    """Output of every network.

    Attributes:
        logits: Raw scores at input resolution, `batch classes *space`.
        auxiliary: Further logits for deep supervision, e.g. of the coarser decoder stages, finest
            first; empty in evaluation mode and for networks without deep supervision.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...] = ()


class MemoryReference(NamedTuple):
    """Known memory requirement of a network, from which the planner scales.

    Attributes:
        activations: Value of `activation_count` that fits `memory_gib` at `batch_size` patches.
        batch_size: Patches per step of the known network.
        memory_gib: GPU memory of the known network, GiB.
        below_gib: GPU memory at and above which the next larger entry is used, GiB.
        smallest_batch: Smallest batch size that must fit with the largest patch.
        largest_share: Largest share of the dataset's voxels in one batch.
        preset: Published name of the size preset, if there are several.
    """

    activations: float
    batch_size: int
    memory_gib: float
    below_gib: float = inf
    smallest_batch: int = 2
    largest_share: float = 0.05
    preset: str | None = None

    def needed_gib(self, activations: int, patches: int) -> float:
        """Return the memory that a batch needs, GiB.

        Args:
            activations: Value of `activation_count` per patch.
            patches: Batch size.
        """
        return activations * patches / (self.activations * self.batch_size) * self.memory_gib


class Architecture(Component):
    """Configuration of a network, sufficient to rebuild it without the dataset.

    Attributes:
        topology: Patch, strides and kernels.
        in_channels: Image channels, plus the channels of the cascade input in a cascade.
        num_classes: Classes, background included.
        memory_references: Known memory requirements by number of axes, in ascending order of
            memory.
        kept_values: Values per activation that a training step stores for the backward pass, by
            number of axes; None if `memory_references` are scaled from the plain U-Net's, which
            implies the number.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]]
    kept_values: ClassVar[dict[int, float] | None] = None

    topology: Topology
    in_channels: Channels
    num_classes: Channels

    @classmethod
    def memory_reference(cls, num_axes: int, memory_gib: float) -> MemoryReference:
        """Return the memory reference to scale from for this much GPU memory, GiB."""
        references = cls.memory_references[num_axes]
        return next(reference for reference in references if memory_gib < reference.below_gib)

    @classmethod
    @abstractmethod
    def for_topology(
        cls, topology: Topology, *, in_channels: int, num_classes: int
    ) -> "Architecture":
        """Create the default configuration for a topology.

        Args:
            topology: Patch, strides and kernels.
            in_channels: Image channels, plus the channels of the cascade input in a cascade.
            num_classes: Classes, background included.
        """

    @abstractmethod
    def activation_count(self) -> int:
        """Return the number of activations of one forward pass, per batch element.

        The planner compares the count with `memory_references` to predict memory. The method must
        be cheap, because the planner calls it in a loop.
        """

    @abstractmethod
    def multiplication_count(self) -> int:
        """Return the number of multiplications of one forward pass, per batch element.

        The planner predicts the training time from it. The method must be cheap.
        """

    def output_margin(self) -> tuple[int, ...]:
        """Return the voxels per axis and side by which the output is smaller than the input.

        It is 0 unless the network uses unpadded convolutions. Such a network receives the patch
        plus this margin, filled with image voxels or, beyond the image border, mirrored voxels.
        """
        return (0,) * self.topology.num_axes

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Input size of the network, voxels: the patch plus the margin on both sides."""
        sizes = zip(self.topology.patch_shape, self.output_margin(), strict=True)
        return tuple(size + 2 * margin for size, margin in sizes)

    @abstractmethod
    def compact(self) -> "Architecture":
        """Return a narrow variant: the smallest width that still learns well.

        The planner offers it on machines without a GPU.
        """

    @abstractmethod
    def build(self) -> nn.Module:
        """Build a module that maps `batch channels *space` to a `NetworkOutput`.

        The weights are initialised with PyTorch's global generator. The input size must be a
        multiple of `topology.divisors`, plus twice the margin. The attribute `heads` of the module
        holds the layers that produce the logits; the bias of each has one value per class. If the
        image is an input of several stages, the attribute `stems` holds their convolutions of it.
        """

    def load_pretrained(self, network: nn.Module) -> None:
        """Load pretrained weights into a new network; by default, weights remain random.

        Only training calls this method; it is not needed before loading a checkpoint.
        """


ARCHITECTURES: Family[Architecture] = Family("architecture")
AnyArchitecture = Annotated[SerializeAsAny[Architecture], BeforeValidator(ARCHITECTURES.parse)]
