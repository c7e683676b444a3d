"""Prepare batches in background processes, in a fixed order.

Batches cross the process border as plain bytes, not through shared memory, so containers need no
`--shm-size`. An issue in a worker arrives here as the exception it was.
"""

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from typing_extensions import override

from autoseg.core.errors import AutosegError, TrainingError
from autoseg.core.signals import CRASHES, end_with_parent, explained, signal_name
from autoseg.preprocessing.storage import StoredCase
from autoseg.training.drawing import draw_unaugmented, finished, reader_of
from autoseg.training.reading import CaseReader
from autoseg.training.sampling import Batch, Sampling, UnaugmentedBatch

MOST_PREFETCHED, PREFETCHED_BY_ALL = 4, 24
"""Batches that each worker keeps ready at most, and all together: a batch of large patches takes
some 50 MB."""


class BatchIndex(NamedTuple):
    """Which batch to draw: the `step`-th of a stream."""

    stream: Literal["train", "validation"]
    step: int


@dataclass(frozen=True)
class BatchDataset(Dataset[Batch | UnaugmentedBatch | AutosegError]):
    """All batches of a training, by index.

    Attributes:
        training_cases: What the network learns from.
        validation_cases: What it is checked on.
        training: How patches are drawn from the first.
        validation: How, from the second.
        are_unaugmented: Whether batches are returned before augmentation, which then runs on
            the device.
    """

    training_cases: tuple[StoredCase, ...]
    validation_cases: tuple[StoredCase, ...]
    training: Sampling
    validation: Sampling
    are_unaugmented: bool = False

    @property
    def held_out_cases(self) -> tuple[StoredCase, ...]:
        """Validation cases that are not trained on too, as those of a single case or group are."""
        seen = {case.record.name for case in self.training_cases}
        return tuple(case for case in self.validation_cases if case.record.name not in seen)

    @override
    def __getitem__(self, index: BatchIndex) -> Batch | UnaugmentedBatch | AutosegError:
        """Return the batch, or the user's issue that keeps it from being made.

        An issue is returned, not raised, because torch would bury its sentence in a traceback.
        """
        try:
            return self.handed_out(index)
        except AutosegError as issue:
            return issue

    def handed_out(self, index: BatchIndex) -> Batch | UnaugmentedBatch:
        """Return the batch of an index as a training gets it, augmented or for the device to do so.

        Raises:
            CaseError: If a prepared case cannot be read.
        """
        return self._unaugmented(index) if self.are_unaugmented else self.draw(index)

    def draw(self, index: BatchIndex) -> Batch:
        """Return the batch of an index, augmented.

        Raises:
            CaseError: If a prepared case cannot be read.
        """
        return finished(self._unaugmented(index))

    def _unaugmented(self, index: BatchIndex) -> UnaugmentedBatch:
        if index.stream == "train":
            return draw_unaugmented(self._training_reader, self.training, *index)
        return draw_unaugmented(self._validation_reader, self.validation, *index)

    @cached_property
    def _training_reader(self) -> CaseReader:
        return reader_of(self.training_cases, self.training)

    @cached_property
    def _validation_reader(self) -> CaseReader:
        return reader_of(self.validation_cases, self.validation)


class BatchSampler(Sampler[BatchIndex]):
    """The endless order of batches: an epoch's training steps, then its validation batches.

    Validation draws the same batches after every epoch, so that its curve shows the network's
    progress and not the luck of the draw.
    """

    def __init__(self, *, first_step: int, epoch_steps: int, validation_batches: int) -> None:
        self._first_step = first_step
        self._epoch_steps = epoch_steps
        self.validation_batches = validation_batches

    @override
    def __iter__(self) -> Iterator[BatchIndex]:
        step = self._first_step
        while True:
            yield BatchIndex("train", step)
            step += 1
            if step % self._epoch_steps == 0:
                for index in range(self.validation_batches):
                    yield BatchIndex("validation", index)


def prefetched_batches(workers: int) -> int:
    """Return how many batches each worker keeps ready; 0 without workers."""
    return max(1, min(MOST_PREFETCHED, PREFETCHED_BY_ALL // workers)) if workers else 0


def load_batches(
    dataset: BatchDataset, order: BatchSampler, *, workers: int
) -> Generator[Batch | UnaugmentedBatch, None, None]:
    """Yield batches in order, without end.

    Args:
        dataset: What to draw.
        order: In which order.
        workers: Background processes; 0 draws in this process.

    Raises:
        CaseError: If a prepared case cannot be read.
    """
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=order,
        num_workers=workers,
        collate_fn=_keep,
        prefetch_factor=prefetched_batches(workers) or None,
        worker_init_fn=_start_worker,
        generator=torch.Generator().manual_seed(0),  # the default one belongs to the network
    )
    for batch in loader:
        if isinstance(batch, AutosegError):
            raise batch
        yield batch


@contextmanager
def naming_dead_workers() -> Iterator[None]:
    """Turn torch's error about a dead worker into one for the user.

    torch raises it in a signal handler, so in the midst of whatever this process is doing: all that
    goes on beside the workers belongs into this block.

    Raises:
        TrainingError: If a worker process was ended by a signal.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise TrainingError(_worker_death(str(error))) from error


def _worker_death(message: str) -> str:
    """Return why a worker ended and what to do, given torch's message about it."""
    number = next(
        # torch quotes the C library's words for a signal, as strsignal does
        (n for n in signal.valid_signals() if f"by signal: {signal.strsignal(n)}." in message),
        None,
    )
    ended = "ended unexpectedly" if number is None else f"was ended by {explained(number)}"
    if number is not None and signal_name(number) in CRASHES:
        advice = "If it ends the same way again, use none (--workers 0)"
    else:
        advice = "To use less memory, take fewer of them (--workers 1, or 0 for none)"
    return (
        f"a process that prepares training batches {ended}. {advice}; the same command resumes "
        "from the last checkpoint."
    )


def _keep(batch: Any) -> Any:  # noqa: ANN401  (torch types a collate function for lists)
    return batch


def _start_worker(worker: int) -> None:  # noqa: ARG001  (torch passes the worker's number)
    """Leave Ctrl-C and SIGTERM to the main process, and never outlive it.

    Both often reach all processes at once (a terminal, a batch system that ends a task). The main
    process needs its workers to finish the step and save; it stops them itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent()  # outside Linux torch notices the parent's death, some seconds later
