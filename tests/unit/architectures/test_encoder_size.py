import pytest
import torch

from autoseg.architectures.encoder_size import encoder_size, make_encoder
from autoseg.core.errors import UnknownComponent


def test_the_size_of_an_encoder_is_that_of_its_maps():
    size = encoder_size("resnet18", 3, 8)
    assert size.strides == (2, 4, 8)
    assert size.channels == (64, 64, 128)
    encoder = make_encoder("resnet18", 3, 8)
    maps = encoder(torch.randn(1, 3, 32, 64))
    assert [tuple(entry.shape) for entry in maps] == [
        (1, width, 32 // stride, 64 // stride)
        for width, stride in zip(size.channels, size.strides, strict=True)
    ]


def test_multiplications_are_counted_per_pixel():
    # The first convolution of resnet18: 7 × 7 kernels of 3 channels, 64 of them, at a quarter of
    # the pixels.
    assert encoder_size("resnet18", 3, 2).multiplications == 7 * 7 * 3 * 64 / 4
    assert encoder_size("resnet18", 3, 2).pooled_multiplications == 0


def test_multiplications_of_global_means_do_not_depend_on_the_number_of_pixels():
    # The first stage of efficientnet_b0 scales 32 channels by way of 8.
    assert encoder_size("efficientnet_b0", 3, 2).pooled_multiplications == 2 * 32 * 8


def test_an_encoder_that_begins_too_coarse_is_refused():
    with pytest.raises(UnknownComponent, match=r"alexnet has stride 4, .* has stride 2"):
        make_encoder("alexnet", 1, 2)
