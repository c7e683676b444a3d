"""Losses that look at distances, against their formulas on brute-force or hand-made maps."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from voxel_cases import voxel_case

from autoseg.losses import LOSSES, build
from autoseg.losses.distance_loss import DistanceLoss
from autoseg.losses.distances import LabelMasks

CASE = voxel_case(6, 7)
SPACING = (2.0, 0.5)
KINDS = [kind for kind in LOSSES if issubclass(LOSSES[kind], DistanceLoss)]


def signed(truth: np.ndarray) -> np.ndarray:
    """Return signed distances by SciPy, of masks with both sides."""
    maps = [
        ndimage.distance_transform_edt(~mask, sampling=SPACING)
        - ndimage.distance_transform_edt(mask, sampling=SPACING)
        for mask in truth.reshape(-1, *truth.shape[2:]).astype(bool)
    ]
    return np.stack(maps).reshape(truth.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_that_are_passed_are_those_that_it_would_measure(kind: str) -> None:
    loss = LOSSES[kind]()
    masks = [
        LabelMasks(np.stack([labels == 1, labels == 2]), valid, SPACING, are_regions=False)
        for labels, valid in zip(CASE.labels.numpy(), CASE.valid.numpy(), strict=True)
    ]
    maps = torch.from_numpy(np.stack([loss.reference_maps(mask) for mask in masks]))
    given = (CASE.logits, CASE.labels, CASE.valid)
    measured = loss(*given, spacing=SPACING)
    assert torch.equal(loss(*given, spacing=SPACING, maps=maps), measured)
    if kind not in ("dice_boundary", "hausdorff_dt", "dice_hausdorff"):  # these measure more, or 0
        assert loss(*given, spacing=SPACING, maps=0 * maps) != measured


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dice_boundary"])
def test_the_spacing_matters(kind: str) -> None:
    loss = build(kind)
    assert loss(CASE.logits, CASE.labels, spacing=SPACING) != loss(CASE.logits, CASE.labels)


def test_boundary_is_the_mean_of_signed_distance_times_probability() -> None:
    expected = signed(CASE.one_hot[:, 1:]) * CASE.softmax[:, 1:]
    found = build("boundary")(CASE.logits, CASE.labels, spacing=SPACING)
    assert float(found) == pytest.approx(expected.mean(), rel=1e-5)


def test_hausdorff_weighs_errors_by_the_distances_to_both_boundaries() -> None:
    p, y = CASE.sigmoid, CASE.regions.numpy()
    field = signed(y) ** 2 + signed(p > 0.5) ** 2
    found = build("hausdorff_dt")(CASE.logits[:, :2], CASE.regions, spacing=SPACING)
    assert float(found) == pytest.approx(((p - y) ** 2 * field).mean(), rel=1e-5)
    one_sided = build("hausdorff_dt", of_prediction=False, exponent=1.0)
    found = one_sided(CASE.logits[:, :2], CASE.regions, spacing=SPACING)
    assert float(found) == pytest.approx(((p - y) ** 2 * np.abs(signed(y))).mean(), rel=1e-5)


def test_shape_aware_weighs_wrong_voxels_by_their_distance_to_the_contour() -> None:
    # the third of four voxels is wrong, 2 mm from the nearest voxel of class 1
    labels = torch.tensor([[[1, 0, 0, 0]]])
    logits = torch.tensor([[[[-1.0, 1.0, -1.0, 1.0]], [[1.0, -1.0, 1.0, -1.0]]]])
    right, wrong = np.log1p(np.exp(-2)), np.log1p(np.exp(2))
    found = build("shape_aware")(logits, labels)
    assert float(found) == pytest.approx((3 * right + (1 + 2) * wrong) / 4)


def test_distance_penalties_fall_from_the_contour_to_the_farthest_voxel_of_each_side() -> None:
    labels = torch.tensor([[[1, 0, 0, 0, 0]]])
    costs = np.log1p(np.exp(np.array([0.0, 1.0, 2.0, 3.0, 4.0])))  # all wrong by so much
    logits = torch.zeros(1, 2, 1, 5)
    logits[0, 1, 0] = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    # inside, the only voxel is the farthest; outside, distances 1 to 4
    penalties = np.array([0.0, 0.75, 0.5, 0.25, 0.0])
    found = build("distance_penalized_ce")(logits, labels)
    assert float(found) == pytest.approx(((1 + penalties) * costs).mean())


def test_border_weights_are_those_of_the_two_nearest_objects() -> None:
    # objects at 0 and 4, and one that is 60 voxels away
    labels = torch.zeros(1, 1, 65, dtype=torch.int64)
    labels[0, 0, [0, 4, 64]] = 1
    first = np.abs(np.arange(65)[:, None] - [0, 4, 64])
    d1, d2, _ = np.sort(first, axis=1).T
    weights = 1 + 10 * np.exp(-((d1 + d2) ** 2) / 50)
    logits = torch.randn(1, 2, 1, 65, generator=torch.Generator().manual_seed(0))
    costs = torch.nn.functional.cross_entropy(logits, labels, reduction="none").numpy().ravel()
    found = build("border_weighted_ce")(logits, labels)
    assert float(found) == pytest.approx((weights * costs).sum() / weights.sum(), rel=1e-5)
    assert weights[2] == pytest.approx(1 + 10 * np.exp(-16 / 50))


def test_one_object_has_no_gap_to_weigh() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[0, 2:5, 2:5] = 1
    logits = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    found = build("border_weighted_ce")(logits, labels)
    assert float(found) == pytest.approx(float(build("cross_entropy")(logits, labels)))


def test_erosion_leaves_thick_errors_and_eats_thin_ones() -> None:
    labels = torch.zeros(1, 7, 7, dtype=torch.int64)
    thick = torch.zeros(1, 1, 7, 7)
    thick[..., 2:5, 2:5] = 1
    thin = torch.zeros(1, 1, 7, 7)
    thin[..., 3, :] = 1  # three in a row of five voxels: 2·3/5 - 1
    loss = build("hausdorff_er", uneroded_weight=0.0, erosions=1)

    def cost(errors: torch.Tensor) -> float:
        return float(loss(torch.cat([-60 * errors, 60 * errors - 30], dim=1), labels)) * 49

    # a 3 × 3 square keeps its centre, 3/5 of its edges' (2·4/5 - 1), 1/5 of its corners'
    assert cost(thick) == pytest.approx(1 + 4 * 0.6 + 4 * 0.2, rel=1e-4)
    assert cost(thin) == pytest.approx(5 * 0.2, rel=1e-4)  # at the ends two in a row leave nothing


def test_later_erosions_weigh_more() -> None:
    labels = torch.ones(1, 5, 5, dtype=torch.int64)
    errors = build("hausdorff_er", uneroded_weight=1.0, erosions=2, exponent=3.0)
    logits = torch.zeros(1, 2, 5, 5)
    logits[:, 0] = 60.0
    # all wrong: 25, then 9·1 + 12·0.6 + 4·0.2, then twice eroded by hand in NumPy
    once = np.full((5, 5), 1.0)
    rounds = []
    for _ in range(2):
        padded = np.pad(once, 1)
        total = once + padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
        once = np.maximum(2 * total / 5 - 1, 0)
        rounds.append(once.sum())
    assert rounds[0] == pytest.approx(9 + 12 * 0.6 + 4 * 0.2)
    expected = (25 + rounds[0] + 2**3 * rounds[1]) / 25
    assert float(errors(logits, labels)) == pytest.approx(expected, rel=1e-5)
