"""Buffer the borders of slabs of logits for interpolation across slab boundaries.

Linear interpolation needs two neighbours. At a slab boundary, one of them is the last plane or the
last row of a previous slab.
"""

from autoseg.inference.blending import LogitsSlab


class SeamBuffer:
    """Buffers the last plane of each strip of rows, and the last rows of the previous strip."""

    def __init__(self, num_rows: int) -> None:
        """Start with an empty buffer.

        Args:
            num_rows: Total rows of all strips; the last row needs no buffer.
        """
        self._num_rows = num_rows
        self._planes: dict[int, LogitsSlab] = {}  # by the first row
        self._rows: dict[int, list[LogitsSlab]] = {}  # by the next row

    def with_neighbours(self, slab: LogitsSlab) -> list[LogitsSlab]:
        """Return a slab and the buffered borders next to it; they do not overlap.

        Args:
            slab: The next slab; the previous slabs of its strip and of the previous strip must
                have been passed to `keep`.
        """
        previous_plane = self._planes.get(slab.row)
        previous_rows = self._rows.get(slab.row, [])
        return [slab, *([previous_plane] if previous_plane else []), *previous_rows]

    def keep(self, slab: LogitsSlab) -> None:
        """Buffer the borders of a slab, and discard the borders that only this slab needed."""
        last_plane = slab.logits[:, -1:].copy()
        self._planes[slab.row] = LogitsSlab(slab.stop - 1, last_plane, slab.row)
        if slab.row_stop < self._num_rows:
            last_row = LogitsSlab(slab.start, slab.logits[:, :, -1:].copy(), slab.row_stop - 1)
            self._rows.setdefault(slab.row_stop, []).append(last_row)
        if slab.row in self._rows:
            borders = self._rows[slab.row]
            self._rows[slab.row] = [border for border in borders if border.stop >= slab.stop]
