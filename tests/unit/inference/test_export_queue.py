"""Slabs are passed from the networks to the export, and errors of both are raised."""

import numpy as np
import pytest

from autoseg.inference.blending import LogitsSlab
from autoseg.inference.export_queue import QUEUED_SLABS, ExportThread


def slabs(count):
    for start in range(count):
        yield LogitsSlab(start=start, logits=np.zeros((1, 1, 1, 1), dtype=np.float32))


def test_the_export_sees_all_slabs_in_order():
    with ExportThread() as exports:
        future = exports.feed(slabs(20), lambda stream: [slab.start for slab in stream])
        assert future.result() == list(range(20))


def test_an_error_of_the_networks_comes_out_of_the_future():
    def failing():
        yield from slabs(1)
        raise ValueError("network")

    with ExportThread() as exports:
        future = exports.feed(failing(), list)
        with pytest.raises(ValueError, match="network"):
            future.result()


def test_an_export_that_fails_stops_the_networks():
    made = []

    def endless():
        for slab in slabs(10_000):
            made.append(slab.start)
            yield slab

    def failing(stream):
        next(stream)
        raise OSError("disk full")

    with ExportThread() as exports:
        future = exports.feed(endless(), failing)
        with pytest.raises(OSError, match="disk full"):
            future.result()
    assert len(made) < 10_000


def test_the_next_image_starts_while_the_last_is_still_exported():
    with ExportThread() as exports:
        first = exports.feed(slabs(3), lambda stream: sum(1 for _ in stream))
        second = exports.feed(slabs(QUEUED_SLABS), lambda stream: sum(1 for _ in stream))
        assert (first.result(), second.result()) == (3, QUEUED_SLABS)


def test_an_interrupt_is_not_kept_for_later():
    def interrupted():
        yield from slabs(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ExportThread() as exports:
        exports.feed(interrupted(), list)
