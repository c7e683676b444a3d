"""Folders whose names consist of entities, as in BIDS."""

from pathlib import Path

import numpy as np
import pytest
from synthetic import write_volume

from autoseg.core.errors import DatasetError
from autoseg.datasets.layouts import recognise
from autoseg.datasets.layouts.choices import layout_options
from autoseg.documents.dataset import DatasetSpec

SHAPE = (10, 12, 14)
SUBJECTS = ("sub-01", "sub-02", "sub-03", "sub-04")


def put_image(path: Path, seed: int = 0) -> None:
    voxels = np.random.default_rng(seed).normal(100, 20, SHAPE).astype(np.float32)
    write_volume(voxels, path, spacing=(2.0, 1.0, 1.0))


def put_labels(path: Path, seed: int = 0, values: tuple[int, ...] = (1, 2)) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    for place, value in enumerate(values):
        labels[2 + seed % 2 : 7, 3:8, 2 + 5 * place + seed % 3 : 5 + 5 * place] = value
    write_volume(labels, path, spacing=(2.0, 1.0, 1.0))


def read(root: Path) -> DatasetSpec:
    return recognise(root, label_maps=root.parent / "maps").spec


def shown(spec: DatasetSpec) -> list[tuple[list[str], str]]:
    return [
        ([path.name.removesuffix(".nii.gz") for path in case.images], case.labels.name)
        for case in spec.cases
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/participants.tsv").write_text("participant_id\tage\nsub-01\t30\n")
    return tmp_path / "data"


def test_suffixes_are_channels_and_subjects_of_several_sessions_are_groups(root: Path) -> None:
    for seed, subject in enumerate(SUBJECTS[:2]):
        for session in ("ses-01", "ses-02"):
            name = f"{subject}_{session}"
            for suffix in ("T1w", "FLAIR"):
                put_image(root / subject / session / f"anat/{name}_{suffix}.nii.gz", seed)
            masks = root / "derivatives/masks" / subject / session / "anat"
            put_labels(masks / f"{name}_label-lesion_mask.nii.gz", seed, (1,))
    spec = read(root)
    assert [case.name for case in spec.cases][:2] == ["sub-01_ses-01", "sub-01_ses-02"]
    assert spec.channel_names == ("flair", "t1w")
    assert [case.group for case in spec.cases] == ["sub-01", "sub-01", "sub-02", "sub-02"]
    assert spec.labels.names == ("background", "lesion")


@pytest.mark.parametrize("is_side_car", [True, False])
def test_a_table_next_to_the_label_maps_names_the_classes(root: Path, is_side_car: bool) -> None:
    for seed, subject in enumerate(SUBJECTS):
        put_image(root / subject / f"anat/{subject}_T1w.nii.gz", seed)
        labels = root / f"derivatives/labels/{subject}/anat/{subject}_dseg.nii.gz"
        put_labels(labels, seed)
        table = labels.with_name(f"{subject}_dseg.tsv")
        table = table if is_side_car else root / "derivatives/labels/dseg.tsv"
        table.write_text("index\tname\tcolor\n1\tliver\t#ff0000\n2\tspleen\t#00ff00\n")
    assert read(root).labels.names == ("background", "liver", "spleen")


def test_tables_of_two_cases_that_disagree_are_refused(root: Path) -> None:
    for seed, subject in enumerate(SUBJECTS):
        put_image(root / subject / f"anat/{subject}_T1w.nii.gz", seed)
        labels = root / f"derivatives/labels/{subject}/anat/{subject}_dseg.nii.gz"
        put_labels(labels, seed)
        name = "liver" if seed else "kidney"
        labels.with_name(f"{subject}_dseg.tsv").write_text(f"index\tname\n1\t{name}\n2\tspleen\n")
    with pytest.raises(DatasetError, match=r"the value 1 is 'kidney' in .* but 'liver' in"):
        read(root)
    options = layout_options(root, {"label_map": ["0=background,1=liver,2=spleen"]})
    assert recognise(root, options).spec.labels.names == ("background", "liver", "spleen")


def test_images_of_derivatives_are_not_used(root: Path) -> None:
    for seed, subject in enumerate(SUBJECTS):
        put_image(root / subject / f"anat/{subject}_T1w.nii.gz", seed)
        derived = root / "derivatives/pipeline" / subject / "anat"
        put_image(derived / f"{subject}_desc-preproc_T1w.nii.gz", seed)
        put_image(derived / f"{subject}_label-GM_probseg.nii.gz", seed)
        put_labels(derived / f"{subject}_dseg.nii.gz", seed)
    assert shown(read(root)) == [([f"{name}_T1w"], f"{name}_dseg.nii.gz") for name in SUBJECTS]


def test_a_label_entity_is_the_class_of_a_mask(root: Path) -> None:
    for seed, subject in enumerate(SUBJECTS):
        put_image(root / subject / f"anat/{subject}_T1w.nii.gz", seed)
        masks = root / "derivatives/labels" / subject / "anat"
        put_labels(masks / f"{subject}_label-liver_mask.nii.gz", seed, (1,))
        put_labels(masks / f"{subject}_label-spleen_mask.nii.gz", seed, (0, 1))
    assert read(root).labels.names == ("background", "liver", "spleen")


@pytest.mark.parametrize("sessions", [("ses-test", "ses-retest"), ("ses-pre", "ses-post")])
def test_words_in_entities_are_names(root: Path, sessions: tuple[str, ...]) -> None:
    for seed, subject in enumerate(("sub-anna", "sub-test", "sub-mask1")):
        for session in sessions:
            name = f"{subject}_{session}_T1w"
            put_image(root / subject / session / f"anat/{name}.nii.gz", seed)
            put_labels(root / f"derivatives/x/{subject}/{session}/anat/{name}_dseg.nii.gz", seed)
    spec = read(root)
    assert (len(spec.cases), len(spec.test_cases)) == (6, 0)
    assert {case.group for case in spec.cases} == {"sub-anna", "sub-test", "sub-mask1"}


def test_repetitions_with_one_label_map_are_not_channels(root: Path) -> None:
    for seed, subject in enumerate(SUBJECTS):
        for run in (1, 2):
            put_image(root / subject / f"anat/{subject}_run-{run}_T1w.nii.gz", seed + run)
        put_labels(root / f"derivatives/labels/{subject}/anat/{subject}_dseg.nii.gz", seed)
    with pytest.raises(DatasetError, match="run-1, run-2, which may be channels or cases"):
        read(root)


def test_labels_may_have_the_number_of_a_subject_alone(root: Path) -> None:
    for seed, subject in enumerate(SUBJECTS):
        put_image(root / subject / f"anat/{subject}_T1w.nii.gz", seed)
        put_labels(root / f"segmentations/{seed + 1}.nii.gz", seed)
    assert shown(read(root))[0] == (["sub-01_T1w"], "1.nii.gz")


def test_a_channel_that_one_case_lacks_does_not_name_the_cases(root: Path) -> None:
    subjects = [f"sub-{number:02d}" for number in range(1, 7)]
    for seed, subject in enumerate(subjects):
        for suffix in ("FLAIR", "T1w") if seed != 5 else ("T1w",):
            put_image(root / subject / f"anat/{subject}_{suffix}.nii.gz", seed)
        put_labels(root / f"derivatives/labels/{subject}/anat/{subject}_dseg.nii.gz", seed)
    assert [case.name for case in read(root).cases] == [f"{name}_T1w" for name in subjects]
