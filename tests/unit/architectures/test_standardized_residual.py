import pytest
import torch
from torch.nn import functional

from autoseg.architectures.standardized_residual import (
    Bottleneck,
    group_norm,
    overlapping_pooling,
    residual_stage,
    standardize_kernels,
    standardized_convolution,
    stem,
    stem_kernel,
)


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (5, 3, 1, 3, 3)])
def test_each_kernel_has_zero_mean_and_unit_variance(shape):
    kernels = standardize_kernels(3 + 0.1 * torch.randn(shape)).flatten(1)
    torch.testing.assert_close(kernels.mean(dim=1), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(kernels.var(dim=1, correction=0), torch.ones(5), atol=0.01, rtol=0)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3, 3)])
def test_a_convolution_uses_standardised_kernels(kernel):
    layer = standardized_convolution((2, 4), kernel=kernel, stride=(1,) * len(kernel))
    maps = torch.randn(1, 2, *(6,) * len(kernel))
    plain = functional.conv2d if len(kernel) == 2 else functional.conv3d
    padding = tuple(size // 2 for size in kernel)
    expected = plain(maps, standardize_kernels(layer.weight), padding=padding)
    torch.testing.assert_close(layer(maps), expected)
    assert layer.bias is None


@pytest.mark.parametrize(
    ("features", "groups"), [(64, 32), (1024, 32), (32, 16), (16, 8), (50, 2), (33, 1), (3, 1)]
)
def test_groups_have_two_features_or_more(features, groups):
    assert group_norm(features).num_groups == groups


@pytest.mark.parametrize("features", [16, 33, 64])
def test_a_single_voxel_can_be_normalised(features):
    assert group_norm(features)(torch.randn(1, features, 1, 1)).isfinite().all()


def test_the_stem_is_wide_where_it_makes_coarser():
    assert stem_kernel((3, 3), (2, 2)) == (7, 7)
    assert stem_kernel((1, 3, 3), (1, 2, 2)) == (1, 7, 7)
    assert stem_kernel((3, 3, 3), (1, 2, 2)) == (3, 7, 7)


@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 2, 2), (4, 1, 2)])
def test_sizes_are_divided_by_the_stride(stride):
    maps = torch.randn(1, 2, 8, 12, 20)
    halved = tuple(size // factor for size, factor in zip((8, 12, 20), stride, strict=True))
    assert overlapping_pooling(stride)(maps).shape[2:] == halved
    for layer in (
        stem((2, 8), kernel=(3, 3, 3), stride=stride),
        residual_stage((2, 8), count=2, kernel=(1, 3, 3), stride=stride),
    ):
        assert layer(maps).shape == (1, 8, *halved)


def test_pooling_looks_beyond_a_block():
    maps = torch.zeros(1, 1, 4, 4)
    maps[0, 0, 1, 1] = 1
    assert overlapping_pooling((2, 2))(maps)[0, 0].tolist() == [[1, 1], [1, 1]]


def test_a_block_adds_what_came_in():
    block = Bottleneck((8, 8), kernel=(3, 3), stride=(1, 1), is_projected=False)
    torch.nn.init.zeros_(block.convolutions[-1].weight)
    maps = torch.randn(1, 8, 5, 5)
    assert torch.equal(block(maps), torch.relu(maps))
