"""Normalise the parts of an image where they are used.

The integers of a picture take a quarter of the memory that float32 does. They are converted band by
band, when a case is stored or tiles are cut, so that the whole image is never in memory as float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import ImageArray, IntensityArray, MaskArray
from autoseg.normalizers import Normalizer
from autoseg.normalizers.base import ChannelArray, Normalization


@dataclass(frozen=True)
class NormalizedVoxels:
    """Channels of an image that are normalised where they are indexed.

    Attributes:
        stored: Intensities as read.
        normalizers: Normaliser of each channel.
        normalizations: What the normalisers measured.
        inside: Nonzero mask, with its holes filled; True everywhere if no channel needs it.
    """

    stored: IntensityArray
    normalizers: tuple[Normalizer, ...]
    normalizations: tuple[Normalization, ...]
    inside: MaskArray

    @classmethod
    def of(
        cls, stored: IntensityArray, normalizers: Sequence[Normalizer], inside: MaskArray
    ) -> "NormalizedVoxels":
        """Measure each channel for its normaliser.

        Args:
            stored: Intensities, cropped to the nonzero mask.
            normalizers: Normaliser of each channel.
            inside: Nonzero mask, same shape without channels.

        Raises:
            CaseError: If a normaliser does not accept the intensities.
        """
        normalizations = tuple(
            normalizer.fit(np.ascontiguousarray(channel), inside)
            for channel, normalizer in zip(stored, normalizers, strict=True)
        )
        return cls(stored, tuple(normalizers), normalizations, inside)

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, and the size along each axis in voxels."""
        return self.stored.shape

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Data type of the normalised intensities."""
        return np.dtype(np.float32)

    def __getitem__(self, box: Any, /) -> NDArray[np.float32]:  # noqa: ANN401
        """Return the normalised intensities of a box, float32; `box` is an index as of an array."""
        channels, *space = box if isinstance(box, tuple) else (box,)
        part = np.array(self.stored[:, *space], dtype=np.float32, order="C")
        for index, channel in enumerate(part):
            self._normalize(index, channel, tuple(space))
        return np.asarray(part[channels])

    def channel(self, index: int) -> ChannelArray:
        """Return one whole channel."""
        channel = np.array(self.stored[index], dtype=np.float32, order="C")
        self._normalize(index, channel, ())
        return channel

    def _normalize(self, index: int, part: ChannelArray, box: tuple[Any, ...]) -> None:
        self.normalizations[index](part)
        if self.normalizers[index].clears_outside:
            part[~self.inside[box]] = 0

    def __array__(self, dtype: Any = None, *, copy: bool | None = None) -> ImageArray:  # noqa: ANN401
        """Return the whole image; NumPy calls this to convert it."""
        del copy  # always a new array
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype, copy=False)
