"""Every registered normaliser keeps the same promises; a new file is tested unasked."""

import numpy as np
import pytest
from normalized import normalized

from autoseg.documents.fingerprint import ChannelIntensities
from autoseg.normalizers import NORMALIZERS, Normalizer

DATASET = ChannelIntensities(
    mean=90.0,
    std=30.0,
    median=95.0,
    minimum=0.0,
    maximum=255.0,
    percentile_00_5=10.0,
    percentile_99_5=200.0,
)


@pytest.fixture(params=list(NORMALIZERS))
def normalizer(request: pytest.FixtureRequest) -> Normalizer:
    kind = NORMALIZERS[request.param]
    needed = [name for name, field in kind.model_fields.items() if field.is_required()]
    return kind(**{name: getattr(DATASET, name) for name in needed})


@pytest.fixture(params=[(9, 8), (5, 9, 8)], ids=["2d", "3d"])
def channel(request: pytest.FixtureRequest) -> np.ndarray:
    values = np.random.default_rng(0).integers(1, 255, request.param).astype(np.float32)
    values[..., 0] = 0
    return values


def test_returns_a_new_float32_array_and_leaves_its_input_alone(normalizer, channel) -> None:
    before = channel.copy()
    result = normalized(normalizer, channel, channel > 0)
    assert result.dtype == np.float32
    assert result.shape == channel.shape
    assert not np.shares_memory(result, channel)
    assert np.array_equal(channel, before)


def test_keeps_the_order_of_intensities(normalizer, channel) -> None:
    result = normalized(normalizer, channel, np.ones(channel.shape, dtype=bool))
    assert np.all(np.diff(result.ravel()[np.argsort(channel, axis=None)]) >= 0)
    assert result.min() < result.max()


@pytest.mark.parametrize("value", [0.0, 7.0, 255.0])
def test_a_constant_image_stays_constant_and_finite(normalizer, channel, value) -> None:
    constant = np.full_like(channel, value)
    result = normalized(normalizer, constant, constant != 0)
    assert np.isfinite(result).all()
    assert np.ptp(result) == 0
    assert np.abs(result).max() < 1000


def test_round_trips_through_json(normalizer) -> None:
    document = normalizer.model_dump(mode="json")
    assert NORMALIZERS.parse(document) == normalizer


def test_its_marks_are_lower_case_and_no_other_has_them(normalizer) -> None:
    others = [NORMALIZERS[kind] for kind in NORMALIZERS if kind != normalizer.kind]
    for mark in normalizer.channel_name_marks:
        assert mark == mark.lower()
        assert all(mark not in other.channel_name_marks for other in others)


def test_the_mask_matters_to_none_that_does_not_ask_for_it(normalizer, channel) -> None:
    if normalizer.needs_mask:
        pytest.skip("it asks for the mask")
    results = [normalized(normalizer, channel, mask) for mask in (channel > 0, channel > 100)]
    assert np.array_equal(*results)
