import tracemalloc

import numpy as np
import pytest

from autoseg.datasets.label_counts import CHUNK_VOXELS, label_counts


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32])
def test_every_voxel_is_counted_once(kind: type) -> None:
    values = np.zeros((3, CHUNK_VOXELS // 2 + 7), kind)
    values[2, -5:] = 200
    values[0, 3] = 7
    assert label_counts(values) == {0: values.size - 6, 7: 1, 200: 5}


def test_memory_does_not_grow_with_the_label_map() -> None:
    values = np.ones((4, 8, CHUNK_VOXELS), np.uint8)
    tracemalloc.start()
    try:
        label_counts(values)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < values.nbytes
