"""Prepare batches in worker processes, in a fixed order.

Batches are sent between processes as plain bytes, not through shared memory, so containers need no
`--shm-size`. An error in a worker is raised again in the main process as the same exception.
"""

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from traceback import clear_frames
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from typing_extensions import override

from autoseg.core.errors import AutosegError, TrainingError
from autoseg.core.interrupt import TERMINATING
from autoseg.core.memory import OutOfMemoryKills
from autoseg.core.signals import CRASHES, describe_end, end_with_parent, signal_name
from autoseg.preprocessing.storage import StoredCase
from autoseg.training.drawing import augment_on_cpu, draw_unaugmented, reader_of
from autoseg.training.reading import CaseReader
from autoseg.training.sampling import Batch, Sampling, UnaugmentedBatch

MOST_PREFETCHED, PREFETCHED_BY_ALL = 4, 24
"""Maximum prefetched batches per worker, and of all workers together: a batch of large patches
takes about 50 MB."""


class BatchIndex(NamedTuple):
    """Index of a batch: its stream and its step in the stream."""

    stream: Literal["train", "validation"]
    step: int


@dataclass(frozen=True)
class BatchDataset(Dataset[Batch | UnaugmentedBatch | AutosegError | OSError]):
    """All batches of a training, by index.

    Attributes:
        training_cases: Cases to train on.
        validation_cases: Cases to validate on.
        training: Sampling of training patches.
        validation: Sampling of validation patches.
        are_unaugmented: Whether batches are returned without augmentation, which then runs on
            the device.
    """

    training_cases: tuple[StoredCase, ...]
    validation_cases: tuple[StoredCase, ...]
    training: Sampling
    validation: Sampling
    are_unaugmented: bool = False

    @property
    def held_out_cases(self) -> tuple[StoredCase, ...]:
        """Validation cases that are not training cases too, as with a single case or group."""
        trained = {case.record.name for case in self.training_cases}
        return tuple(case for case in self.validation_cases if case.record.name not in trained)

    @override
    def __getitem__(self, index: BatchIndex) -> Batch | UnaugmentedBatch | AutosegError | OSError:
        """Return the batch, or the error that prevented it.

        The error is returned, not raised, because torch would wrap its message in a traceback.
        """
        try:
            return self.get_batch(index)
        except (AutosegError, OSError) as issue:
            return issue

    def get_batch(self, index: BatchIndex) -> Batch | UnaugmentedBatch:
        """Return a batch for training, augmented unless `are_unaugmented`.

        Raises:
            CaseError: If a prepared case cannot be read.
        """
        return self._unaugmented(index) if self.are_unaugmented else self.draw(index)

    def draw(self, index: BatchIndex) -> Batch:
        """Return an augmented batch.

        Raises:
            CaseError: If a prepared case cannot be read.
        """
        return augment_on_cpu(self._unaugmented(index))

    def _unaugmented(self, index: BatchIndex) -> UnaugmentedBatch:
        return draw_unaugmented(*self._streams[index.stream], *index)

    @cached_property
    def _streams(self) -> dict[str, tuple[CaseReader, Sampling]]:
        return {
            "train": (reader_of(self.training_cases, self.training), self.training),
            "validation": (reader_of(self.validation_cases, self.validation), self.validation),
        }


class BatchSampler(Sampler[BatchIndex]):
    """Endless order of batches: the training steps of an epoch, then its validation batches.

    Validation uses the same batches after every epoch, so that its curve shows the progress of the
    network and no sampling noise.

    Args:
        first_step: Number of completed training steps.
        epoch_steps: Training steps per epoch.
        validation_batches: Validation batches after each epoch; 0 for none.
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
    """Return the number of prefetched batches per worker; 0 without workers."""
    return max(1, min(MOST_PREFETCHED, PREFETCHED_BY_ALL // workers)) if workers else 0


def load_batches(
    dataset: BatchDataset, order: BatchSampler, *, workers: int
) -> Generator[Batch | UnaugmentedBatch, None, None]:
    """Yield batches in order, endlessly.

    Args:
        dataset: Dataset of batches.
        order: Order of batches.
        workers: Number of worker processes; 0 draws in this process.

    Raises:
        CaseError: If a prepared case cannot be read.
    """
    if workers:  # if /dev/shm is full, this fails, where torch would also print a traceback
        get_context().Semaphore()
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=order,
        num_workers=workers,
        collate_fn=_keep,
        prefetch_factor=prefetched_batches(workers) or None,
        worker_init_fn=_start_worker,
        generator=torch.Generator().manual_seed(0),  # leaves the global generator to the network
    )
    try:
        for batch in loader:
            if isinstance(batch, AutosegError | OSError):
                raise batch  # noqa: TRY301  (its frames are no longer needed)
            yield batch
    except BaseException as error:
        clear_frames(error.__traceback__)  # they keep the workers, for which the exit would wait
        raise


@contextmanager
def translate_worker_errors() -> Iterator[None]:
    """Translate torch's error about a dead worker into a `TrainingError`.

    torch raises the error in a signal handler, at any point of this process. All code that runs
    while workers are alive should be in this block.

    Raises:
        TrainingError: If a worker process was killed by a signal.
    """
    kills = OutOfMemoryKills.until_now()
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise TrainingError(_worker_death(str(error), kills)) from error


def _worker_death(message: str, kills: OutOfMemoryKills) -> str:
    """Build the message about a dead worker from torch's message."""
    number = next(
        # torch quotes the C library's name of the signal, like strsignal
        (n for n in signal.valid_signals() if f"by signal: {signal.strsignal(n)}." in message),
        None,
    )
    ended = "ended unexpectedly" if number is None else f"was {describe_end(number, kills)}"
    if number is not None and signal_name(number) in CRASHES:
        advice = "If it happens again, train without worker processes (--workers 0)"
    else:
        advice = "To use less memory, use fewer workers (--workers 1, or 0 for none)"
    return (
        f"a worker process that prepares training batches {ended}. {advice}; the same command "
        "resumes from the last checkpoint."
    )


def _keep(batch: Any) -> Any:  # noqa: ANN401  (torch types a collate function for lists)
    return batch


def _start_worker(worker: int) -> None:  # noqa: ARG001  (torch passes the worker's number)
    """Ignore SIGINT, SIGTERM and SIGHUP, and end with the main process.

    Terminals and batch systems often send these signals to all processes at once. The main process
    needs its workers to finish the step and save; it stops them afterwards.
    """
    for number in (signal.SIGINT, *TERMINATING):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()  # outside Linux, torch notices the parent's death after some seconds
