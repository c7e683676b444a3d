"""Where a network runs, and in which precision."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.core.errors import AutosegError, TrainingError, first_line

Precision = Literal["auto", "float32", "bfloat16", "float16"]


MARKS_OF_LACKING_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN
    "_ALLOCATION_FAILED",  # cuDNN 9, of a device or its host
    "unable to find an engine",  # of cuDNN, where no engine's workspace could be had
)
"""What torch and its libraries write where memory ran out."""

MARKS_OF_MAIN_MEMORY = ("CPUAllocator", "alloc_cpu", "HOST_ALLOCATION_FAILED")
"""What they write besides where it was main memory."""


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" takes CUDA, then Apple's MPS, then the CPU.

    It computes something there: a GPU for which torch has no kernels is listed all the same.

    Raises:
        TrainingError: If the name means nothing to torch, or the device is not there or does not
            compute.
    """
    chosen = _automatic_device() if name == "auto" else name
    try:
        device = torch.device(chosen)
        torch.zeros(1, device=device).add_(1).item()
    except (RuntimeError, AssertionError) as error:
        msg = (
            f"the device {chosen!r} cannot be used ({first_line(error)}). Choose --device cpu, "
            "which every machine has, or auto, cuda, cuda:1 … or mps."
        )
        raise TrainingError(msg) from error
    return device


def _automatic_device() -> str:
    """Return the name of the fastest device that torch lists."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def autocast_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """Return the type that convolutions compute in; float32 means no autocast.

    "auto" takes bfloat16 where the hardware has it (CUDA from Ampere on, CPUs with AVX-512 BF16 or
    AMX), float16 on older CUDA GPUs, and float32 on other CPUs and on MPS, where float16 has open
    issues in torch 2.10 to 2.12.
    """
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[
            precision
        ]
    if device.type == "cuda":
        return torch.bfloat16 if _gpu_has_bfloat16(device) else torch.float16
    is_fast_cpu = device.type == "cpu" and _cpu_has_bfloat16()
    return torch.bfloat16 if is_fast_cpu else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return the context in which a network computes in `dtype` where that is safe."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def memory_layout(device: torch.device, num_axes: int) -> torch.memory_format:
    """Return the layout in which networks are fast: channels last on a CPU, elsewhere contiguous.

    Measured on a CPU: contiguous steps take 1.06 to 1.26 times as long, of `trans_unet` in 2-D 0.94
    (`docs/benchmarks/network_steps.py`). On a GPU nothing was measured; torch's normalisation
    returns contiguous maps there, which every convolution would have to bring back.
    """
    if device.type != "cpu":
        return torch.contiguous_format
    return torch.channels_last_3d if num_axes == 3 else torch.channels_last


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network on a device, in the layout that `memory_layout` gives."""
    axes = max(parameter.ndim for parameter in network.parameters()) - 2
    layout = memory_layout(device, axes)
    return network.to(device).to(memory_format=layout)  # type: ignore[call-overload,no-any-return]


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device; nobody waits until it is there.

    On a CPU it shares the array's memory. To a GPU it goes from pinned memory: from other memory,
    torch would wait for all that the GPU was told to do before.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch says that memory ran out; only CUDA has an exception of its own."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(
        mark in text for mark in MARKS_OF_LACKING_MEMORY
    )


def is_out_of_main_memory(error: RuntimeError) -> bool:
    """Return whether torch says that main memory ran out; an accelerator then has no part in it."""
    return is_out_of_memory(error) and any(mark in str(error) for mark in MARKS_OF_MAIN_MEMORY)


@contextmanager
def naming_lack_of_memory(issue: AutosegError) -> Iterator[None]:
    """Raise what tells the user what to do, in place of torch's error, where memory runs out.

    Args:
        issue: Is raised if it does in the block; other errors pass.
    """
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise issue from error
        raise


def _gpu_has_bfloat16(device: torch.device) -> bool:
    """Return whether a GPU computes in bfloat16 by itself; older ones emulate it, slowly."""
    is_amd = torch.version.hip is not None
    return is_amd or torch.cuda.get_device_capability(device) >= (8, 0)


def _cpu_has_bfloat16() -> bool:
    """Return whether bfloat16 convolutions are faster than float32 ones on this CPU."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.11
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
