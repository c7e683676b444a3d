import numpy as np
import pytest

from autoseg.documents.fingerprint import QUANTILE_LEVELS, CaseIntensities, merge_intensities

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
