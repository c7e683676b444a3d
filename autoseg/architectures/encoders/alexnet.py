"""AlexNet, with the grouped convolutions of its two GPUs.

The first convolution is padded so that its stride is exactly 4. 2 334 080 parameters for three
channels; with the three fully connected layers 60 965 224, published as 60 million.

Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NIPS
2012, sections 3.3 to 3.5 and figure 2.
"""

from collections.abc import Iterator

from torch import nn

from autoseg.architectures.encoders.base import Layer, halving_pool, padded_convolution

GPUS = 2


def _rectified(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.ReLU(inplace=True))


def _response_normalization() -> nn.LocalResponseNorm:
    # PyTorch divides alpha by the size, the paper does not: 1e-4 becomes 5e-4.
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)


def alexnet(in_channels: int) -> Iterator[Layer]:
    """Create the layers up to the last pooling."""
    first = nn.Conv2d(in_channels, 96, 11, stride=4, padding=4)
    yield Layer("conv1", 4, _rectified(first))
    yield Layer("norm1", 4, _response_normalization())
    yield Layer("pool1", 8, halving_pool())
    yield Layer("conv2", 8, _rectified(padded_convolution(96, 256, 5, groups=GPUS)))
    yield Layer("norm2", 8, _response_normalization())
    yield Layer("pool2", 16, halving_pool())
    yield Layer("conv3", 16, _rectified(padded_convolution(256, 384, 3)))
    yield Layer("conv4", 16, _rectified(padded_convolution(384, 384, 3, groups=GPUS)))
    yield Layer("conv5", 16, _rectified(padded_convolution(384, 256, 3, groups=GPUS)))
    yield Layer("pool5", 32, halving_pool())


BACKBONES = {"alexnet": alexnet}
