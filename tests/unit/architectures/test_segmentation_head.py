"""A segmentation head is a convolution with a kernel of 1, but on a CPU a float32 product."""

import pytest
import torch
from extras import network_kinds
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.architectures import ARCHITECTURES, Topology
from autoseg.architectures.segmentation_head import segmentation_head
from autoseg.core.device import memory_layout

CPU = torch.device("cpu")
SHAPES = pytest.mark.parametrize("shape", [(6, 8), (3, 6, 8)], ids=["two_axes", "three_axes"])


class Operations(TorchDispatchMode):
    """Records the names of torch's operations."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.found.append(function.name())
        return function(*args, **(kwargs or {}))


def pair(num_axes):
    """Return torch's convolution and a head with the same weights."""
    convolution = (nn.Conv2d if num_axes == 2 else nn.Conv3d)(5, 3, 1)
    head = segmentation_head(num_axes)(5, 3)
    head.load_state_dict(convolution.state_dict())
    return convolution, head


def maps(shape):
    drawn = torch.randn(2, 5, *shape, generator=torch.Generator().manual_seed(0))
    return drawn.to(memory_format=memory_layout(CPU, len(shape)))


def trained(layer, given):
    """Return the scores and all gradients."""
    given = given.clone().requires_grad_()
    scores = layer(given)
    scores.square().sum().backward()
    return scores.detach(), given.grad, layer.weight.grad, layer.bias.grad


@SHAPES
def test_a_head_computes_what_the_convolution_does(shape):
    convolution, head = pair(len(shape))
    given = maps(shape)
    for found, expected in zip(trained(head, given), trained(convolution, given), strict=True):
        torch.testing.assert_close(found, expected)


@SHAPES
def test_under_autocast_scores_are_a_float32_product_and_no_convolution(shape):
    convolution, head = pair(len(shape))
    given = maps(shape).bfloat16()
    with Operations() as operations, torch.autocast("cpu", dtype=torch.bfloat16):
        scores, *gradients = trained(head, given)
    assert not [name for name in operations.found if "conv" in name]
    assert scores.dtype == torch.float32
    assert [gradient.dtype for gradient in gradients] == [torch.bfloat16, *(torch.float32,) * 2]
    torch.testing.assert_close(scores, convolution(given.float()))


@SHAPES
def test_scores_and_gradients_have_their_channels_last_and_maps_are_not_copied(shape):
    _, head = pair(len(shape))
    scores, gradient, *_ = trained(head, maps(shape))
    for made in (scores, gradient):
        assert made.is_contiguous(memory_format=memory_layout(CPU, len(shape)))
    given = maps(shape).requires_grad_()
    with Operations() as operations:
        head(given)
    assert not {"aten::clone", "aten::copy_", "aten::_to_copy"} & set(operations.found)


@pytest.mark.parametrize("kind", network_kinds("trans_unet"))
def test_every_network_ends_in_such_heads(kind):
    """The exception's head has the kernel of the first stage."""
    topology = Topology(patch_shape=(16, 16), strides=((1, 1), (2, 2)), kernels=((3, 3),) * 2)
    config = ARCHITECTURES[kind].for_topology(topology, in_channels=1, num_classes=2)
    made = type(segmentation_head(2)(1, 1))
    assert all(type(head) is made for head in config.build().heads)
