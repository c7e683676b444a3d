import numpy as np
import torch

from autoseg.augmentations.base import PatchContext
from autoseg.augmentations.prior_morphology import PriorMorphology
from autoseg.training.sampling import seeded_generators

CONTEXT = PatchContext(patch_shape=(20, 24, 24), in_plane_only=False)


def two_cubes() -> torch.Tensor:
    """Return the channels of two classes that touch each other."""
    channels = torch.zeros(2, 20, 24, 24)
    channels[0, 6:14, 6:14, 4:12] = 1
    channels[1, 6:14, 6:14, 12:20] = 1
    return channels


def changed(seed: int, **settings: object) -> torch.Tensor:
    with seeded_generators(seed):
        return PriorMorphology(**settings).build(CONTEXT)(image=two_cubes())["image"]


def test_channels_stay_binary_and_never_overlap():
    sizes = set()
    for seed in range(8):
        channels = changed(seed)
        assert set(np.unique(channels)) <= {0, 1}
        assert channels.sum(dim=0).max() <= 1
        sizes.add(tuple(channels.sum(dim=(1, 2, 3)).tolist()))
    assert len(sizes) > 2


def test_many_absent_classes_cost_nothing():
    channels = torch.zeros(200, 20, 24, 24)
    channels[7] = two_cubes()[0]
    with seeded_generators(1):
        transform = PriorMorphology(class_probability=1.0).build(CONTEXT)
        assert transform.get_parameters(image=channels)["apply_to_channels"] == [7]
        found = transform(image=channels)["image"]
    assert not found[:7].any()
    assert not found[8:].any()


def test_no_class_is_changed_at_probability_zero():
    assert torch.equal(changed(0, class_probability=0.0), two_cubes())


def test_a_small_ball_changes_little():
    before = two_cubes()
    for seed in range(4):
        channels = changed(seed, class_probability=1.0, radius=(1.0, 1.0))
        assert not torch.any(channels[:, :3].bool() | channels[:, 17:].bool())
        assert torch.equal(channels[0, 8:12, 8:12, 6:10], before[0, 8:12, 8:12, 6:10])
