"""Keep the borders of slabs of logits, which are interpolated together with the slabs next to them.

Linear interpolation takes two neighbours: where slabs meet, one of them is the last plane or the
last row of a slab before.
"""

from autoseg.inference.blending import LogitsSlab


class SeamBuffer:
    """The last plane of each strip of rows, and the last rows of the strip before."""

    def __init__(self, num_rows: int) -> None:
        """Begin with none.

        Args:
            num_rows: Of all strips; no border is kept behind the last one.
        """
        self._num_rows = num_rows
        self._planes: dict[int, LogitsSlab] = {}  # by the first row
        self._rows: dict[int, list[LogitsSlab]] = {}  # by the row behind

    def around(self, slab: LogitsSlab) -> list[LogitsSlab]:
        """Return a slab and all that is interpolated together with it, none overlapping.

        Args:
            slab: The next one; behind those before it in its strip, and in the strip above.
        """
        above = self._planes.get(slab.row)
        beside = self._rows.get(slab.row, [])
        return [slab, *([above] if above else []), *beside]

    def keep(self, slab: LogitsSlab) -> None:
        """Keep the borders of a slab, and let go of those that only it needed."""
        last_plane = slab.logits[:, -1:].copy()
        self._planes[slab.row] = LogitsSlab(slab.stop - 1, last_plane, slab.row)
        if slab.row_stop < self._num_rows:
            last_row = LogitsSlab(slab.start, slab.logits[:, :, -1:].copy(), slab.row_stop - 1)
            self._rows.setdefault(slab.row_stop, []).append(last_row)
        if slab.row in self._rows:
            beside = self._rows[slab.row]
            self._rows[slab.row] = [piece for piece in beside if piece.stop >= slab.stop]
