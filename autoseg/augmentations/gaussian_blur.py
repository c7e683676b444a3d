"""Gaussian blur.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

import numpy as np
import torch.nn.functional as F
from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    Factors,
    PatchContext,
    Patches,
    PatchImages,
    RandomGenerators,
    channel_factors,
)
from autoseg.core.device import to_device
from autoseg.core.frozen import Fraction
from autoseg.core.limits import Range

TRUNCATE = 4.0
"""Radius of a kernel, in standard deviations."""


@AUGMENTATIONS.register
class GaussianBlur(Augmentation):
    """Blurs each channel with its own random sigma per axis.

    Attributes:
        probability: Probability that a patch is augmented.
        channel_probability: Probability that a channel of an augmented patch is blurred.
        sigma: Range of the kernel's standard deviation, voxels.
    """

    kind: Literal["gaussian_blur"] = "gaussian_blur"
    probability: Fraction = 0.2
    channel_probability: Fraction = 0.5
    sigma: Range = (0.5, 1.0)

    @override
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        images = patches.images
        count = (len(images), images.shape[1])
        sigmas = generators.per_patch.uniform(*self.sigma, (*count, len(context.patch_shape)))
        places = np.nonzero(generators.per_patch.random(count) < self.channel_probability)
        if len(places[0]):
            chosen = to_device(np.stack(places), images.device).unbind()
            images[chosen] = _blur(images[chosen][:, None], sigmas[places])[:, 0]
        return patches


def _blur(images: PatchImages, sigmas: Factors) -> PatchImages:
    """Blur each image with its own sigma per axis."""
    for axis, sigma in enumerate(sigmas.T):
        images = _blur_along(images, axis, _half_kernels(sigma))
    return images


def _half_kernels(sigma: Factors) -> Factors:
    """Return the half of each kernel from its centre outwards; the full kernels sum to 1."""
    radius = int(np.ceil(TRUNCATE * sigma.max()))
    halves = np.exp(-0.5 * (np.arange(radius + 1) / np.maximum(sigma[:, None], 1e-6)) ** 2)
    halves /= 2 * halves.sum(axis=1, keepdims=True) - halves[:, :1]
    return np.asarray(halves)


def _blur_along(images: PatchImages, axis: int, halves: Factors) -> PatchImages:
    """Blur single-channel images along one axis, with replicated borders."""
    radius, size = halves.shape[1] - 1, images.shape[axis + 2]
    padding = [0, 0] * (images.ndim - 2)
    last = 2 * (images.ndim - 3 - axis)
    padding[last : last + 2] = [radius, radius]
    padded = F.pad(images, padding, mode="replicate")
    weights = (
        channel_factors(halves, images).view(*halves.shape, *[1] * (images.ndim - 1)).unbind(1)
    )
    total = padded.narrow(axis + 2, radius, size) * weights[0]
    for offset in range(1, radius + 1):
        before = padded.narrow(axis + 2, radius - offset, size)
        after = padded.narrow(axis + 2, radius + offset, size)
        total.addcmul_(before + after, weights[offset])
    return total
