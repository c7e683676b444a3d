from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trackers import described

from autoseg.documents import store
from autoseg.documents.tracking import TrackedRun
from autoseg.tracking.base import Metrics
from autoseg.tracking.isolation import record_path
from autoseg.tracking.tensorboard import TensorBoard
from autoseg.tracking.tracked import Tracking, tracked

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
pytestmark = pytest.mark.filterwarnings("ignore")


def read(folder: Path):
    found = accumulators.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return found


def train(folder: Path, steps: range, *files: Path) -> None:
    with tracked(Tracking((TensorBoard(),)), described(folder), pytest.fail) as run:
        for step in steps:
            run.log(Metrics(step, {"loss/training": 1 / step, "pseudo_dice/liver": 0.5}))
        if files:
            run.finish(Metrics(steps[-1], {"dice/liver": 0.9}), files)


def test_event_files_hold_values_pictures_and_settings(tmp_path: Path) -> None:
    picture, report = tmp_path / "curves.png", tmp_path / "report.json"
    Image.fromarray(np.full((4, 6, 3), 7, np.uint8)).save(picture)
    report.write_text("{}")
    train(tmp_path, range(1, 4), picture, report)
    found = read(tmp_path)
    assert [event.step for event in found.Scalars("loss/training")] == [1, 2, 3]
    assert [event.value for event in found.Scalars("dice/liver")] == [pytest.approx(0.9)]
    (event,) = found.Images("curves")
    assert (event.height, event.width) == (4, 6)
    (text,) = found.Tensors("parameters/text_summary")
    assert b"|loss.kind|dice_ce|" in text.tensor_proto.string_val[0]


def test_steps_of_a_killed_process_are_replaced_by_those_of_the_resumed_one(tmp_path: Path) -> None:
    train(tmp_path, range(1, 6))
    path = record_path(tmp_path, "tensorboard")
    known = store.load(TrackedRun, path)
    store.save(known.model_copy(update={"last_step": 3}), path)  # killed before it was saved
    train(tmp_path, range(1, 8))
    steps = [event.step for event in read(tmp_path).Scalars("loss/training")]
    assert steps == [1, 2, 3, 4, 5, 6, 7]
