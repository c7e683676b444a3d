from itertools import product

import pytest
import torch

from autoseg.architectures.attention import (
    DotProductAttention,
    MultiHeadAttention,
    as_maps,
    as_tokens,
    sinusoidal_encoding,
)


def attention(queries=6, values=10, heads=2):
    torch.manual_seed(0)
    return MultiHeadAttention((queries, values), heads=heads, head_features=8)


def test_each_head_returns_the_mean_of_the_values_weighted_by_the_softmax_of_the_products():
    module = attention()
    tokens = 5 * torch.randn(3, 4, 6), 5 * torch.randn(3, 7, 6), torch.randn(3, 7, 10)
    queries, keys, values = (
        layer(each).unflatten(2, (2, 8)).transpose(1, 2)
        for layer, each in zip((module.queries, module.keys, module.values), tokens, strict=True)
    )
    rows = torch.softmax(queries @ keys.transpose(-1, -2) / 8**0.5, dim=-1)
    assert not torch.allclose(rows[:, 0], rows[:, 1])
    expected = module.output((rows @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(module(*tokens), expected)


def test_the_order_of_keys_does_not_matter_without_codes():
    module = attention()
    queries, keys, values = torch.randn(1, 4, 6), torch.randn(1, 7, 6), torch.randn(1, 7, 10)
    order = torch.randperm(7)
    torch.testing.assert_close(
        module(queries, keys[:, order], values[:, order]), module(queries, keys, values)
    )


def test_no_matrix_of_all_pairs_is_kept():
    sizes = []
    queries = torch.randn(1, 2, 512, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        DotProductAttention()(queries, queries, queries)
    assert max(sizes) == queries.numel()


@pytest.mark.parametrize("grid", [(5, 7), (3, 4, 5)])
def test_every_place_has_a_code_of_its_own(grid):
    codes = sinusoidal_encoding(grid, 32)
    assert codes.abs().max() <= 1
    distances = torch.cdist(codes, codes) + torch.eye(len(codes)) * 10
    assert distances.min() > 0.1


def test_a_code_is_sines_and_cosines_of_each_axis():
    codes = sinusoidal_encoding((2, 3), 10).view(2, 3, 10)
    for row, column in product(range(2), range(3)):
        angles = torch.tensor([row, row / 100, column, column / 100])
        expected = torch.cat((angles.sin(), angles.cos(), torch.zeros(2)))
        torch.testing.assert_close(codes[row, column], expected)


def test_few_features_have_no_codes():
    assert not sinusoidal_encoding((2, 2, 2), 5).any()


def test_tokens_become_the_maps_that_they_were():
    maps = torch.randn(2, 3, 4, 5, 6)
    tokens = as_tokens(maps)
    assert tokens.shape == (2, 120, 3)
    assert torch.equal(tokens[1, 7], maps[1, :, 0, 1, 1])
    assert torch.equal(as_maps(tokens, (4, 5, 6)), maps)
