"""What GPUs that are not here are taken for; they are asked by torch, which is replaced."""

import numpy as np
import pytest
import torch

from autoseg.benchmarking.devices import out_of_memory_error
from autoseg.core.device import (
    autocast_dtype,
    choose_device,
    is_out_of_main_memory,
    is_out_of_memory,
    memory_layout,
    replace_out_of_memory_error,
    to_device,
)
from autoseg.core.errors import TrainingError


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((6, 1), torch.float16), ((7, 5), torch.float16), ((8, 0), torch.bfloat16)],
)
def test_bfloat16_is_for_cards_that_compute_in_it_by_themselves(
    capability, expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def of(device: torch.device) -> tuple[int, int]:
        asked.append(device)
        return capability

    monkeypatch.setattr(torch.cuda, "get_device_capability", of)
    assert autocast_dtype(torch.device("cuda:1")) == expected
    assert asked == [torch.device("cuda:1")]


def test_cards_of_amd_have_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert autocast_dtype(torch.device("cuda")) == torch.bfloat16


def test_devices_of_apple_compute_in_float32_unless_asked_otherwise() -> None:
    assert autocast_dtype(torch.device("mps")) == torch.float32
    assert autocast_dtype(torch.device("mps"), "float16") == torch.float16


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
        "FIND was unable to find an engine to execute this computation",
    ],
)
def test_libraries_of_cards_say_in_their_ways_that_memory_ran_out(message) -> None:
    assert is_out_of_memory(RuntimeError(message))


def test_main_memory_and_that_of_a_card_are_told_apart() -> None:
    assert is_out_of_main_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_main_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB."))
    assert not is_out_of_main_memory(RuntimeError("CPUAllocator has another issue"))


def test_other_faults_are_no_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


@pytest.mark.parametrize("name", ["cuda", "auto"])
def test_a_listed_card_that_cannot_compute_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WithoutKernels(torch.Tensor):
        def add_(self, *_: object) -> None:
            raise RuntimeError("CUDA error: no kernel image is available\nfor execution on it")

    def listed(*shape: int, **_: object) -> torch.Tensor:
        return torch.ones(*shape).as_subclass(WithoutKernels)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", listed)
    monkeypatch.setattr(torch, "empty", listed)
    expected = r"'cuda' cannot be used \(CUDA error: no kernel.*available\).*--device cpu"
    with pytest.raises(TrainingError, match=expected):
        choose_device(name)


def test_only_processors_have_channels_last() -> None:
    assert memory_layout(torch.device("cpu"), 3) == torch.channels_last_3d
    assert memory_layout(torch.device("cuda"), 3) == torch.contiguous_format


def test_an_array_that_stays_is_not_copied() -> None:
    array = np.zeros(3, np.float32)
    to_device(array, torch.device("cpu"))[0] = 1.0
    assert array[0] == 1.0


def test_a_lack_of_memory_is_said_with_what_to_do() -> None:
    said = out_of_memory_error(torch.device("cpu"), "3d_fullres")
    with (
        pytest.raises(TrainingError, match="too little free memory for 3d_fullres"),
        replace_out_of_memory_error(said),
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_other_errors_pass() -> None:
    said = out_of_memory_error(torch.device("cpu"), "2d")
    with pytest.raises(RuntimeError, match="shapes differ"), replace_out_of_memory_error(said):
        raise RuntimeError("shapes differ")
