import pytest

from autoseg.documents.fingerprint import CaseFingerprint, CaseIntensities
from autoseg.preprocessing.memory import affordable_workers, available_bytes, preparation_bytes


def case(shape: tuple[int, ...], spacing: tuple[float, ...]) -> CaseFingerprint:
    return CaseFingerprint(
        name="one",
        source=(),
        shape=shape,
        spacing=spacing,
        shape_after_crop=shape,
        class_voxels=(1, 1),
        class_centres=(None, None),
        intensities=(CaseIntensities(mean=0.0, std=1.0, quantiles=()),),
        is_integer=True,
    )


def test_a_case_that_grows_needs_more_than_one_that_stays(make_plan) -> None:
    plan = make_plan((1.0, 1.0, 1.0), axis_order=(2, 0, 1))
    same = preparation_bytes(case((50, 60, 70), (1.0,) * 3), plan, plan.configurations[0])
    grown = preparation_bytes(case((50, 60, 70), (1.0, 1.0, 3.0)), plan, plan.configurations[0])
    assert 50 * 60 * 70 * 4 < same < grown < 4 * same


@pytest.mark.parametrize(
    ("available", "workers"), [(None, 8), (10_000, 8), (1000, 8), (500, 4), (1, 1), (0, 1)]
)
def test_workers_share_four_fifths_of_the_free_memory(available, workers) -> None:
    assert affordable_workers(8, 100, available) == workers


def test_this_machine_tells_how_much_is_free() -> None:
    free = available_bytes()
    assert free is None or free > 2**20
