import pytest
import torch

from autoseg.architectures import Topology
from autoseg.core import device as devices
from autoseg.training.precision import training_dtype

CPU = torch.device("cpu")


def topology(depth, kernel=3):
    return Topology(
        patch_shape=(depth, 16, 16),
        strides=((1, 1, 1), (1, 2, 2)),
        kernels=((1, 3, 3), (kernel, 3, 3)),
    )


@pytest.fixture(autouse=True)
def _with_bfloat16(monkeypatch):
    """Let the processor be one that computes in bfloat16."""
    monkeypatch.setattr(
        "autoseg.training.precision.autocast_dtype",
        lambda device, precision: (
            torch.bfloat16 if precision == "auto" else devices.autocast_dtype(device, precision)
        ),
    )


def test_two_planes_train_in_float32_on_a_cpu():
    assert training_dtype(CPU, "auto", topology(2)) == torch.float32


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_other_depths_keep_bfloat16(depth):
    assert training_dtype(CPU, "auto", topology(depth)) == torch.bfloat16


def test_what_is_asked_for_is_done():
    assert training_dtype(CPU, "bfloat16", topology(2)) == torch.bfloat16


def test_planes_that_are_not_convolved_with_each_other_keep_bfloat16():
    assert training_dtype(CPU, "auto", topology(2, kernel=1)) == torch.bfloat16


def test_an_accelerator_keeps_bfloat16():
    assert training_dtype(torch.device("cuda"), "auto", topology(2)) == torch.bfloat16


def test_pictures_keep_bfloat16():
    flat = Topology(patch_shape=(2, 16), strides=((1, 1),), kernels=((3, 3),))
    assert training_dtype(CPU, "auto", flat) == torch.bfloat16
