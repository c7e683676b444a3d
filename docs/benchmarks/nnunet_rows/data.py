"""Makes the datasets that both tools work on, in nnU-Net's layout; generated ones from seeds."""

import json
from pathlib import Path

import numpy as np
from volumes import ct_case, description, link_case, write_json, write_volume

CT_CASES = 8
CT_SHAPE = (160, 384, 384)
CT_SPACING = (1.5, 0.8, 0.8)
CT_LABELS = {"background": 0, "bone": 1, "liver": 2, "lesion": 3}
CT_SEED = 20261122


def link_decathlon(task: str, dataset: str) -> None:
    """Link the files of a Decathlon task under the names that nnU-Net wants."""
    decathlon, target = Path(task), Path(dataset)
    given = json.loads((decathlon / "dataset.json").read_text())
    images = sorted((decathlon / "imagesTr").glob("[!.]*.nii.gz"))
    for image in images:
        labels = decathlon / "labelsTr" / image.name
        link_case(target, image.name.removesuffix(".nii.gz"), (image,), labels)
    values = {name: int(value) for value, name in given["labels"].items()}
    write_json(description(("MRI",), values, len(images)), target / "dataset.json")


def make_ct(dataset: str) -> None:
    """Write CT-like volumes of about 160×384×384 voxels at varied spacing, int16.

    nnU-Net resamples in double precision whatever the voxels are, so their content hardly matters
    to it.
    """
    target = Path(dataset)
    for case in range(CT_CASES):
        random = np.random.default_rng([CT_SEED, case])
        shape = tuple(int(size * random.uniform(0.9, 1.1)) for size in CT_SHAPE)
        between, within = (float(size * random.uniform(0.7, 1.4)) for size in CT_SPACING[:2])
        spacing = (between, within, within)
        image, labels = ct_case(random, shape)
        write_volume(image, spacing, target / "imagesTr" / f"ct_{case}_0000.nii.gz")
        write_volume(labels, spacing, target / "labelsTr" / f"ct_{case}.nii.gz")
    write_json(description(("CT",), CT_LABELS, CT_CASES), target / "dataset.json")
