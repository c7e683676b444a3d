"""What is put around a volume before tiles are cut from it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped

from autoseg.core.case import CascadeInput

Volume = Shaped[np.ndarray, "*size"]
FramedVolume = Shaped[np.ndarray, "*framed"]


@dataclass(frozen=True)
class Padding:
    """Zeros around a volume that is smaller than the patch, or its mirror image.

    It is mirrored for networks with a margin, all around: they score less than they see.

    Attributes:
        size: Of the volume, voxels.
        before: Voxels put before the first one, per axis, where it is smaller than the patch.
        after: Those put behind the last one; an odd voxel goes there.
        margin: Further voxels per axis and side.
    """

    size: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    margin: tuple[int, ...]

    @classmethod
    def around(
        cls, size: tuple[int, ...], patch: tuple[int, ...], margin: tuple[int, ...] = ()
    ) -> "Padding":
        """Return the frame of a volume.

        Args:
            size: Of the volume, voxels.
            patch: Of the network, with as many axes.
            margin: Of the network; axes that it lacks in front have none.
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
        """Size of what tiles cover, voxels: at least that of the patch; without the margin."""
        triples = zip(self.before, self.size, self.after, strict=True)
        return tuple(front + edge + back for front, edge, back in triples)

    @property
    def box(self) -> tuple[slice, ...]:
        """Where the volume lies in what tiles cover."""
        pairs = zip(self.before, self.size, strict=True)
        return tuple(slice(front, front + edge) for front, edge in pairs)

    def with_margin(self, patch: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of a tile as its network sees it."""
        return tuple(edge + 2 * around for edge, around in zip(patch, self.margin, strict=True))

    def applied(self, volume: Volume) -> FramedVolume:
        """Return a volume in its frame; as it is, if it needs none.

        Args:
            volume: Its last axes are those of the frame.
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

    def applied_to_cascade_input(self, cascade_input: CascadeInput | None) -> CascadeInput | None:
        """Return what a previous stage predicted, framed as its image is; none if it did not."""
        if cascade_input is None:
            return None
        return replace(
            cascade_input, classes=self.applied(cascade_input.classes.reshape(self.size))
        )
