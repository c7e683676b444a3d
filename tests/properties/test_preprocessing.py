"""What holds for every array: crops are undone exactly, and resampling invents nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from resampled import resampled_image

from autoseg.preprocessing.crop import bounding_box, crop, fill_holes, nonzero_voxels
from autoseg.preprocessing.resample import resample_labels, resampled_shape

SIZES = st.integers(1, 9)
SHAPES = st.one_of(st.tuples(SIZES, SIZES), st.tuples(SIZES, SIZES, SIZES))
INTENSITIES = st.floats(-1000, 3000, width=32)
ORDERS = st.sampled_from([0, 1, 3])


@st.composite
def images(draw: st.DrawFn, channels: int = 1) -> np.ndarray:
    """Return an image of few distinct intensities, many of them zero."""
    shape = (channels, *draw(SHAPES))
    return draw(arrays.arrays(np.float32, shape, elements=INTENSITIES, fill=st.just(0.0)))


@st.composite
def resamplings(draw: st.DrawFn, axes: int) -> dict:
    """Return a new shape, orders and perhaps a separate axis."""
    return {
        "shape": draw(st.tuples(*[st.integers(1, 12)] * axes)),
        "order": draw(ORDERS),
        "separate_axis": draw(st.none() | st.integers(0, axes - 1)),
        "separate_axis_order": draw(st.sampled_from([0, 1])),
    }


@settings(max_examples=60)
@given(images(channels=2))
def test_a_nonzero_crop_put_back_is_the_whole_image(image: np.ndarray) -> None:
    bounds = bounding_box(nonzero_voxels(image))
    whole = np.zeros_like(image)
    crop(whole, bounds)[...] = crop(image, bounds)
    assert np.array_equal(whole, image)


@settings(max_examples=60)
@given(st.data())
def test_no_box_smaller_than_the_bounding_box_holds_all_that_is_nonzero(data) -> None:
    image = data.draw(images())
    bounds = bounding_box(nonzero_voxels(image))
    mask = fill_holes(nonzero_voxels(image))
    assert crop(mask, bounds).sum() == mask.sum()
    if mask.any():
        for axis in range(mask.ndim):
            faces = np.moveaxis(crop(mask, bounds), axis, 0)
            assert faces[0].any()
            assert faces[-1].any()


@settings(max_examples=80)
@given(st.data())
def test_resampled_intensities_stay_in_their_range(data) -> None:
    image = data.draw(images())
    change = data.draw(resamplings(image.ndim - 1))
    shape = change.pop("shape")
    result = resampled_image(image, shape, **change)
    assert result.shape == (1, *shape)
    assert image.min() <= result.min()
    assert result.max() <= image.max()


@settings(max_examples=40)
@given(st.data())
def test_a_constant_image_stays_constant(data) -> None:
    shape, value = data.draw(SHAPES), data.draw(INTENSITIES)
    change = data.draw(resamplings(len(shape)))
    result = resampled_image(np.full((1, *shape), value, np.float32), change.pop("shape"), **change)
    assert np.all(result == np.float32(value))


@settings(max_examples=40)
@given(st.data())
def test_resampling_to_the_same_shape_changes_nothing(data) -> None:
    image = data.draw(images())
    change = data.draw(resamplings(image.ndim - 1))
    shape = image.shape[1:]
    change.pop("shape")
    assert np.array_equal(resampled_image(image, shape, **change), image)
    labels = (image[0] > 0).astype(np.uint8)
    assert np.array_equal(resample_labels(labels, shape, **change), labels)


@settings(max_examples=80)
@given(st.data())
def test_resampled_labels_are_a_subset_of_the_labels(data) -> None:
    shape = data.draw(SHAPES)
    labels = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 5)))
    change = data.draw(resamplings(len(shape)))
    result = resample_labels(labels, change.pop("shape"), **change)
    assert set(np.unique(result)) <= set(np.unique(labels))


@settings(max_examples=60)
@given(st.tuples(SIZES, SIZES), st.tuples(*[st.floats(0.1, 10)] * 2))
def test_resampled_shapes_keep_the_physical_size_to_half_a_voxel(shape, spacing) -> None:
    target = (1.0, 0.7)
    for size, old, new, resampled in zip(
        shape, spacing, target, resampled_shape(shape, spacing, target), strict=True
    ):
        assert resampled >= 1
        assert resampled == 1 or abs(size * old - resampled * new) <= new * 0.5001
