import numpy as np
import pytest

from autoseg.core.labels import LabelScheme
from autoseg.documents.fingerprint import (
    QUANTILE_LEVELS,
    CaseFingerprint,
    CaseIntensities,
    combine,
    merge_intensities,
)

NORMAL = np.random.default_rng(0).normal(size=(3, 5000)) * [[1], [2], [30]] + [[0], [5], [9]]


def intensities(values: np.ndarray) -> CaseIntensities:
    quantiles = np.quantile(values, QUANTILE_LEVELS)
    return CaseIntensities(
        mean=float(values.mean()), std=float(values.std()), quantiles=tuple(quantiles.tolist())
    )


@pytest.mark.parametrize(
    "cases", [NORMAL, NORMAL[:1], np.round(NORMAL), np.vstack([NORMAL, np.full(5000, 4.0)])]
)
def test_percentiles_of_all_cases_invert_the_mean_of_their_distributions(cases) -> None:
    merged = merge_intensities([intensities(values) for values in cases])
    found = (merged.percentile_00_5, merged.median, merged.percentile_99_5)
    for value, level in zip(found, (0.005, 0.5, 0.995), strict=True):
        below, above = (
            np.mean(
                [np.interp(at, np.quantile(row, QUANTILE_LEVELS), QUANTILE_LEVELS) for row in cases]
            )
            for at in (value - 1e-6, value + 1e-6)
        )
        assert below <= level <= above


def test_mean_and_deviation_are_those_of_all_values_together() -> None:
    merged = merge_intensities([intensities(values) for values in NORMAL])
    assert merged.mean == pytest.approx(NORMAL.mean())
    assert merged.std == pytest.approx(NORMAL.std())
    assert (merged.minimum, merged.maximum) == (NORMAL.min(), NORMAL.max())


def test_cases_without_foreground_leave_the_intensities_as_they_are() -> None:
    lesion, air = intensities(NORMAL[0] + 70), intensities(np.full(5000, -1000.0))

    def fingerprint(*cases: CaseFingerprint):
        labels = LabelScheme(names=("background", "lesion"), values=(0, 1))
        return combine(dataset_name="CT", channel_names=("CT",), labels=labels, cases=cases)

    patient, healthy = case_with(lesion, (900, 100)), case_with(air, (1000, 0))
    assert fingerprint(patient, healthy).channels == fingerprint(patient).channels
    assert fingerprint(healthy).channels[0].mean == -1000


def case_with(found: CaseIntensities, class_voxels: tuple[int, int]) -> CaseFingerprint:
    return CaseFingerprint(
        name=f"with_{class_voxels[1]}",
        source=(),
        shape=(10, 10, 10),
        spacing=(1, 1, 1),
        shape_after_crop=(10, 10, 10),
        class_voxels=class_voxels,
        class_centres=(None, None),
        class_extents=(None, None),
        intensities=(found,),
        is_integer=True,
        fits_8_bits=False,
    )
