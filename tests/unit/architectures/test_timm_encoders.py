from pathlib import Path

import pytest
import torch
from extras import NEED_TIMM
from safetensors.torch import save_file

from autoseg.architectures.timm_encoders import pretrained_weights
from autoseg.core.errors import ModelError

pytestmark = NEED_TIMM


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


def test_an_encoder_that_timm_lacks_has_no_pretrained_weights():
    with pytest.raises(ModelError, match="no pretrained weights for squeezenet1_0"):
        pretrained_weights("squeezenet1_0", 3, 8, None)
