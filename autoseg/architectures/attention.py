"""Multi-head attention and transformer layers.

Voxels are called tokens here, as in the papers, with the layout `batch tokens features`. The
attention matrix is not stored, so that memory grows linearly with the number of tokens.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.convolutions import ConvolutionRun

Tokens = Float[Tensor, "batch tokens features"]
Queries = Float[Tensor, "batch queries features"]
Keys = Float[Tensor, "batch keys other_features"]
Heads = Float[Tensor, "batch heads tokens head_features"]

MAX_WAVELENGTH = 10_000.0
"""Longest wavelength of the position encoding, in multiples of 2π tokens. Source: Vaswani et al."""


def as_tokens(maps: Tensor) -> Tensor:
    """Convert feature maps, `batch features *space`, to tokens, `batch tokens features`."""
    return maps.flatten(2).transpose(1, 2)


def as_maps(tokens: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Convert tokens to feature maps of size `grid`, voxels."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)


def sinusoidal_encoding(
    grid: tuple[int, ...], features: int, *, device: torch.device | None = None
) -> Float[Tensor, "tokens features"]:
    """Compute the sinusoidal position encoding of a grid.

    Each axis is encoded by sines and cosines of the voxel index in an equal share of the features;
    remaining features are 0. Values are in [-1, 1].

    Args:
        grid: Size, voxels.
        features: Features per token.
        device: Device of the result.

    Source: Vaswani et al., NeurIPS 2017, section 3.5; axis by axis as in Petit et al., 2021.
    """
    waves = features // (2 * len(grid))
    rates = MAX_WAVELENGTH ** (-torch.arange(waves, device=device) / max(waves, 1))
    indices = torch.cartesian_prod(*(torch.arange(size, device=device) for size in grid)).view(
        -1, len(grid)
    )
    angles = (indices[:, :, None] * rates).flatten(1)
    codes = torch.cat((angles.sin(), angles.cos()), dim=1)
    return F.pad(codes, (0, features - codes.shape[1]))


NORM_EPSILON = 1e-6
"""Epsilon of layer normalisation in a transformer layer. Source: code of Dosovitskiy et al."""


class DotProductAttention(nn.Module):
    """Scaled dot-product attention.

    Source: Vaswani et al., equation 1.
    """

    @override
    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(queries, keys, values)


class MultiHeadAttention(nn.Module):
    """Multi-head attention, in which queries and keys may differ in width from the values.

    Args:
        features: Features of the query (and key) tokens, and of the value tokens.
        heads: Number of heads.
        head_features: Features per head.

    Source: Vaswani et al., section 3.2.2.
    """

    def __init__(self, features: tuple[int, int], *, heads: int, head_features: int) -> None:
        super().__init__()
        query_features, value_features = features
        width = heads * head_features
        self.heads = heads
        self.queries = nn.Linear(query_features, width)
        self.keys = nn.Linear(query_features, width)
        self.values = nn.Linear(value_features, width)
        self.attention = DotProductAttention()
        self.output = nn.Linear(width, value_features)

    @override
    def forward(self, queries: Queries, keys: Tensor, values: Keys) -> Tensor:
        """Return one token per query, with as many features as the values.

        Args:
            queries: Query tokens.
            keys: Key tokens, one per value token, with as many features as the queries.
            values: Value tokens.
        """
        attended = self.attention(
            self._split(self.queries(queries)),
            self._split(self.keys(keys)),
            self._split(self.values(values)),
        )
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output

    def _split(self, tokens: Tokens) -> Heads:
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class TransformerLayer(nn.Module):
    """Pre-norm transformer layer: self-attention and a two-layer perceptron, both residual.

    Args:
        width: Features of the tokens.
        heads: Number of attention heads; must divide `width`.
        hidden: Hidden features of the perceptron.
        dropout: Dropout rate after both linear layers of the perceptron.

    Source: Dosovitskiy et al., ICLR 2021, arXiv:2010.11929, equations 2 and 3.
    """

    def __init__(self, width: int, *, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attention = MultiHeadAttention(
            (width, width), heads=heads, head_features=width // heads
        )
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.perceptron = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
            nn.Dropout(dropout),
        )

    @override
    def forward(self, tokens: Tokens) -> Tensor:
        normalised = self.attention_norm(tokens)
        tokens = tokens + self.attention(normalised, normalised, normalised)
        output: Tensor = tokens + self.perceptron(self.norm(tokens))
        return output


def attention_runs(
    features: tuple[int, int], width: int, *, queries: int, keys: int
) -> Iterator[ConvolutionRun]:
    """Yield convolutions with the same cost as a `MultiHeadAttention`.

    Args:
        features: Features of the query (and key) tokens, and of the value tokens.
        width: Features of all heads together.
        queries: Number of query tokens.
        keys: Number of key (and value) tokens.
    """
    query_features, value_features = features
    yield ConvolutionRun(query_features, width, queries)
    yield ConvolutionRun(query_features, width, keys)
    yield ConvolutionRun(value_features, width, keys)
    yield ConvolutionRun(2 * keys, width, queries)  # attention scores and the weighted mean
    yield ConvolutionRun(width, value_features, queries)


def initialise_attention(module: nn.Module) -> None:
    """Initialise a linear layer: Glorot uniform weights and zero biases.

    Source: Glorot and Bengio, AISTATS 2010, equation 16.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
