"""Compare every convolution of a computation with the same convolution in float32."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from typing_extensions import override

from autoseg.core.formatting import format_percent

LARGEST_ERROR = 0.05
"""Maximum norm of the difference relative to the norm of the float32 result. Source: with reference
kernels in bfloat16, it was at most 0.007 (gradient of feature maps) in training steps of nine
networks, 2-D and 3-D."""

PARTS: dict[Callable[..., Any], tuple[str, ...]] = {
    torch.ops.aten.convolution.default: ("output",),
    torch.ops.aten.convolution_backward.default: (
        *("gradient of the input", "gradient of the weights", "gradient of the bias"),
    ),
}
"""Outputs of the torch operations that implement all (transposed) convolutions."""


class ComparedConvolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Computes every convolution in the block a second time in float32.

    Attributes:
        finding: Description of the first wrong result, as the rest of a sentence; None if all are
            correct.
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
        result = func(*args, **(kwargs or {}))
        if func in PARTS and self.finding is None:
            wide = tree_map_only(Tensor, Tensor.float, args)
            self.finding = _finding(func, wide, result, func(*wide, **(kwargs or {})))
        return result


def _finding(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    result: Any,  # noqa: ANN401  (a tensor or several)
    expected: Any,  # noqa: ANN401
) -> str | None:
    """Describe the error of a convolution's result; None if it is small enough.

    Args:
        func: One of `PARTS`.
        args: Its arguments in float32.
        result: Its result.
        expected: Its result in float32.
    """
    is_forward = isinstance(result, Tensor)
    both = ((result,), (expected,)) if is_forward else (result, expected)
    for part, actual, reference in zip(PARTS[func], *both, strict=True):
        if reference is None:
            continue
        size = reference.norm()
        if part == "gradient of the bias":  # a sum that may be near 0 although its terms are not
            size = torch.maximum(size, args[0].norm())
        error = float((actual.float() - reference).norm() / size.clamp(min=torch.finfo().tiny))
        if not error <= LARGEST_ERROR:  # also true for NaN
            maps, weights = args[:2] if is_forward else args[1:3]
            return (
                f"gave wrong values (the {part} of the convolution of {list(maps.shape)} with "
                f"weights {list(weights.shape)} differs from float32 by {format_percent(error)})"
            )
    return None
