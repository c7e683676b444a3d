import torch

from autoseg.augmentations.base import PatchContext, Patches, random_generators
from autoseg.augmentations.cascade_components import CascadeComponents

CONTEXT = PatchContext(patch_shape=(10, 20, 20), in_plane_only=False)


def parts() -> torch.Tensor:
    """Return a class of two small parts that touch at no corner, and one of a large part."""
    channels = torch.zeros(2, 10, 20, 20)
    channels[0, 1:3, 1:3, 1:3] = 1
    channels[0, 6:8, 1:3, 1:3] = 1
    channels[1, :, 8:, 8:] = 1
    return channels


def changed(seed: int, before: torch.Tensor | None = None, **settings: object) -> torch.Tensor:
    channels = (parts() if before is None else before)[None]
    patches = Patches(channels, torch.zeros(1, 0, *CONTEXT.patch_shape, dtype=torch.int16))
    draws = random_generators(seed, torch.device("cpu"))
    return CascadeComponents(**settings).apply(patches, draws, CONTEXT).images[0]


def test_one_small_part_goes_and_large_ones_stay():
    gone = set()
    for seed in range(8):
        channels = changed(seed, class_probability=1.0)
        assert channels[0].sum() == 8
        assert torch.equal(channels[1], parts()[1])
        gone.add(bool(channels[0, 1, 1, 1]))
    assert gone == {True, False}


def test_how_large_a_part_may_be_is_a_setting():
    channels = changed(0, class_probability=1.0, largest_share=1.0)
    assert channels[1].sum() == 0


def test_parts_that_touch_at_a_corner_are_one():
    channels = torch.zeros(1, 10, 20, 20)
    channels[0, 1:3, 1:3, 1:3] = 1
    channels[0, 3:5, 3:5, 3:5] = 1
    found = changed(0, channels, class_probability=1.0)
    assert found.sum() == 0


def test_no_class_is_changed_at_probability_zero():
    assert torch.equal(changed(0, class_probability=0.0), parts())


def test_an_empty_prediction_stays_empty():
    empty = torch.zeros(2, 10, 20, 20)
    found = changed(0, empty, class_probability=1.0)
    assert not found.any()
