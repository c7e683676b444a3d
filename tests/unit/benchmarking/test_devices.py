import pytest
import torch

from autoseg.benchmarking.devices import naming_lack_of_memory
from autoseg.core.errors import TrainingError

CPU = torch.device("cpu")


def test_a_lack_of_memory_is_said_with_what_to_do():
    with (
        pytest.raises(TrainingError, match="too little free memory for 3d_fullres"),
        naming_lack_of_memory(CPU, "3d_fullres"),
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes differ"), naming_lack_of_memory(CPU, "2d"):
        raise RuntimeError("shapes differ")
