"""A plan or model has the classes of the dataset that it is used for."""

from pathlib import Path

import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelScheme
from autoseg.documents.dataset import DatasetSpec
from autoseg.stages.dataset_identity import check_same_classes


def scheme(*names: str) -> LabelScheme:
    return LabelScheme(names=("background", *names), values=tuple(range(len(names) + 1)))


def spec(labels: LabelScheme) -> DatasetSpec:
    return DatasetSpec(
        name="x",
        root=Path("x"),
        layout="folders",
        num_axes=3,
        channel_names=("MRI",),
        labels=labels,
        cases=(),
    )


def test_a_model_of_renumbered_classes_is_refused() -> None:
    now = spec(scheme("aorta", "liver", "spleen"))
    with pytest.raises(DatasetError, match=r"1=liver in m\.autoseg, 1=aorta in the dataset"):
        check_same_classes(scheme("liver", "spleen"), now, "m.autoseg")


def test_equal_and_unnamed_classes_fit() -> None:
    check_same_classes(scheme("Liver"), spec(scheme("liver", "spleen")), "m")
    check_same_classes(scheme("label_1"), spec(scheme("liver")), "m")
