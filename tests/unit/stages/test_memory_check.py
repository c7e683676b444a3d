"""A training that cannot fit is refused before anything is built."""

import pytest
import torch
from fakes import tiny_configuration

from autoseg.core.errors import TrainingError
from autoseg.stages.memory_check import check_training_memory

CPU = torch.device("cpu")


def test_a_training_that_fits_is_accepted() -> None:
    check_training_memory(tiny_configuration((8, 8)), CPU)


@pytest.mark.parametrize("shape", [(65536, 65536), (65536, 65536, 65536)])
def test_a_training_of_terabytes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TrainingError, match=r"more than this machine has .*plan\.json"):
        check_training_memory(tiny_configuration(shape), CPU)
