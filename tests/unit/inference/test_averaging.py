"""Averaging in bands equals averaging whole arrays; the class with the highest mean wins."""

import numpy as np
import pytest
from resampled import resized

from autoseg.core.case import InverseTransform
from autoseg.core.errors import CaseError
from autoseg.inference import averaging
from autoseg.inference.averaging import ensemble_class_map, mean_probabilities
from autoseg.inference.blending import LogitsSlab
from autoseg.inference.export import ROUNDING_MARGIN
from autoseg.inference.probabilities import FULL, ProbabilityGrid, compress_probabilities

WHOLE = {"axis_order": (2, 0, 1), "full_shape": (30, 24, 21), "crop": ((2, 19), (3, 28), (0, 24))}
PICTURE = {"axis_order": (1, 0), "full_shape": (30, 24), "crop": ((2, 19), (3, 28))}


def member(image, prepared_shape, *, orders, seed, num_outputs=4, is_regional=False):
    """Return random probabilities of an image on some prepared grid."""
    axes = len(prepared_shape)
    way = InverseTransform(
        **image,
        spacing=(1.0,) * axes,
        prepared_shape=prepared_shape,
        prepared_spacing=(1.0,) * axes,
    )
    grid = ProbabilityGrid(
        restoration=way, orders=orders, num_outputs=num_outputs, is_regional=is_regional
    )
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, grid.shape).astype(np.float32)
    return compress_probabilities([LogitsSlab(start=0, logits=logits)], grid)


def whole_array_sum(members):
    """Interpolate and sum whole arrays."""
    total = 0
    for one in members:
        way, space = one.grid.restoration, one.grid.shape[1:]
        values = one.planes(0, space[0]).astype(np.float32)
        lead = (1,) * (3 - len(way.cropped_shape))
        for axis in (2, 1, 0):
            target = (*lead, *way.cropped_shape)[axis]
            order = (*lead, *one.grid.orders)[axis]
            values = resized(values, target, axis + 1, order=order)
        total = total + values
    return total


def put_back(indices, image):
    planned = np.zeros([image["full_shape"][axis] for axis in image["axis_order"]], dtype=np.uint8)
    box = tuple(slice(*bounds) for bounds in image["crop"])
    planned[box] = indices.reshape(planned[box].shape)
    return planned.transpose(np.argsort(image["axis_order"]))


CASES = {
    "volumes on two grids": (WHOLE, [((9, 30, 13), (1, 1, 1)), ((17, 25, 24), (0, 1, 1))]),
    "three members": (
        WHOLE,
        [((9, 9, 9), (1, 1, 1)), ((5, 40, 8), (0, 1, 1)), ((17, 3, 3), (1,) * 3)],
    ),
    "pictures": (PICTURE, [((30, 13), (1, 1)), ((17, 25), (1, 1))]),
    "one member": (WHOLE, [((9, 30, 13), (1, 1, 1))]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("is_regional", [False, True], ids=["classes", "regions"])
@pytest.mark.parametrize("workers", [1, 2])
def test_bands_equal_the_whole_array_bit_for_bit(monkeypatch, case, is_regional, workers):
    monkeypatch.setattr(averaging, "BLOCK_PLANES", 5)
    monkeypatch.setattr(averaging, "BLOCK_VOXELS", 700)
    image, grids = case
    members = [
        member(image, shape, orders=orders, seed=seed, is_regional=is_regional)
        for seed, (shape, orders) in enumerate(grids)
    ]
    total = whole_array_sum(members)
    expected = np.argmax(total, axis=0)
    if is_regional:
        expected = np.zeros(total.shape[1:], dtype=int)
        for index, values in enumerate(total):
            expected[values > (1 + ROUNDING_MARGIN) * 0.5 * FULL * len(members)] = index + 1
    found = ensemble_class_map(members, workers=workers)
    assert found.dtype == np.uint8
    assert found.shape == image["full_shape"]
    np.testing.assert_array_equal(found, put_back(expected, image))


def certain(image, shape, winners, *, is_regional=False):
    """Return a member with a probability of 1 for some outputs everywhere."""
    axes = len(shape)
    way = InverseTransform(
        **image, spacing=(1.0,) * axes, prepared_shape=shape, prepared_spacing=(1.0,) * axes
    )
    grid = ProbabilityGrid(
        restoration=way, orders=(1,) * axes, num_outputs=3, is_regional=is_regional
    )
    logits = np.array([30 if k in winners else -30 for k in range(3)], dtype=np.float32)
    slab = np.broadcast_to(logits[:, None, None, None], grid.shape)
    return compress_probabilities([LogitsSlab(start=0, logits=np.ascontiguousarray(slab))], grid)


def test_the_majority_wins_and_the_last_region_covers_the_others():
    pair = [certain(PICTURE, (5, 6), (1,)), certain(PICTURE, (9, 9), (1,))]
    box = put_back(np.ones((17, 25)), PICTURE)
    np.testing.assert_array_equal(ensemble_class_map(pair, workers=1), box)
    outvoted = [*pair, certain(PICTURE, (4, 4), (2,))]
    np.testing.assert_array_equal(ensemble_class_map(outvoted, workers=1), box)
    regions = [certain(PICTURE, (5, 6), (0, 1), is_regional=True)] * 2
    np.testing.assert_array_equal(ensemble_class_map(regions, workers=1), 2 * box)


def test_a_region_with_half_the_votes_is_not_there():
    split = [
        certain(PICTURE, (5, 6), (1,), is_regional=True),
        certain(PICTURE, (5, 6), (), is_regional=True),
    ]
    assert not ensemble_class_map(split, workers=1).any()


def test_members_of_other_images_or_labels_are_refused():
    one = certain(PICTURE, (5, 6), (1,))
    other = certain(PICTURE | {"crop": ((2, 19), (3, 27))}, (5, 6), (1,))
    with pytest.raises(CaseError, match="expected the same image"):
        ensemble_class_map([one, other], workers=1)
    with pytest.raises(CaseError, match=r"3 regions .* 3 classes"):
        ensemble_class_map([one, certain(PICTURE, (5, 6), (1,), is_regional=True)], workers=1)


@pytest.mark.parametrize("case", [CASES["volumes on two grids"], CASES["three members"]])
def test_mean_probabilities_are_those_of_the_whole_array(monkeypatch, case) -> None:
    monkeypatch.setattr(averaging, "BLOCK_PLANES", 5)
    monkeypatch.setattr(averaging, "BLOCK_VOXELS", 700)
    image, grids = case
    members = [
        member(image, shape, orders=orders, seed=seed) for seed, (shape, orders) in enumerate(grids)
    ]
    expected = whole_array_sum(members) / (FULL * len(members))
    found = np.full_like(expected, np.nan)
    for piece in mean_probabilities(members, range(4)):
        found[piece.output, slice(*piece.planes), slice(*piece.rows)] = piece.probabilities
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
