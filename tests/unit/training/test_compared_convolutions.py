"""Convolutions that are wrong are found among others, and named."""

import re

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.training.compared_convolutions import ComparedConvolutions

FORWARD = torch.ops.aten.convolution.default
BACKWARD = torch.ops.aten.convolution_backward.default
PARTS = {
    "output": (FORWARD, None),
    "gradient of the input": (BACKWARD, 0),
    "gradient of the weights": (BACKWARD, 1),
    "gradient of the bias": (BACKWARD, 2),
}


class Spoilt(TorchDispatchMode):
    """Changes what one operation makes in bfloat16."""

    def __init__(self, operation, place, spoil):
        super().__init__()
        self._operation, self._place, self._spoil = operation, place, spoil

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if function is self._operation and args[0].dtype == torch.bfloat16:
            self._spoil(made if self._place is None else made[self._place])
        return made


def step():
    """Compute a step of two convolutions, one of them transposed, in bfloat16."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ConvTranspose3d(4, 5, 2, stride=2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network(torch.randn(2, 3, 5, 6, 7, requires_grad=True))
    scores.float().square().mean().backward()


def test_rounding_is_no_issue():
    with ComparedConvolutions() as compared:
        step()
    assert compared.finding is None


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("spoil", ["not a number", "a tenth too large"])
def test_a_wrong_convolution_is_named(part, spoil):
    def spoilt(values):
        if spoil == "not a number":
            values.view(-1)[0] = torch.nan
        else:
            values.mul_(1.1)

    with Spoilt(*PARTS[part], spoilt), ComparedConvolutions() as compared:
        step()
    assert compared.finding is not None
    assert compared.finding.startswith(f"gave wrong values (the {part} of the convolution of [2, ")
    size = "nan" if spoil == "not a number" else r"(9\.\d|10)"
    assert re.search(rf"float32 by {size} %", compared.finding)


def test_a_bias_gradient_that_cancels_is_compared_with_what_it_sums():
    convolution = nn.Conv2d(1, 1, 1)
    with ComparedConvolutions() as compared:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = convolution(torch.randn(1, 1, 64, 64))
        (scores.float() - scores.float().mean().detach()).square().mean().backward()
    assert compared.finding is None
