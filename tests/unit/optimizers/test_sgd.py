import torch

from autoseg.optimizers.sgd import StochasticGradientDescent


def test_it_has_its_settings_and_nesterov_momentum() -> None:
    config = StochasticGradientDescent(learning_rate=0.1, momentum=0.7, weight_decay=0.2)
    (group,) = config.build(tuple(torch.nn.Conv2d(1, 2, 1).parameters())).param_groups
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.7, 0.2, True)
