from unittest import mock

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.morphology import ball, disk

from autoseg.augmentations import cascade_morphology
from autoseg.augmentations.base import PatchContext, Patches, random_generators
from autoseg.augmentations.cascade_morphology import CascadeMorphology

CONTEXT = PatchContext(patch_shape=(20, 24, 24), in_plane_only=False)


def two_cubes() -> torch.Tensor:
    """Return the channels of two classes that touch each other."""
    channels = torch.zeros(2, 20, 24, 24)
    channels[0, 6:14, 6:14, 4:12] = 1
    channels[1, 6:14, 6:14, 12:20] = 1
    return channels


def changed(seed: int, before: torch.Tensor | None = None, **settings: object) -> torch.Tensor:
    channels = (two_cubes() if before is None else before)[None]
    patches = Patches(channels, torch.zeros(1, 0, *CONTEXT.patch_shape, dtype=torch.int16))
    draws = random_generators(seed, torch.device("cpu"))
    return CascadeMorphology(**settings).apply(patches, draws, CONTEXT).images[0]


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
    with mock.patch.object(
        cascade_morphology, "apply_morphology", wraps=cascade_morphology.apply_morphology
    ) as counted:
        found = changed(1, channels, class_probability=1.0)
    assert counted.call_count == 1
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


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("axes", [2, 3])
def test_operations_are_those_of_a_ball(axes: int, radius: int):
    mask = np.zeros((24,) * axes, bool)
    mask[(slice(8, 16),) * axes] = True
    mask[(10,) * axes] = False
    around = {2: disk, 3: ball}[axes](radius)
    expected = {
        "dilation": ndimage.binary_dilation(mask, around),
        "erosion": ndimage.binary_erosion(mask, around, border_value=1),
        "opening": ndimage.binary_opening(mask, around),
        "closing": ndimage.binary_closing(mask, around),
    }
    for operation, result in expected.items():
        np.testing.assert_array_equal(
            cascade_morphology.apply_morphology(mask, operation, float(radius)), result
        )


def test_nothing_shrinks_from_the_border():
    whole = np.ones((6, 6), bool)
    for operation in cascade_morphology.OPERATIONS:
        assert cascade_morphology.apply_morphology(whole, operation, 2.0).all()
