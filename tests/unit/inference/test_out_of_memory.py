"""When the device runs out of memory, prediction continues with less memory and warns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import Edges, Pointwise, ensemble_of, prepared, stitched

from autoseg.core.errors import CaseError
from autoseg.core.progress import Silent
from autoseg.inference import tile_sums
from autoseg.inference.blending import LogitsAccumulator
from autoseg.inference.sliding_window import predict_slabs
from autoseg.inference.tile_sums import TileSums, buffer_device
from autoseg.inference.tta_consistency import TtaConsistency


class Said(Silent):
    def __init__(self):
        self.messages = []

    def say(self, message):
        self.messages.append(message)


def expected_of(image, **settings):
    """Return the result of a prediction with enough memory."""
    return stitched(
        predict_slabs(ensemble_of(Pointwise(), (8, 8, 8), **settings), image, tiles_per_batch=4)
    )


class Crowded(Pointwise):
    """Runs out of memory with more than `most` tiles, as CUDA does."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, image):
        if len(image) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(image)


def test_out_of_memory_halves_the_batch_and_says_so():
    said = Said()
    image = prepared((16, 16, 16))
    ensemble = ensemble_of(Crowded(2), (8, 8, 8))
    found = stitched(predict_slabs(ensemble, image, tiles_per_batch=8, progress=said))
    assert [message[-2:] for message in said.messages] == ["4.", "2."]
    np.testing.assert_allclose(found[0], image.voxels[0], atol=1e-6)


def test_too_little_memory_for_one_tile_is_an_error_with_a_way_out():
    ensemble = ensemble_of(Crowded(0), (8, 8, 8))
    expected = r"single patch of 8 × 8 × 8 voxels \(CUDA out of memory\).*--device cpu"
    with pytest.raises(CaseError, match=expected) as raised:
        list(predict_slabs(ensemble, prepared((8, 8, 8)), tiles_per_batch=2))
    cause = raised.value.__cause__
    assert isinstance(cause, torch.OutOfMemoryError)
    assert cause.__traceback__ is None  # or its frames would hold what fills the memory


class Tight(Pointwise):
    """Has memory for one tile only after the sums have been offloaded."""

    def __init__(self, held):
        super().__init__()
        self.held = held

    def forward(self, image):
        if self.held["on device"]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(image)


@pytest.fixture(params=[False, True], ids=["one strip", "strips"])
def held(request, monkeypatch):
    """Let the accumulator report that it is on an accelerator until it is offloaded."""
    if request.param:
        monkeypatch.setattr(tile_sums, "STRIP_BYTES", 0)
    state = {"on device": True}
    monkeypatch.setattr(LogitsAccumulator, "is_on_device", property(lambda _: state["on device"]))
    leave = TileSums.move_to_host

    def moved(sums):
        leave(sums)
        state["on device"] = False

    monkeypatch.setattr(TileSums, "move_to_host", moved)
    return state


@pytest.mark.parametrize("way", ["exact", "nnunet"])
def test_when_one_tile_is_too_much_the_held_sums_leave_the_device(held, way):
    said = Said()
    image = prepared((16, 16, 16))
    ensemble = ensemble_of(Tight(held), (8, 8, 8), blending=way)
    found = stitched(predict_slabs(ensemble, image, tiles_per_batch=4, progress=said))
    ends = ["continuing with 2", "continuing with 1", "which is slower"]
    for message, end in zip(said.messages, ends, strict=True):
        assert message.endswith(f"{end}.")
    assert all(message.startswith("warning: cpu ran out of memory") for message in said.messages)
    np.testing.assert_array_equal(found, expected_of(image, blending=way))


def leaves_once_and_loses_nothing():
    """Check that there is one warning, and the same result as with enough memory."""
    said, image = Said(), prepared((16, 16, 16))
    ensemble = ensemble_of(Pointwise(), (8, 8, 8))
    found = stitched(predict_slabs(ensemble, image, tiles_per_batch=4, progress=said))
    assert len(said.messages) == 1
    np.testing.assert_array_equal(found, expected_of(image))


def test_sums_that_run_out_of_memory_leave_the_device_and_lose_nothing(held, monkeypatch):
    adding, calls = TileSums.add, []

    def tight(sums, tile, outputs):
        calls.append(tile)
        if held["on device"] and len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        adding(sums, tile, outputs)

    monkeypatch.setattr(TileSums, "add", tight)
    leaves_once_and_loses_nothing()


def test_finished_planes_that_run_out_of_memory_leave_the_device(held, monkeypatch):
    means = TileSums.means

    def tight(sums, strip, first, stop):
        if held["on device"]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return means(sums, strip, first, stop)

    monkeypatch.setattr(TileSums, "means", tight)
    leaves_once_and_loses_nothing()


@pytest.mark.parametrize("method", ["at_full_height", "drop_planes"])
def test_strips_for_which_there_is_no_room_leave_the_device_and_lose_nothing(
    held, monkeypatch, method
):
    original, calls = getattr(TileSums, method), []

    def tight(sums, *arguments):
        calls.append(arguments)
        if held["on device"] and len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(sums, *arguments)

    monkeypatch.setattr(TileSums, method, tight)
    leaves_once_and_loses_nothing()


def main_memory_runs_out(monkeypatch):
    """Predict with full main memory and return the messages."""

    def full(sums, tile, outputs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(TileSums, "add", full)
    said, ensemble = Said(), ensemble_of(Pointwise(), (8, 8, 8))
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        list(predict_slabs(ensemble, prepared((8, 8, 8)), tiles_per_batch=1, progress=said))
    return said.messages


def test_main_memory_that_runs_out_is_not_taken_for_that_of_a_device(monkeypatch):
    assert main_memory_runs_out(monkeypatch) == []


def test_nor_is_it_while_the_sums_are_on_a_device(held, monkeypatch):
    assert main_memory_runs_out(monkeypatch) == []
    assert held["on device"]


def test_a_discarded_batch_does_not_count_in_the_tta_consistency():
    """One network has predicted a batch when the other one runs out of memory."""

    def dice(*networks):
        agreement = TtaConsistency(3, is_regional=False)
        ensemble = replace(
            ensemble_of(networks[0], (8, 8, 8), mirror_axes=(0,), tta_consistency=agreement),
            networks=networks,
        )
        list(predict_slabs(ensemble, prepared((16, 16, 16)), tiles_per_batch=8))
        return agreement.dice()

    expected = dice(Edges(3), Pointwise())
    assert all(0 < each < 1 for each in expected)
    assert dice(Edges(3), Crowded(2)) == expected


def test_memory_that_torch_only_keeps_counts_as_free(monkeypatch):
    """After the first image, torch may cache all memory of a GPU."""
    cuda, gib = torch.device("cuda"), 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (gib, 8 * gib))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 6 * gib)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 2 * gib)
    assert buffer_device(cuda, int(1.9 * gib)) == cuda
    assert buffer_device(cuda, int(2.1 * gib)) == torch.device("cpu")


def test_other_errors_than_out_of_memory_are_raised_at_once(held, monkeypatch) -> None:
    def faulty(sums, tile, outputs):
        raise RuntimeError("sizes of tensors must match")

    monkeypatch.setattr(TileSums, "add", faulty)
    said = Said()
    with pytest.raises(RuntimeError, match="must match"):
        list(
            predict_slabs(
                ensemble_of(Pointwise(), (8, 8, 8)),
                prepared((8, 8, 8)),
                tiles_per_batch=1,
                progress=said,
            )
        )
    assert not said.messages
