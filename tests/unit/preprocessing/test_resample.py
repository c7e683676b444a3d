import numpy as np
import pytest
from resampled import resampled_image
from scipy import ndimage
from skimage.transform import resize

from autoseg.preprocessing.resample import (
    resample_labels,
    resampled_shape,
    separate_axis,
    target_spacing,
)

SHAPES = [
    ((9, 12, 10), (13, 7, 10)),
    ((6, 7, 8), (6, 7, 8)),
    ((1, 6, 5), (1, 11, 3)),
    ((1, 4, 4), (3, 9, 8)),
    ((5, 6, 7), (1, 3, 4)),
    ((3, 130, 4), (3, 97, 6)),
    ((31, 22), (17, 40)),
    ((70, 9, 8), (97, 12, 6)),  # several slabs
    ((70, 9, 8), (70, 12, 6)),
    ((40, 9, 30), (75, 6, 20)),  # the first axis grows while the others shrink
    ((40, 30), (75, 20)),
]


def whole(voxels: np.ndarray, shape: tuple[int, ...], order: int = 3) -> np.ndarray:
    return resampled_image(voxels, shape, order=order, separate_axis=None, separate_axis_order=0)


def image_of(shape: tuple[int, ...], channels: int = 2) -> np.ndarray:
    voxels = np.random.default_rng(1).normal(size=(channels, *shape)).astype(np.float32)
    voxels *= np.linspace(1, 300, channels).reshape(-1, *[1] * len(shape)).astype(np.float32)
    return voxels


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize(("old", "new"), SHAPES)
def test_the_numbers_are_those_of_skimage(old, new, order) -> None:
    voxels = image_of(old)
    result = whole(voxels, new, order)
    assert result.dtype == np.float32
    for channel, resampled in zip(voxels, result, strict=True):
        expected = resize(
            channel, new, order=order, mode="edge", anti_aliasing=False, preserve_range=True
        )
        np.testing.assert_allclose(resampled, expected, rtol=0, atol=1e-5 * np.ptp(channel))


def test_cubic_overshoot_is_clipped_to_the_range_of_its_channel() -> None:
    step = np.zeros((2, 4, 8), dtype=np.float32)
    step[0, :, 4:] = 1
    step[1, :, 4:] = 1000
    result = whole(step, (4, 31))
    assert result[0].min() == 0
    assert result[0].max() == 1
    assert result[1].max() == 1000


@pytest.mark.parametrize(("axis", "new"), [(0, (7, 15, 9)), (0, (3, 12, 20)), (2, (13, 8, 5))])
def test_a_separate_axis_takes_planes_one_by_one_and_then_the_nearest(axis, new) -> None:
    voxels = image_of((5, 10, 11), channels=1)
    result = resampled_image(voxels, new, order=3, separate_axis=axis, separate_axis_order=0)
    in_plane = tuple(size for other, size in enumerate(new) if other != axis)
    planes = np.stack(
        [
            resize(plane, in_plane, order=3, mode="edge", anti_aliasing=False, preserve_range=True)
            for plane in np.moveaxis(voxels[0], axis, 0)
        ]
    )
    along = (np.arange(new[axis]) + 0.5) * (len(planes) / new[axis]) - 0.5
    coordinates = np.meshgrid(along, *map(np.arange, in_plane), indexing="ij")
    expected = ndimage.map_coordinates(planes, coordinates, order=0, mode="nearest")
    np.testing.assert_allclose(np.moveaxis(result[0], axis, 0), expected, atol=1e-4)


def test_a_separate_axis_can_be_linear() -> None:
    voxels = image_of((4, 6, 6), channels=1)
    result = resampled_image(voxels, (8, 6, 6), order=3, separate_axis=0, separate_axis_order=1)
    np.testing.assert_allclose(result, whole(voxels, (8, 6, 6), order=1), atol=1e-4)


def test_the_same_shape_keeps_every_intensity() -> None:
    voxels = image_of((4, 5, 6))
    assert np.array_equal(whole(voxels, (4, 5, 6)), voxels)


def test_shapes_round_half_to_even_and_keep_at_least_one_voxel() -> None:
    assert resampled_shape((10, 5, 7), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)) == (5, 2, 4)
    assert resampled_shape((1, 100), (1.0, 0.5), (9.0, 1.0)) == (1, 50)


@pytest.mark.parametrize(
    ("spacing", "target", "axis"),
    [
        ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), None),
        ((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0),
        ((1.0, 1.0, 1.0), (1.0, 4.0, 1.0), 1),
        ((3.0, 1.0, 1.0), (3.0, 1.0, 1.0), None),  # not beyond the threshold
        ((5.0, 5.0, 1.0), (6.0, 1.0, 1.0), None),  # two coarse axes, and the current one decides
        ((1.0, 9.0), (1.0, 9.0), None),
    ],
)
def test_only_a_single_coarse_axis_is_separate(spacing, target, axis) -> None:
    assert separate_axis(spacing, target, 3.0) == axis


def test_slices_of_a_volume_keep_their_distance_in_two_dimensions(make_plan) -> None:
    flat = make_plan((0.5, 0.5)).configuration("only")
    assert target_spacing(flat, (7.0, 1.0, 2.0)) == (7.0, 0.5, 0.5)
    assert target_spacing(flat, (1.0, 2.0)) == (0.5, 0.5)


def test_labels_along_a_separate_axis_come_from_the_nearest_plane() -> None:
    classes = np.zeros((2, 4, 4), dtype=np.uint8)
    classes[1] = 3
    result = resample_labels(classes, (4, 8, 8), order=1, separate_axis=0, separate_axis_order=0)
    assert [np.unique(plane).tolist() for plane in result] == [[0], [0], [3], [3]]


@pytest.mark.parametrize("separate", [None, 1])
def test_labels_of_order_zero_are_the_nearest_ones(separate) -> None:
    classes = np.random.default_rng(0).integers(0, 9, (5, 6, 7)).astype(np.uint8)
    result = resample_labels(
        classes, (8, 3, 7), order=0, separate_axis=separate, separate_axis_order=0
    )
    expected = resize(classes, (8, 3, 7), order=0, mode="edge", anti_aliasing=False)
    assert np.array_equal(result, expected)
