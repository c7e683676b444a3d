import pytest

from autoseg.documents.fingerprint import CaseFingerprint, CaseIntensities
from autoseg.preprocessing import memory
from autoseg.preprocessing.memory import fitting_workers, preparation_bytes


def case(shape: tuple[int, ...], spacing: tuple[float, ...]) -> CaseFingerprint:
    return CaseFingerprint(
        name="one",
        source=(),
        shape=shape,
        spacing=spacing,
        shape_after_crop=shape,
        class_voxels=(1, 1),
        class_centres=(None, None),
        class_extents=(None, None),
        intensities=(CaseIntensities(mean=0.0, std=1.0, quantiles=()),),
        is_integer=True,
        fits_8_bits=True,
    )


def test_a_case_that_grows_needs_more_than_one_that_stays(make_plan) -> None:
    plan = make_plan((1.0, 1.0, 1.0), axis_order=(2, 0, 1))
    same = preparation_bytes(case((50, 60, 70), (1.0,) * 3), plan, plan.configurations[0])
    grown = preparation_bytes(case((50, 60, 70), (1.0, 1.0, 3.0)), plan, plan.configurations[0])
    assert 50 * 60 * 70 * 4 < same < grown < 4 * same


@pytest.mark.parametrize(
    ("available", "workers"), [(None, 8), (10_000, 8), (1000, 8), (500, 4), (1, 1), (0, 1)]
)
def test_workers_share_four_fifths_of_the_free_memory(available, workers, monkeypatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: available)
    assert fitting_workers(8, 100)[0] == workers


@pytest.mark.parametrize("wanted", [0, 1, 4])
def test_memory_is_only_spoken_of_where_it_decides(
    wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    assert fitting_workers(wanted, 100) == (max(1, wanted), "")
    number, shortage = fitting_workers(9, 100)
    assert number == 8
    assert shortage.startswith("8 at a time instead of 9")
