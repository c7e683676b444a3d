"""Attention: every voxel of one set of maps looks at all voxels of another.

Voxels are called tokens here, as in the papers; they come as `batch tokens features`. No matrix of
all pairs is kept, so that memory grows with the number of tokens, not with its square.
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

LONGEST_WAVE = 10_000.0
"""Wavelength of the slowest position code, in multiples of 2π tokens. Source: Vaswani et al."""


def as_tokens(maps: Tensor) -> Tensor:
    """Return maps, `batch features *space`, as tokens."""
    return maps.flatten(2).transpose(1, 2)


def as_maps(tokens: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Return tokens as maps of that size, voxels."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)


def sinusoidal_codes(
    grid: tuple[int, ...], features: int, *, device: torch.device | None = None
) -> Float[Tensor, "tokens features"]:
    """Return one code per voxel of a grid: sines and cosines of its index along each axis.

    Each axis has an equal share of the features; what is left over is 0. Values lie in [-1, 1].

    Args:
        grid: Size, voxels.
        features: Length of a code.
        device: Where to put them.

    Source: Vaswani et al., NeurIPS 2017, section 3.5; axis by axis as in Petit et al., 2021.
    """
    waves = features // (2 * len(grid))
    rates = LONGEST_WAVE ** (-torch.arange(waves, device=device) / max(waves, 1))
    indices = torch.cartesian_prod(*(torch.arange(size, device=device) for size in grid)).view(
        -1, len(grid)
    )
    angles = (indices[:, :, None] * rates).flatten(1)
    codes = torch.cat((angles.sin(), angles.cos()), dim=1)
    return F.pad(codes, (0, features - codes.shape[1]))


NORM_EPSILON = 1e-6
"""Added to the variance in a transformer layer. Source: the code of Dosovitskiy et al."""


class DotProductAttention(nn.Module):
    """The mean of all values, weighted by how well their keys match a query.

    Source: Vaswani et al., equation 1.
    """

    @override
    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(queries, keys, values)


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each in a space of its own.

    Args:
        features: Of the tokens that ask and of those that are looked at.
        heads: How many attentions.
        head_features: Features of each.

    Source: Vaswani et al., section 3.2.2.
    """

    def __init__(self, features: tuple[int, int], *, heads: int, head_features: int) -> None:
        super().__init__()
        asking, looked_at = features
        width = heads * head_features
        self.heads = heads
        self.queries = nn.Linear(asking, width)
        self.keys = nn.Linear(asking, width)
        self.values = nn.Linear(looked_at, width)
        self.attention = DotProductAttention()
        self.output = nn.Linear(width, looked_at)

    @override
    def forward(self, queries: Queries, keys: Tensor, values: Keys) -> Tensor:
        """Return one token per query, with the features of the values.

        Args:
            queries: What asks.
            keys: What it is compared with, one per value; features as those of the queries.
            values: What is averaged.
        """
        found = self.attention(
            self._split(self.queries(queries)),
            self._split(self.keys(keys)),
            self._split(self.values(values)),
        )
        averaged: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return averaged

    def weights(self, queries: Tensor, keys: Tensor) -> Float[Tensor, "batch heads queries keys"]:
        """Return how much each query takes of each key; over all keys they sum to 1.

        The forward pass does not keep them; this is for looking at.
        """
        asking, compared = self._split(self.queries(queries)), self._split(self.keys(keys))
        scale = asking.shape[-1] ** -0.5
        return torch.softmax(scale * asking @ compared.transpose(-1, -2), dim=-1)

    def _split(self, tokens: Tokens) -> Heads:
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class TransformerLayer(nn.Module):
    """Self-attention, then two linear layers per token, each added to what came in.

    Args:
        width: Features of the tokens.
        heads: Attentions side by side; must divide the width.
        hidden: Features between the two linear layers.
        dropout: Share of these two layers' values that training sets to 0.

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
        normal = self.attention_norm(tokens)
        tokens = tokens + self.attention(normal, normal, normal)
        looked: Tensor = tokens + self.perceptron(self.norm(tokens))
        return looked


def attention_runs(
    features: tuple[int, int], width: int, *, queries: int, keys: int
) -> Iterator[ConvolutionRun]:
    """Yield what a `MultiHeadAttention` computes, as the convolutions that do as much.

    Args:
        features: Of the tokens that ask and of those that are looked at.
        width: Features of all heads together.
        queries: Number of tokens that ask.
        keys: Number of tokens that are looked at.
    """
    asking, looked_at = features
    yield ConvolutionRun(asking, width, queries)
    yield ConvolutionRun(asking, width, keys)
    yield ConvolutionRun(looked_at, width, keys)
    yield ConvolutionRun(2 * keys, width, queries)  # scores, and the mean that they weigh
    yield ConvolutionRun(width, looked_at, queries)


def initialise_attention(module: nn.Module) -> None:
    """Draw the weights of a linear layer by Glorot's rule and set its biases to 0.

    Source: Glorot and Bengio, AISTATS 2010, equation 16.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
