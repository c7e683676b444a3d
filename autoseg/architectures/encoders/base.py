"""Common parts of all backbones, which are networks for classification without the classifier.

A backbone is a function that creates layers from the finest to the coarsest. Padding makes the size
of each output equal to that of the image divided by the stride, as skip connections need it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.layers import initialise


class Layer(NamedTuple):
    """Part of a backbone.

    Attributes:
        name: Name of the submodule; a dot separates it from its parent.
        stride: Stride of the output relative to the image, a power of two.
        module: Maps the output of the previous layer to the output of this one.
    """

    name: str
    stride: int
    module: nn.Module


Backbone = Callable[[int], Iterator[Layer]]
"""Creates the layers of a backbone for a number of image channels."""


class Encoder(nn.Module):
    """Sequence of layers; returns its last feature map at each stride, finest first.

    Convolutions are initialised as in the plain U-Net.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__()
        self._strides: dict[str, int] = {}
        for name, stride, module in layers:
            self._strides[name] = stride
            parent, _, child = name.rpartition(".")
            if parent and parent not in self._modules:
                self.add_module(parent, nn.Module())
            self.get_submodule(parent).add_module(child, module)
        self.apply(initialise)

    @override
    def forward(self, images: Tensor) -> list[Tensor]:
        maps: dict[int, Tensor] = {}
        for name, stride in self._strides.items():
            images = maps[stride] = self.get_submodule(name)(images)
        return list(maps.values())


def padded_convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, bias: bool = True
) -> nn.Conv2d:
    """Create a convolution whose output has the size of the input divided by the stride.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Kernel size along both axes, odd, pixels.
        stride: Downsampling factor of both axes.
        groups: Groups of channels that are convolved separately.
        bias: Whether to add a bias; not needed before batch normalisation.
    """
    return nn.Conv2d(
        inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=bias
    )


def halving_pool() -> nn.MaxPool2d:
    """Create a max-pooling layer of 3 × 3 pixels that halves both axes."""
    return nn.MaxPool2d(3, stride=2, padding=1)
