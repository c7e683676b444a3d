import torch

from autoseg.optimizers.adamw import AdamW


def test_it_has_its_settings() -> None:
    config = AdamW(betas=(0.8, 0.95), weight_decay=0.3)
    (group,) = config.build(tuple(torch.nn.Conv2d(1, 2, 1).parameters())).param_groups
    assert (group["betas"], group["weight_decay"]) == ((0.8, 0.95), 0.3)
