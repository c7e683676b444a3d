"""The batched augmentations draw from the same distributions as those of batchgenerators."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from batchgenerators.augmentations.utils import create_random_rotation
from batchgenerators.transforms.color_transforms import (
    BrightnessMultiplicativeTransform,
    ContrastAugmentationTransform,
    GammaTransform,
)
from batchgenerators.transforms.noise_transforms import (
    GaussianBlurTransform,
    GaussianNoiseTransform,
)
from batchgenerators.transforms.resample_transforms import SimulateLowResolutionTransform
from batchgenerators.transforms.spatial_transforms import MirrorTransform, SpatialTransform
from scipy import ndimage
from scipy.stats import ks_2samp

from autoseg.augmentations.base import PatchContext, Patches, random_generators
from autoseg.augmentations.batchgenerators import seeded_global_generators
from autoseg.augmentations.brightness import Brightness
from autoseg.augmentations.contrast import Contrast
from autoseg.augmentations.gamma import Gamma
from autoseg.augmentations.gaussian_blur import GaussianBlur
from autoseg.augmentations.gaussian_noise import GaussianNoise
from autoseg.augmentations.low_resolution import LowResolution
from autoseg.augmentations.mirroring import Mirroring
from autoseg.augmentations.spatial import Spatial, rotation_matrix

DRAWS = 1500
VOLUME = (10, 12, 11)
QUANTILES = np.linspace(0.05, 0.95, 10)


def batched(entry, image: np.ndarray) -> np.ndarray:
    """Augment copies of an image; return the images, [draws, *space]."""
    images = torch.from_numpy(np.repeat(image[None, None], DRAWS, axis=0))
    layers = torch.zeros_like(images, dtype=torch.int16)
    context = PatchContext(image.shape, in_plane_only=False)
    generators = random_generators(1, torch.device("cpu"))
    return entry.apply(Patches(images, layers), generators, context).images[:, 0].numpy()


def reference(transform, image: np.ndarray) -> np.ndarray:
    """Augment copies of an image with batchgenerators; return the images, [draws, *space]."""
    with seeded_global_generators(1):
        return transform(data=np.repeat(image[None, None], DRAWS, axis=0))["data"][:, 0]


def assert_alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Compare means, variances, quantiles and the whole distribution of two samples."""
    ours, theirs = (values.astype(np.float64).round(5) for values in (ours, theirs))
    spread = float(theirs.std())
    assert spread > 0
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.1 * spread)
    assert ours.std() == pytest.approx(spread, rel=0.08)
    np.testing.assert_allclose(
        np.quantile(ours, QUANTILES), np.quantile(theirs, QUANTILES), atol=0.2 * spread
    )
    assert ks_2samp(ours, theirs).pvalue > 0.01


def texture() -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=VOLUME)
    smooth = ndimage.gaussian_filter(noise, 1.0)
    return (smooth / smooth.std()).astype(np.float32)


def point() -> np.ndarray:
    image = np.zeros(VOLUME, np.float32)
    image[5, 6, 5] = 1
    return image


def flattened(statistic: Callable[..., np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda images: statistic(images.reshape(len(images), -1), axis=1)


def third_moment(values: np.ndarray, axis: int) -> np.ndarray:
    return np.mean((values - values.mean(axis, keepdims=True)) ** 3, axis=axis)


INTENSITIES = {
    "gamma": (
        Gamma(),
        GammaTransform((0.7, 1.5), per_channel=True, retain_stats=True),
        texture,
        flattened(third_moment),
    ),
    "gamma of the inverted image": (
        Gamma(inverted=True),
        GammaTransform((0.7, 1.5), invert_image=True, per_channel=True, retain_stats=True),
        texture,
        flattened(third_moment),
    ),
    "contrast": (
        Contrast(),
        ContrastAugmentationTransform((0.75, 1.25), preserve_range=True),
        texture,
        flattened(np.std),
    ),
    "brightness": (
        Brightness(),
        BrightnessMultiplicativeTransform((0.75, 1.25)),
        texture,
        flattened(np.std),
    ),
    "noise": (
        GaussianNoise(),
        GaussianNoiseTransform((0, 0.1)),
        lambda: np.zeros(VOLUME, np.float32),
        flattened(np.std),
    ),
    "blur": (
        GaussianBlur(channel_probability=1.0),
        GaussianBlurTransform((0.5, 1.0), different_sigma_per_axis=True),
        point,
        flattened(np.max),
    ),
    "low resolution": (
        LowResolution(channel_probability=1.0),
        SimulateLowResolutionTransform(
            (0.5, 1.0), per_channel=True, order_downsample=0, order_upsample=1
        ),
        texture,
        flattened(np.std),
    ),
}


@pytest.mark.parametrize("name", INTENSITIES)
def test_an_intensity_augmentation_has_the_distribution_of_its_counterpart(name: str) -> None:
    entry, transform, make_image, statistic = INTENSITIES[name]
    image = make_image()
    assert_alike(statistic(batched(entry, image)), statistic(reference(transform, image)))


@pytest.mark.parametrize(
    ("entry", "transform"),
    [
        (GaussianBlur(), GaussianBlurTransform((0.5, 1.0), p_per_channel=0.5)),
        (LowResolution(), SimulateLowResolutionTransform((0.5, 0.9), p_per_channel=0.5)),
    ],
    ids=["blur", "low resolution"],
)
def test_as_many_channels_are_left_unchanged(entry, transform) -> None:
    image = texture()
    shares = [
        np.mean([np.array_equal(changed, image) for changed in images])
        for images in (batched(entry, image), reference(transform, image))
    ]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)


def test_every_combination_of_mirrored_axes_is_as_frequent() -> None:
    image = np.arange(np.prod(VOLUME), dtype=np.float32).reshape(VOLUME)
    corners = [
        images[:, 0, 0, 0]
        for images in (
            batched(Mirroring(), image),
            reference(MirrorTransform((0, 1, 2)), image),
        )
    ]
    values, counts = np.unique(corners[0], return_counts=True)
    others, other_counts = np.unique(corners[1], return_counts=True)
    assert len(values) == 8
    assert np.array_equal(values, others)
    np.testing.assert_allclose(counts, DRAWS / 8, rtol=0.25)
    np.testing.assert_allclose(counts, other_counts, rtol=0.35)


def blob_offsets(images: np.ndarray) -> np.ndarray:
    """Return the offset of the centre of brightness from the image centre, [draws, 2], voxels."""
    axes = [np.arange(size) - (size - 1) / 2 for size in images.shape[1:]]
    total = images.sum(axis=(1, 2))
    rows = (images.sum(axis=2) * axes[0]).sum(axis=1) / total
    columns = (images.sum(axis=1) * axes[1]).sum(axis=1) / total
    return np.stack([rows, columns], axis=1)


def blob() -> np.ndarray:
    image = np.zeros((41, 41), np.float32)
    image[20, 28] = 1
    return ndimage.gaussian_filter(image, 1.5)


def moved_blobs(entry: Spatial, **arguments: object) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets of a blob that was 8 voxels from the centre, ours and theirs."""
    transform = SpatialTransform(
        (41, 41), do_elastic_deform=False, random_crop=False, order_data=1, **arguments
    )
    image = blob()
    return blob_offsets(batched(entry, image)), blob_offsets(reference(transform, image))


def test_rotations_within_a_plane_have_the_same_angles() -> None:
    entry = Spatial(rotation_probability=1.0, scaling_probability=0.0)
    ours, theirs = moved_blobs(entry, do_scale=False, angle_x=(-np.pi, np.pi))
    assert_alike(*(np.arctan2(moved[:, 0], moved[:, 1]) for moved in (ours, theirs)))
    np.testing.assert_allclose(np.hypot(*ours.T), 8, atol=0.2)
    np.testing.assert_allclose(np.hypot(*theirs.T), 8, atol=0.2)


@pytest.mark.parametrize("scaling", [(1.0, 1.4), (1.1, 1.3)])
def test_scales_above_1_are_the_same(scaling: tuple[float, float]) -> None:
    """Between 0.7 and 1.4, batchgenerators draws 0.7 to 1 as often as 1 to 1.4; Spatial does not.

    Spatial is uniform over the whole range, like batchgeneratorsv2.
    """
    entry = Spatial(rotation_probability=0.0, scaling_probability=1.0, scaling=scaling)
    ours, theirs = moved_blobs(entry, do_rotation=False, scale=scaling)
    assert_alike(ours[:, 1], theirs[:, 1])
    assert np.abs(ours[:, 0]).max() < 0.1


def test_rotations_of_volumes_have_the_same_total_angle() -> None:
    limit = np.pi / 6
    angles = np.random.default_rng(0).uniform(-limit, limit, (DRAWS, 3))
    ours = np.array([np.trace(rotation_matrix(drawn)) for drawn in angles])
    with seeded_global_generators(0):
        theirs = np.array(
            [np.trace(create_random_rotation(*[(-limit, limit)] * 3)) for _ in range(DRAWS)]
        )
    assert_alike(*(np.arccos((traces - 1) / 2) for traces in (ours, theirs)))
