"""Pad a volume before tiles are cut from it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped

from autoseg.core.case import CascadeInput

Volume = Shaped[np.ndarray, "*size"]
PaddedVolume = Shaped[np.ndarray, "*padded"]


@dataclass(frozen=True)
class Padding:
    """Padding of a volume to at least the patch size plus the margin of a network.

    Without a margin, the padding is zero. For networks with a margin, whose output is smaller than
    their input, the volume is mirrored on all sides.

    Attributes:
        size: Size of the volume, voxels.
        before: Voxels added before the first voxel of each axis that is shorter than the patch.
        after: Voxels added after the last voxel; one more than `before` for an odd number.
        margin: Additional voxels per axis and side.
    """

    size: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    margin: tuple[int, ...]

    @classmethod
    def around(
        cls, size: tuple[int, ...], patch: tuple[int, ...], margin: tuple[int, ...] = ()
    ) -> "Padding":
        """Compute the padding of a volume.

        Args:
            size: Size of the volume, voxels.
            patch: Patch size of the network, with as many axes, voxels.
            margin: Margin of the network, voxels; may have fewer axes, the leading ones are then 0.
        """
        missing = [max(0, length - edge) for edge, length in zip(size, patch, strict=True)]
        before = tuple(count // 2 for count in missing)
        return cls(
            size=size,
            before=before,
            after=tuple(count - front for count, front in zip(missing, before, strict=True)),
            margin=(0,) * (len(size) - len(margin)) + margin,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the padded volume without the margin, voxels; at least the patch size."""
        triples = zip(self.before, self.size, self.after, strict=True)
        return tuple(front + edge + back for front, edge, back in triples)

    @property
    def box(self) -> tuple[slice, ...]:
        """Position of the volume in the padded volume without the margin."""
        pairs = zip(self.before, self.size, strict=True)
        return tuple(slice(front, front + edge) for front, edge in pairs)

    def with_margin(self, patch: tuple[int, ...]) -> tuple[int, ...]:
        """Return the input size of a tile: the patch plus the margin on both sides."""
        return tuple(edge + 2 * around for edge, around in zip(patch, self.margin, strict=True))

    def apply(self, volume: Volume) -> PaddedVolume:
        """Pad a volume; return it unchanged if no padding is needed.

        Args:
            volume: Volume whose last axes are padded.
        """
        widths = [
            (front + around, back + around)
            for front, back, around in zip(self.before, self.after, self.margin, strict=True)
        ]
        if not any(map(any, widths)):
            return volume
        leading = [(0, 0)] * (volume.ndim - len(widths))
        if any(self.margin):
            return np.pad(volume, [*leading, *widths], mode="reflect")
        return np.pad(volume, [*leading, *widths])

    def apply_to_cascade_input(self, cascade_input: CascadeInput | None) -> CascadeInput | None:
        """Pad a cascade input like its image; None if there is no cascade input."""
        if cascade_input is None:
            return None
        return replace(cascade_input, classes=self.apply(cascade_input.classes.reshape(self.size)))
