"""VGG with 11, 13, 16 or 19 layers, without or with batch normalisation.

14 714 688 parameters of VGG-16 for three channels; with the three fully connected layers
138 357 544, published as 138 million.

Source: Simonyan and Zisserman, arXiv:1409.1556, table 1, configurations A, B, D and E. Batch
normalisation (`_bn`) came later, with torchvision.
"""

from collections.abc import Iterator
from functools import partial
from itertools import count

from torch import nn

from autoseg.architectures.encoders.base import Layer, padded_convolution

WIDTHS = (64, 128, 256, 512, 512)
"""Features of the convolutions between two poolings."""

CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""Number of convolutions before each pooling."""


def vgg(in_channels: int, *, convolutions: tuple[int, ...], is_normalized: bool) -> Iterator[Layer]:
    """Create the layers up to the last pooling.

    Args:
        in_channels: Image channels.
        convolutions: Number of convolutions before each pooling.
        is_normalized: Whether batch normalisation follows each convolution.
    """
    names = (f"features_{index}" for index in count())
    stride, inputs = 1, in_channels
    for width, repetitions in zip(WIDTHS, convolutions, strict=True):
        for _ in range(repetitions):
            yield Layer(next(names), stride, padded_convolution(inputs, width, 3))
            if is_normalized:
                yield Layer(next(names), stride, nn.BatchNorm2d(width))
            yield Layer(next(names), stride, nn.ReLU(inplace=True))
            inputs = width
        stride *= 2
        yield Layer(next(names), stride, nn.MaxPool2d(2))


BACKBONES = {
    f"{name}{suffix}": partial(vgg, convolutions=convolutions, is_normalized=bool(suffix))
    for name, convolutions in CONVOLUTIONS.items()
    for suffix in ("", "_bn")
}
