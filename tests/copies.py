"""See whether work for a card would wait for it, without one.

The meta device stands in for the card: it has no numbers that could be asked for, and a copy to it
is seen as one to a card would be.
"""

import inspect
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")


class Copies(TorchDispatchMode):
    """Counts the copies to a device that `sent` did not make; each would wait, or read too late."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and args[0].device != result.device:
            callers = {frame.function for frame in inspect.stack(context=0)}
            self.unsent += "sent" not in callers
        return result
