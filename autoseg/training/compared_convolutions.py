"""Compare every convolution that a computation makes with the same one in float32."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from typing_extensions import override

LARGEST_ERROR = 0.05
"""Norm of the difference, as a share of the float32 result's. Source: with reference kernels in
bfloat16 it was at most 0.007 (the gradient of maps), in steps of nine networks, 2-D and 3-D."""

PARTS: dict[Callable[..., Any], tuple[str, ...]] = {
    torch.ops.aten.convolution.default: ("output",),
    torch.ops.aten.convolution_backward.default: (
        *("gradient of the input", "gradient of the weights", "gradient of the bias"),
    ),
}
"""What torch's operations make that all convolutions and transposed convolutions come down to."""


class ComparedConvolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Computes every convolution in the block a second time, in float32.

    Attributes:
        finding: What is wrong with the first wrong one, as the rest of a sentence; None if none is.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.finding: str | None = None

    @override
    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in PARTS and self.finding is None:
            wide = tree_map_only(Tensor, Tensor.float, args)
            self.finding = _finding(func, wide, made, func(*wide, **(kwargs or {})))
        return made


def _finding(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    made: Any,  # noqa: ANN401  (a tensor or several)
    expected: Any,  # noqa: ANN401
) -> str | None:
    """Return the issue of the result of a convolution.

    Args:
        func: One of `PARTS`.
        args: What it was given.
        made: What it made of that.
        expected: What it made of that in float32.
    """
    is_forward = isinstance(made, Tensor)
    both = ((made,), (expected,)) if is_forward else (made, expected)
    for part, found, wanted in zip(PARTS[func], *both, strict=True):
        if wanted is None:
            continue
        size = wanted.norm()
        if part == "gradient of the bias":  # a sum that may be near 0, though its parts are not
            size = torch.maximum(size, args[0].norm())
        error = float((found.float() - wanted).norm() / size.clamp(min=torch.finfo().tiny))
        if not error <= LARGEST_ERROR:  # also where it is no number
            maps, weights = args[:2] if is_forward else args[1:3]
            return (
                f"gave wrong values (the {part} of the convolution of {list(maps.shape)} with "
                f"weights {list(weights.shape)} differs from float32 by {error:.0%})"
            )
    return None
