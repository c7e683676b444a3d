import pytest
import torch
from stand_ins import tiny_configuration

from autoseg.core.errors import TrainingError
from autoseg.losses import LOSSES
from autoseg.stages import training_job as stage
from autoseg.stages.training_job import training_device


def configuration_with(loss: str):
    return tiny_configuration((8, 8)).model_copy(update={"loss": LOSSES[loss]()})


def test_a_loss_in_float64_is_refused_where_there_is_none(monkeypatch) -> None:
    monkeypatch.setattr(stage, "choose_device", torch.device)
    with pytest.raises(TrainingError, match=r"float64, which mps lacks.*--loss dice_ce"):
        training_device("mps", configuration_with("region_mutual_information"))


@pytest.mark.parametrize(
    ("device", "loss"), [("mps", "dice_ce"), ("cpu", "region_mutual_information")]
)
def test_other_pairs_of_device_and_loss_train(device: str, loss: str, monkeypatch) -> None:
    monkeypatch.setattr(stage, "choose_device", torch.device)
    assert training_device(device, configuration_with(loss)) == torch.device(device)
