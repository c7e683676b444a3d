import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from autoseg.augmentations.base import PatchContext, Patches, draw_factors, random_generators
from autoseg.augmentations.brightness import Brightness
from autoseg.augmentations.contrast import Contrast
from autoseg.augmentations.gamma import Gamma
from autoseg.augmentations.gaussian_blur import GaussianBlur
from autoseg.augmentations.gaussian_noise import GaussianNoise
from autoseg.augmentations.low_resolution import LowResolution

SHAPE = (18, 22, 20)
CONTEXT = PatchContext(patch_shape=SHAPE, in_plane_only=False)
CPU = torch.device("cpu")


def images(count: int = 4, channels: int = 2) -> torch.Tensor:
    random = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(random.normal(size=(count, channels, *SHAPE)), (0, 0, 1, 1, 1))
    return torch.from_numpy(smooth.astype(np.float32))


def changed(entry, before: torch.Tensor | None = None, context: PatchContext = CONTEXT):
    given = (images() if before is None else before).clone()
    layers = torch.zeros(len(given), 1, *given.shape[2:], dtype=torch.int16)
    return entry.apply(Patches(given, layers), random_generators(3, CPU), context).images


def per_channel(values: torch.Tensor) -> list[np.ndarray]:
    return list(values.flatten(0, 1).numpy())


def test_brightness_has_a_factor_per_channel() -> None:
    ratios = changed(Brightness(factor=(0.5, 2.0))) / images()
    assert ratios.std(dim=(2, 3, 4)).max() < 1e-5
    found = ratios.mean(dim=(2, 3, 4)).flatten()
    assert len(found.unique()) == 8
    assert 0.5 <= found.min() < 1 < found.max() <= 2


def test_contrast_keeps_mean_order_and_range() -> None:
    for before, after in zip(
        per_channel(images()), per_channel(changed(Contrast(factor=(0.5, 0.9)))), strict=True
    ):
        factor = np.polyfit(before.ravel(), after.ravel(), 1)[0]
        assert 0.5 <= factor <= 0.9
        assert after.mean() == pytest.approx(before.mean(), abs=1e-4)
    for before, after in zip(
        per_channel(images()), per_channel(changed(Contrast(factor=(1.5, 2.0)))), strict=True
    ):
        assert before.min() <= after.min()
        assert after.max() <= before.max()
        assert after.std() > 1.2 * before.std()


@pytest.mark.parametrize("inverted", [False, True])
def test_gamma_keeps_mean_and_deviation_and_is_a_power_between(inverted: bool) -> None:
    sign = -1 if inverted else 1
    entry = Gamma(gamma=(2.0, 2.0), inverted=inverted)
    for before, after in zip(per_channel(images()), per_channel(changed(entry)), strict=True):
        assert after.mean() == pytest.approx(before.mean(), abs=1e-4)
        assert after.std() == pytest.approx(before.std(), rel=1e-3)
        given, found = sign * before, sign * after
        squared = ((given - given.min()) / np.ptp(given)) ** 2
        scaled = (squared - squared.mean()) / squared.std() * given.std() + given.mean()
        np.testing.assert_allclose(found, scaled, atol=1e-4)


def test_noise_has_one_level_per_patch() -> None:
    noise = changed(GaussianNoise(deviation=(0.05, 0.3))) - images()
    levels = noise.std(dim=(2, 3, 4))
    assert levels.min() > 0.04
    assert levels.max() < 0.32
    assert (levels[:, 0] - levels[:, 1]).abs().max() < 0.01
    assert abs(float(noise.mean())) < 0.01


def test_blur_is_that_of_scipy() -> None:
    entry = GaussianBlur(sigma=(0.8, 0.8), channel_probability=1.0)
    expected = ndimage.gaussian_filter(images().numpy(), (0, 0, 0.8, 0.8, 0.8), mode="nearest")
    np.testing.assert_allclose(changed(entry).numpy(), expected, atol=2e-5)


def test_every_channel_and_axis_has_its_own_blur() -> None:
    point = torch.zeros(2, 2, *SHAPE)
    point[:, :, 9, 11, 10] = 1
    found = changed(GaussianBlur(sigma=(0.5, 1.5), channel_probability=1.0), point)
    assert found.sum(dim=(2, 3, 4)).numpy() == pytest.approx(1, abs=1e-4)
    widths = [
        tuple(round(float(one[index]), 4) for index in ((8, 11, 10), (9, 10, 10), (9, 11, 9)))
        for one in found.flatten(0, 1)
    ]
    assert len(set(sum(widths, ()))) == 12


def test_a_share_of_the_channels_is_blurred() -> None:
    entry = GaussianBlur(sigma=(1.0, 1.0), channel_probability=0.5)
    many = images(count=32)
    is_changed = (changed(entry, many) != many).flatten(2).any(dim=2)
    assert 0.3 < is_changed.float().mean() < 0.7


def test_low_resolution_is_nearest_down_and_linear_up() -> None:
    entry = LowResolution(scale=(0.5, 0.5), channel_probability=1.0)
    down = F.interpolate(images(), (9, 11, 10), mode="nearest-exact")
    expected = F.interpolate(down, SHAPE, mode="trilinear")
    assert torch.equal(changed(entry), expected)


def test_low_resolution_spares_the_coarse_axis() -> None:
    context = CONTEXT._replace(in_plane_only=True)
    ramp = torch.arange(18.0).view(1, 1, 18, 1, 1).expand(2, 1, *SHAPE).contiguous()
    entry = LowResolution(scale=(0.3, 0.3), channel_probability=1.0)
    assert torch.allclose(changed(entry, ramp, context), ramp, atol=1e-5)


@pytest.mark.parametrize(
    ("limits", "low", "high"),
    [((0.7, 1.5), 0.7, 1.5), ((0.5, 0.9), 0.5, 0.9), ((2.0, 3.0), 2.0, 3.0)],
)
def test_factors_stay_within_their_limits(limits, low: float, high: float) -> None:
    found = draw_factors(np.random.default_rng(0), limits, torch.zeros(2000, 1, 1)).numpy()
    assert low <= found.min()
    assert found.max() <= high
    if low < 1 < high:
        assert np.mean(found < 1) == pytest.approx(0.5, abs=0.05)


def test_every_patch_has_its_own_noise_level() -> None:
    noise = changed(GaussianNoise(deviation=(0.0, 0.3)), images(8)) - images(8)
    assert len({round(float(level), 2) for level in noise.std(dim=(1, 2, 3, 4))}) > 4
