from pathlib import Path

import pytest
import torch
from extras import NEED_TIMM
from safetensors.torch import save_file

from autoseg.architectures.timm_encoders import encoder_size, make_encoder, pretrained_weights
from autoseg.core.errors import ModelError

pytestmark = NEED_TIMM


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


def test_a_missing_file_of_weights_is_named():
    with pytest.raises(
        ModelError, match=r"nothing\.safetensors is not a file.*Correct `pretrained`"
    ):
        pretrained_weights("resnet18", 3, 8, Path("nothing.safetensors"))


def test_files_that_can_run_code_are_refused(tmp_path):
    torch.save({}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"weights\.pth is not a \.safetensors file"):
        pretrained_weights("resnet18", 3, 8, tmp_path / "weights.pth")


def test_a_damaged_file_of_weights_is_named(tmp_path):
    (tmp_path / "damaged.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(ModelError, match=r"damaged\.safetensors cannot be read"):
        pretrained_weights("resnet18", 3, 8, tmp_path / "damaged.safetensors")


def test_weights_of_another_model_are_refused(tmp_path):
    save_file({"fc.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"lacks \d+ tensors, the first of which is bn1.bias"):
        pretrained_weights("resnet18", 3, 8, tmp_path / "other.safetensors")
