"""Errors in the processes that prepare batches."""

import errno
import gc
from collections.abc import Iterator
from multiprocessing import active_children

import pytest

from autoseg.training.loading import BatchDataset, BatchSampler, load_batches
from autoseg.training.sampling import Batch


class Failing(BatchDataset):
    def __init__(self, error: Exception) -> None:
        object.__setattr__(self, "error", error)

    def get_batch(self, index: object) -> Batch:
        raise self.error


@pytest.fixture(autouse=True)
def _without_garbage_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def first_batch(error: Exception) -> None:
    order = BatchSampler(first_step=0, epoch_steps=2, validation_batches=0)
    next(load_batches(Failing(error), order, workers=1))


def test_an_error_of_the_system_in_a_worker_keeps_its_number_and_path() -> None:
    with pytest.raises(OSError, match="Too many open files") as found:
        first_batch(OSError(errno.EMFILE, "Too many open files", "/data/one"))
    assert (found.value.errno, found.value.filename) == (errno.EMFILE, "/data/one")


def test_no_worker_outlives_an_unexpected_error() -> None:
    with pytest.raises(ValueError, match="Caught ValueError in DataLoader worker"):
        first_batch(ValueError("unexpected"))
    assert not active_children()
