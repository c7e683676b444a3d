"""Resample whole arrays along one axis, as a reference for the package's blocks, and images."""

import numpy as np

from autoseg.preprocessing.interpolation import AxisSampling, axis_sampling
from autoseg.preprocessing.resample import resample_into


def resampled(values: np.ndarray, sampling: AxisSampling, axis: int) -> np.ndarray:
    """Resample values along an axis, in single precision."""
    lower = values.take(sampling.lower, axis=axis)
    if sampling.is_nearest or sampling.is_identity:
        return lower
    shape = tuple(-1 if dim == axis else 1 for dim in range(values.ndim))
    upper = values.take(sampling.upper, axis=axis)
    weights = (sampling.lower_weight.reshape(shape), sampling.upper_weight.reshape(shape))
    return lower * weights[0] + upper * weights[1]


def resized(values: np.ndarray, size: int, axis: int, *, order: int) -> np.ndarray:
    """Resize an axis."""
    return resampled(values, axis_sampling(values.shape[axis], size, order=order), axis)


def resampled_image(voxels: np.ndarray, shape: tuple[int, ...], **settings: object) -> np.ndarray:
    """Resample all channels of an image to a shape."""
    result = np.empty((len(voxels), *shape), dtype=np.float32)
    for channel, resized_channel in zip(voxels, result, strict=True):
        resample_into(resized_channel, channel, **settings)
    return result
