"""Device and precision of networks."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.core.errors import AutosegError, TrainingError, first_line

Precision = Literal["auto", "float32", "bfloat16", "float16"]


OUT_OF_MEMORY_MESSAGES = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN
    "_ALLOCATION_FAILED",  # cuDNN 9, on the device or the host
    "unable to find an engine",  # cuDNN, if no engine's workspace could be allocated
)
"""Parts of the messages that torch and its libraries raise if memory runs out."""

MAIN_MEMORY_MESSAGES = ("CPUAllocator", "alloc_cpu", "HOST_ALLOCATION_FAILED")
"""Further parts of these messages if main memory (not GPU memory) ran out."""


def choose_device(name: str) -> torch.device:
    """Return a torch device; "auto" chooses CUDA, then Apple's MPS, then the CPU.

    Runs a small computation on the device, because torch also lists GPUs that it has no kernels
    for.

    Raises:
        TrainingError: If torch does not know the name, or the device is missing or does not work.
    """
    chosen = _automatic_device() if name == "auto" else name
    try:
        device = torch.device(chosen)
        torch.zeros(1, device=device).add_(1).item()
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(
            f"the device {chosen!r} cannot be used ({first_line(error)}). Choose --device cpu, "
            "which always works, or auto, cuda, cuda:1 … or mps."
        ) from error
    return device


def _automatic_device() -> str:
    """Return the name of the fastest device that torch lists."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def autocast_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """Return the dtype for autocast; float32 means no autocast.

    "auto" chooses bfloat16 on hardware with native support (CUDA from Ampere on, CPUs with AVX-512
    BF16 or AMX), float16 on older CUDA GPUs, and float32 on other CPUs and on MPS, where float16
    has open issues in torch 2.10 to 2.12.
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
    """Return an autocast context for `dtype`, or a null context for float32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def memory_layout(device: torch.device, num_axes: int) -> torch.memory_format:
    """Return the fastest memory format: channels last on a CPU, contiguous on other devices.

    On a CPU, steps in contiguous format take 1.06 to 1.26 times as long, except for `trans_unet` in
    2-D (0.94 times; `docs/benchmarks/network_steps.py`). This was not measured on GPUs. There,
    torch's normalisation layers return contiguous tensors, which every convolution would have to
    convert back.
    """
    if device.type != "cpu":
        return torch.contiguous_format
    return torch.channels_last_3d if num_axes == 3 else torch.channels_last


def move_to_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, in the memory format that `memory_layout` returns."""
    axes = max(parameter.ndim for parameter in network.parameters()) - 2
    layout = memory_layout(device, axes)
    return network.to(device).to(memory_format=layout)  # type: ignore[call-overload,no-any-return]


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Convert an array to a tensor on a device, with a non-blocking copy to a GPU.

    On a CPU, the tensor shares the array's memory. Copies to a GPU start from pinned memory: from
    pageable memory, torch would first wait for all work that is queued on the GPU.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return True if memory ran out; only CUDA has its own exception class for this."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(
        mark in text for mark in OUT_OF_MEMORY_MESSAGES
    )


def is_out_of_main_memory(error: RuntimeError) -> bool:
    """Return True if main memory ran out, rather than GPU memory."""
    return is_out_of_memory(error) and any(mark in str(error) for mark in MAIN_MEMORY_MESSAGES)


@contextmanager
def replace_out_of_memory_error(issue: AutosegError) -> Iterator[None]:
    """Replace torch's out-of-memory error by one that tells the user what to do.

    Args:
        issue: Error to raise if memory runs out in the block; other errors are not changed.
    """
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise issue from error
        raise


def _gpu_has_bfloat16(device: torch.device) -> bool:
    """Return True if a GPU supports bfloat16 natively; older ones emulate it slowly."""
    is_amd = torch.version.hip is not None
    return is_amd or torch.cuda.get_device_capability(device) >= (8, 0)


def _cpu_has_bfloat16() -> bool:
    """Return True if bfloat16 convolutions are faster than float32 ones on this CPU."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.11
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
