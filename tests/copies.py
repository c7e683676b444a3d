"""See whether work for a GPU would wait for it, without one.

The meta device stands in for the GPU: it has no numbers that could be asked for, and a copy to it
is seen as one to a GPU would be.
"""

import inspect
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")


class Copies(TorchDispatchMode):
    """Counts the copies to a device not made by `to_device`; each would wait, or read too late.

    It does not see the copy of a list that picks elements of a tensor, but in `operations` that
    elements were picked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unsent = 0
        self.operations: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        self.operations.add(func.__name__)
        if _brings(args, result):
            callers = {frame.function for frame in inspect.stack(context=0)}
            self.unsent += "to_device" not in callers
        return result


def _brings(args: Any, result: object) -> bool:
    """Return whether an operation takes main memory's tensor, or indices, to another device."""
    if not isinstance(result, torch.Tensor) or result.device.type == "cpu":
        return False
    indices = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()
    return any(
        isinstance(value, torch.Tensor) and value.device.type == "cpu"
        for value in (*args[:1], *indices)
    )
