"""Checks of an existing plan before a command continues with it."""

from pathlib import Path

import pytest
from fakes import tiny_configuration, tiny_plan

from autoseg.core.errors import PlanError
from autoseg.core.progress import Silent
from autoseg.datasets.layouts import recognise
from autoseg.documents.dataset import AUTOMATIC, LayoutOptions
from autoseg.documents.workspace import Workspace
from autoseg.stages.plan.plan import PlanRequest
from autoseg.stages.train.continuation import check_layout, check_plan_options


class Notes(Silent):
    """Collects messages."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def say(self, message: str) -> None:
        self.texts.append(message)


def notes_of(folder: Path, **options: object) -> list[str]:
    notes = Notes()
    made = tiny_plan(tiny_configuration((8, 8)), axis_order=(0, 1))
    check_plan_options(Workspace(folder), made, PlanRequest(**options), notes)
    return notes.texts


@pytest.mark.parametrize(
    ("option", "given"),
    [("--memory", {"memory_gib": 8.0}), ("--loss-weighting", {"loss_weighting": "frequency"})],
)
def test_an_option_that_a_plan_does_not_record_leads_to_a_note(option, given, tmp_path) -> None:
    assert notes_of(tmp_path, **given) == [f"note: {option} ignored: using the existing plan"]


def test_options_that_agree_with_a_plan_lead_to_no_note(tmp_path) -> None:
    assert notes_of(tmp_path, loss="dice_ce", loss_weighting="planned") == []


def test_another_loss_than_that_of_a_plan_is_rejected(tmp_path) -> None:
    with pytest.raises(PlanError, match=r"--loss focal.* uses dice_ce"):
        notes_of(tmp_path, loss="focal")


def test_a_dataset_is_not_read_with_other_options_than_its_plan(pictures_dataset: Path) -> None:
    options = LayoutOptions(test=("images/disc_0.png",))
    planned = recognise(pictures_dataset, options).spec
    for same in (AUTOMATIC, options):
        check_layout(pictures_dataset, planned, same)
    with pytest.raises(PlanError, match=r"found --mask values, .* with --test images/disc_0.png"):
        check_layout(pictures_dataset, planned, LayoutOptions(mask="values"))
