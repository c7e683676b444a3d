import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.augmentations.base import PatchContext, Patches, random_generators
from autoseg.augmentations.mirroring import Mirroring
from autoseg.augmentations.spatial import Spatial, resample_layers, rotation_matrix, sampling_grid

CPU = torch.device("cpu")
PLANE = PatchContext(patch_shape=(16, 20), in_plane_only=False)
VOLUME = PatchContext(patch_shape=(12, 16, 14), in_plane_only=False)
FLAT = PatchContext(patch_shape=(4, 16, 20), in_plane_only=True)


def smooth(shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=shape)
    return ndimage.gaussian_filter(noise, 2).astype(np.float32)


@pytest.mark.parametrize("angles", [(0.4, 0.0), (0.3, -0.2, 0.5)])
def test_voxels_come_from_where_the_matrix_says(angles: tuple[float, ...]) -> None:
    loaded, shape = (30, 34, 32)[-len(angles) :], (12, 16, 14)[-len(angles) :]
    matrix = rotation_matrix(np.array(angles)) * 1.2
    image = smooth(loaded)
    grid = sampling_grid(matrix[None], loaded, shape, CPU)
    found = torch.nn.functional.grid_sample(
        torch.from_numpy(image)[None, None], grid, align_corners=False
    )[0, 0]
    middle = (np.array(loaded) - 1) / 2 - matrix @ ((np.array(shape) - 1) / 2)
    expected = ndimage.affine_transform(image, matrix, middle, output_shape=shape, order=1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_rotations_keep_lengths() -> None:
    for angles in ((0.3, 0.1), (1.0, -0.5, 0.2)):
        matrix = rotation_matrix(np.array(angles))
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(angles)), atol=1e-12)


@pytest.mark.parametrize("context", [PLANE, VOLUME, FLAT], ids=["2d", "3d", "flat"])
def test_labels_move_with_the_image(context: PatchContext) -> None:
    entry = Spatial()
    shape = entry.loaded_shape(context)
    field = smooth((6, *shape))
    labels = torch.from_numpy((field > 0).astype(np.int16))[:, None]
    images = labels.float()
    moved = entry.apply(Patches(images, labels), random_generators(5, CPU), context)
    assert torch.equal(moved.layers, (moved.images > 0.5).to(torch.int16))


@pytest.mark.parametrize("num_values", [2, 3, 9, 20])
def test_the_heaviest_label_wins(num_values: int) -> None:
    random = np.random.default_rng(2)
    cells = random.integers(0, num_values, (2, 1, 8, 8)).repeat(4, 2).repeat(4, 3)
    layers = torch.from_numpy(cells.astype(np.int16))
    grid = sampling_grid(
        rotation_matrix(np.array([0.5, 0]))[None].repeat(2, 0), (32, 32), (20, 20), CPU
    )
    members = torch.stack([layers[:, 0] == value for value in range(num_values)], dim=1).float()
    weights = torch.nn.functional.grid_sample(members, grid, align_corners=False)
    best = weights.max(dim=1).values
    found = resample_layers(layers, grid)
    chosen = weights.gather(1, found.long())[:, 0]
    assert torch.allclose(chosen, best, atol=1e-5)


def test_outside_the_region_there_is_nothing() -> None:
    layers = torch.ones(1, 1, 10, 10, dtype=torch.int16)
    grid = sampling_grid(2 * np.eye(2)[None], (10, 10), (10, 10), CPU)
    found = resample_layers(layers, grid)[0, 0]
    assert found[2:8, 2:8].sum() > 0
    assert found[0].sum() == found[:, 0].sum() == found[-1].sum() == found[:, -1].sum() == 0


def test_every_patch_is_turned_or_scaled_and_as_often_as_planned() -> None:
    entry = Spatial(rotation_probability=0.2, scaling_probability=0.2)
    matrices = entry.matrices(np.random.default_rng(0), 3000, PLANE)
    scales = np.sqrt(np.linalg.det(matrices))
    is_scaled = np.abs(scales - 1) > 1e-9
    is_turned = np.abs(matrices[:, 0, 1]) > 1e-9
    assert (is_scaled | is_turned).all()
    for share in (is_scaled.mean(), is_turned.mean()):
        assert share == pytest.approx(0.2 / 0.36, abs=0.04)
    assert entry.scaling[0] <= scales.min()
    assert scales.max() <= entry.scaling[1]


def test_flat_patches_keep_their_planes() -> None:
    entry = Spatial()
    shape = entry.loaded_shape(FLAT)
    planes = torch.arange(1.0, 5.0).view(1, 1, 4, 1, 1).expand(3, 2, *shape).contiguous()
    layers = planes[:, :1].to(torch.int16)
    moved = entry.apply(Patches(planes, layers), random_generators(0, CPU), FLAT)
    for plane in range(4):
        assert set(moved.layers[:, :, plane].unique().tolist()) <= {0, plane + 1}
        assert moved.images[:, :, plane].max() == pytest.approx(plane + 1, abs=1e-5)


def test_half_of_the_patches_are_mirrored_along_each_axis() -> None:
    ramp = torch.arange(12 * 16 * 14.0).view(1, 1, *VOLUME.patch_shape).repeat(200, 1, 1, 1, 1)
    layers = torch.zeros(200, 1, *VOLUME.patch_shape, dtype=torch.int16)
    layers[:, :, 0, 0, 0] = 1
    moved = Mirroring(axes=(0, 2)).apply(Patches(ramp, layers), random_generators(1, CPU), VOLUME)
    corners = {(z, y, x): 0 for z in (0, -1) for y in (0, -1) for x in (0, -1)}
    for corner in corners:
        at = (slice(None), 0, *corner)
        corners[corner] = int(moved.layers[at].sum())
        assert torch.equal(moved.images[at] == 0, moved.layers[at] == 1)
    assert corners[0, -1, 0] == corners[-1, -1, -1] == 0
    assert all(30 < corners[z, 0, x] < 70 for z in (0, -1) for x in (0, -1))


@pytest.mark.parametrize(
    ("shape", "flat", "degrees"),
    [
        ((64, 64), False, 180.0),
        ((64, 96), False, 180.0),  # 1.5 times is not elongated yet
        ((64, 97), False, 15.0),
        ((97, 64), False, 15.0),
        ((64, 64, 64), False, 30.0),
        ((16, 64, 64), True, 180.0),
    ],
)
def test_patches_are_turned_as_far_as_their_shape_allows(shape, flat, degrees) -> None:
    context = PatchContext(patch_shape=shape, in_plane_only=flat)
    entry = Spatial(rotation_probability=1.0, scaling_probability=0.0)
    assert entry.max_degrees(context) == degrees
    matrices = entry.matrices(np.random.default_rng(0), 2000, context)
    if len(shape) == 2 or flat:
        found = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
        assert 0.98 * degrees < np.abs(found).max() <= degrees
        assert abs(found.mean()) < 0.1 * degrees


def test_half_of_the_scalings_enlarge_up_to_the_limits() -> None:
    entry = Spatial(rotation_probability=0.0, scaling_probability=1.0)
    context = PatchContext(patch_shape=(16, 20), in_plane_only=False)
    scales = np.sqrt(np.linalg.det(entry.matrices(np.random.default_rng(0), 2000, context)))
    assert scales.min() == pytest.approx(0.7, abs=0.01)
    assert scales.max() == pytest.approx(1.4, abs=0.01)
