"""Data for every test: small synthetic datasets, and the real ones where they are present.

The dataset fixtures are made once per session and nothing may be written into them.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from synthetic import balls, write_picture, write_volume

# pytest-xdist runs one process per core; with a thread per core each, they mostly wait for each
# other. torch reads this when it is imported, also in processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # noqa: TID251

# Machines are slow at times, and no test is about time.
settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real datasets; skip the test where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data is not at {REAL_DATA}; only this test needs it")
    return REAL_DATA


@pytest.fixture
def limited_group() -> Iterator[Path]:
    """A real cgroup of 256 MiB inside that of this process."""
    from autoseg.core.memory import memory_cgroups

    (parent, *_), files = memory_cgroups()
    group = parent / f"autoseg_test_{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"cgroups cannot be made here: {error}")
    try:
        (group / files.limit[0]).write_text(str(2**28))
        yield group
    except OSError as error:
        pytest.skip(f"cgroups with a memory limit cannot be made here: {error}")
    finally:
        group.rmdir()


@pytest.fixture(scope="session")
def volumes_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a 3-D dataset in Decathlon layout: 6 one-channel cases, 2 classes (values 0, 1, 2).

    Bright and dim balls in noise, about 12 × 24 × 20 voxels of 2 × 1 × 1 mm, with an empty border
    that the nonzero crop removes.
    """
    root = tmp_path_factory.mktemp("volumes") / "Task90_Balls"
    names = [f"ball_{index:02d}" for index in range(6)]
    for index, name in enumerate(names):
        image, labels = balls(np.random.default_rng(index), (12 + index % 2, 24, 20 + index))
        write_volume(image, root / "imagesTr" / f"{name}.nii.gz", spacing=(2.0, 1.0, 1.0))
        write_volume(labels, root / "labelsTr" / f"{name}.nii.gz", spacing=(2.0, 1.0, 1.0))
    pairs = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
        for name in names
    ]
    description = {
        "name": "Balls",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "bright", "2": "dim"},
        "training": pairs,
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return root


@pytest.fixture(scope="session")
def pictures_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a 2-D dataset without JSON: 6 RGB pictures of 48 × 40 pixels, label values 0 and 255.

    Dark discs on a bright ground, under `images/` and `labels/`.
    """
    root = tmp_path_factory.mktemp("pictures") / "discs"
    for index in range(6):
        image, labels = balls(np.random.default_rng(index), (48, 40 + index))
        grey = np.clip(200 - 15 * image, 0, 255).astype(np.uint8)
        picture = np.stack([grey, grey // 2, 255 - grey], axis=-1)
        write_picture(picture, root / "images" / f"disc_{index}.png")
        write_picture((labels == 1).astype(np.uint8) * 255, root / "labels" / f"disc_{index}.png")
    return root
