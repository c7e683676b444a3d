import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoseg.architectures import layers
from autoseg.architectures.convolutions import max_pooling
from autoseg.architectures.layers import InstanceNorm, rectifier, transposed_convolution

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
SHAPES = pytest.mark.parametrize(
    "shape",
    [(1, 4, 5, 6), (3, 4, 5, 6), (1, 4, 3, 5, 6), (2, 4, 3, 5, 6), (3, 4, 3, 5, 6)],
    ids=["one", "pictures", "one_volume", "two_volumes", "volumes"],
)


@pytest.fixture(params=[0, 10**9], ids=["one_by_one", "at_once"])
def either_way(request, monkeypatch):
    """Samples are small enough to be normalised at once, or not."""
    monkeypatch.setattr(layers, "LARGEST_MERGED_SAMPLE", request.param)


IS_LAST = pytest.mark.parametrize("is_last", [False, True], ids=["first", "last"])


def some_maps(shape, *, is_last, seed=0):
    """Return random maps, with the channels first or last in memory."""
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3 + 1
    return maps.to(memory_format=LAYOUTS[len(shape)]) if is_last else maps


def gradients(module, maps, *, comes_back_last=False):
    """Return what comes out, and the gradients of the input and the parameters.

    What comes back to the module has the channels first or last in memory.
    """
    maps = maps.clone().requires_grad_()
    out = module(maps)
    weights = some_maps(out.shape, is_last=comes_back_last, seed=1)
    return out, torch.autograd.grad((out * weights).sum(), (maps, *module.parameters()))


def spread(norm):
    """Return the layer with parameters that differ from feature to feature."""
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2.0, len(norm.weight)))
        norm.bias.copy_(torch.linspace(-1.0, 1.0, len(norm.bias)))
    return norm


@pytest.mark.usefixtures("either_way")
@SHAPES
@IS_LAST
@pytest.mark.parametrize("comes_back_last", [False, True])
def test_instance_norm_equals_the_one_of_torch_in_either_layout(shape, is_last, comes_back_last):
    maps = some_maps(shape, is_last=is_last)
    make = nn.InstanceNorm2d if len(shape) == 4 else nn.InstanceNorm3d
    found = gradients(spread(InstanceNorm(4)), maps, comes_back_last=comes_back_last)
    expected = gradients(spread(make(4, eps=1e-5, affine=True)), maps)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("either_way")
@SHAPES
@IS_LAST
def test_instance_norm_leaves_the_channels_where_they_are(shape, is_last):
    normal = InstanceNorm(4)(some_maps(shape, is_last=is_last))
    layout = LAYOUTS[len(shape)] if is_last else torch.contiguous_format
    assert normal.is_contiguous(memory_format=layout)


@pytest.mark.usefixtures("either_way")
@SHAPES
@IS_LAST
def test_a_rectifier_overwrites_normalised_maps_without_copies_of_the_gradient(shape, is_last):
    norm, overwrite = InstanceNorm(4), rectifier()
    out = overwrite(norm(some_maps(shape, is_last=is_last).requires_grad_()))
    waiting, names = [out.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None:
            names.add(node.name())
            waiting += [before for before, _ in node.next_functions]
    assert "NativeBatchNormBackward0" in names
    assert not {name for name in names if "CopySlices" in name or "AsStrided" in name}


def test_a_map_of_one_voxel_is_scaled_and_shifted_only():
    norm = InstanceNorm(2)
    torch.nn.init.constant_(norm.weight, 3.0)
    torch.nn.init.constant_(norm.bias, 1.0)
    assert norm(torch.full((1, 2, 1, 1), 2.0)).flatten().tolist() == [7.0, 7.0]


@SHAPES
@IS_LAST
def test_a_transposed_convolution_equals_the_one_of_torch(shape, is_last):
    axes = len(shape) - 2
    stride = (1, 2, 2)[-axes:]
    ours = transposed_convolution(axes)(4, 3, stride, stride=stride)
    make = nn.ConvTranspose2d if axes == 2 else nn.ConvTranspose3d
    theirs = make(4, 3, stride, stride=stride)
    theirs.load_state_dict(ours.state_dict())
    maps = some_maps(shape, is_last=is_last)
    torch.testing.assert_close(gradients(ours, maps), gradients(theirs, maps))
    with torch.inference_mode():
        assert torch.equal(ours(maps), theirs(maps))


@pytest.mark.parametrize("stride", [(2, 2), (1, 2, 2)])
def test_max_pooling_stays_in_the_type_that_convolutions_compute_in(stride):
    (pool,) = max_pooling(stride)
    maps = some_maps((2, 4, 4, 6, 8)[: 2 + len(stride)], is_last=False).bfloat16()
    plain = F.max_pool2d if len(stride) == 2 else F.max_pool3d
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = pool(maps)
    assert pooled.dtype == torch.bfloat16
    assert torch.equal(pooled.float(), plain(maps.float(), stride))
