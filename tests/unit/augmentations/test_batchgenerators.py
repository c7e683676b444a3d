import inspect
import pickle
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from autoseg.augmentations import AnyAugmentation, PatchContext, Patches, random_generators
from autoseg.augmentations.batchgenerators import (
    MODULES,
    TRANSFORMS,
    Batchgenerators,
    as_tuple,
    draw_scale,
    seeded_global_generators,
)
from autoseg.core.errors import TrainingError

CPU = torch.device("cpu")
SHAPE = (12, 16, 14)
CONTEXT = PatchContext(patch_shape=SHAPE, in_plane_only=False)
ELASTIC = Batchgenerators(
    transform="SpatialTransform_2",
    parameters={"do_rotation": False, "do_scale": False, "deformation_scale": [0.2, 0.25]},
)


def parsed(**fields: object) -> object:
    return TypeAdapter(AnyAugmentation).validate_python({"kind": "batchgenerators", **fields})


def patches(entry: Batchgenerators, context: PatchContext = CONTEXT, count: int = 3) -> Patches:
    shape = entry.loaded_shape(context)
    numbers = np.random.default_rng(0)
    images = torch.from_numpy(numbers.normal(size=(count, 2, *shape)).astype(np.float32))
    return Patches(images, torch.from_numpy(numbers.integers(0, 4, (count, 2, *shape), np.int16)))


def applied(
    entry: Batchgenerators, seed: int = 0, context: PatchContext = CONTEXT, count: int = 3
) -> Patches:
    return entry.apply(patches(entry, context, count), random_generators(seed, CPU), context)


@pytest.mark.parametrize("module", MODULES)
def test_available_transforms_are_classes_of_batchgenerators(module: str) -> None:
    found = import_module(f"batchgenerators.transforms.{module}")
    for name in MODULES[module]:
        assert inspect.isclass(getattr(found, name))
        assert getattr(found, name).__module__ == found.__name__


@pytest.mark.parametrize("name", ["ZoomTransform", "os.system", "__import__", "Compose", ""])
def test_an_unknown_transform_lists_the_available_ones(name: str) -> None:
    with pytest.raises(ValidationError, match=r"works on patches\. Choose one of: ") as caught:
        parsed(transform=name)
    assert all(known in str(caught.value) for known in TRANSFORMS)


def test_an_unknown_parameter_lists_the_known_ones() -> None:
    with pytest.raises(ValidationError, match=r"no parameter gama .* gamma_range, invert_image"):
        parsed(transform="GammaTransform", parameters={"gama": 2})


@pytest.mark.parametrize("name", ["data_key", "p_per_sample"])
def test_parameters_that_autoseg_sets_are_rejected(name: str) -> None:
    with pytest.raises(ValidationError, match=f"no parameter {name} that a recipe can set"):
        parsed(transform="GammaTransform", parameters={name: 1})


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(ValidationError, match="needs the parameters mu, sigma; add them"):
        parsed(transform="BrightnessTransform")


def test_parameters_are_plain_json() -> None:
    with pytest.raises(ValidationError):
        parsed(transform="GammaTransform", parameters={"retain_stats": print})
    assert as_tuple([1, [2.5, "a"], None]) == (1, (2.5, "a"), None)


def test_parameters_reach_the_transform() -> None:
    entry = Batchgenerators(transform="ClipValueRange", parameters={"min": -0.5, "max": 0.25})
    images = applied(entry).images
    assert (float(images.min()), float(images.max())) == (-0.5, 0.25)


def test_a_failing_transform_names_its_parameters() -> None:
    entry = Batchgenerators(transform="MedianFilterTransform", parameters={"filter_size": "wide"})
    with pytest.raises(TrainingError, match=r"12 × 16 × 14 voxels and 2 channels.*'wide'"):
        applied(entry)


def test_an_image_that_would_become_infinite_is_kept() -> None:
    entry = Batchgenerators(
        transform="LocalContrastTransform", parameters={"scale": 1e-3, "loc": [5, 6]}
    )
    before = patches(entry).images
    with np.errstate(all="ignore"):
        assert torch.equal(applied(entry).images, before)


def test_every_patch_is_transformed_by_its_own_seed() -> None:
    entry = Batchgenerators(transform="BrightnessTransform", parameters={"mu": 0, "sigma": 1})
    before = patches(entry).images
    shifts = (applied(entry).images - before).mean(dim=(2, 3, 4)).flatten()
    assert len({round(float(shift), 4) for shift in shifts}) == len(shifts)


def test_images_and_labels_are_deformed_alike_and_labels_stay_labels() -> None:
    shape = ELASTIC.loaded_shape(CONTEXT)
    labels = np.zeros((4, 1, *shape), np.int16)
    labels[:, :, shape[0] // 2 :] = 3
    start = Patches(torch.from_numpy(labels.astype(np.float32)), torch.from_numpy(labels))
    found = ELASTIC.apply(start, random_generators(2, CPU), CONTEXT)
    assert set(found.layers.unique().tolist()) == {0, 3}
    differs = (found.images - found.layers).abs() > 1.6  # linear against nearest: at most a half
    assert differs.float().mean() < 0.01
    straight = torch.from_numpy(labels[:, :, :12, :16, :14])
    assert not torch.equal(found.layers, straight)


def test_a_deformation_of_thick_slices_is_the_same_in_every_slice() -> None:
    context = PatchContext(patch_shape=(4, 24, 24), in_plane_only=True)
    shape = ELASTIC.loaded_shape(context)
    plane = torch.randint(0, 3, shape[1:], generator=torch.Generator().manual_seed(0))
    volume = plane.expand(1, 1, *shape).contiguous()
    start = Patches(volume.float(), volume.to(torch.int16))
    found = ELASTIC.apply(start, random_generators(0, CPU), context)
    for part in (found.images, found.layers):
        assert all(torch.equal(part[:, :, 0], part[:, :, at]) for at in range(4))
    assert len(found.images[0, 0, 0].unique()) > 3


def test_what_is_outside_the_region_gets_value_0_in_images_and_labels() -> None:
    entry = Batchgenerators(
        transform="SpatialTransform",
        parameters={"do_elastic_deform": False, "do_rotation": False, "scale": [3, 3.1]},
    )
    start = Patches(torch.ones(1, 1, *SHAPE), torch.ones(1, 1, *SHAPE, dtype=torch.int16))
    found = entry.apply(start, random_generators(0, CPU), CONTEXT)
    assert found.images[0, 0, 0, 0, 0] == found.layers[0, 0, 0, 0, 0] == 0
    assert found.images[0, 0, 6, 8, 7] == found.layers[0, 0, 6, 8, 7] == 1


def test_threads_that_run_at_the_same_time_get_the_patches_of_one_thread() -> None:
    entries = [
        ELASTIC,
        Batchgenerators(transform="GaussianNoiseTransform"),
        Batchgenerators(transform="RicianNoiseTransform"),
        Batchgenerators(transform="LocalGammaTransform"),
    ]
    jobs = [(entry, seed) for seed in range(6) for entry in entries]
    expected = [applied(*job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda job: applied(*job), jobs))
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.layers, other.layers)


def test_the_global_generators_are_seeded_in_a_block_and_restored_after_it() -> None:
    states = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    drawn = []
    for _ in range(2):
        with seeded_global_generators(7):
            drawn.append((np.random.normal(), random.random()))  # noqa: NPY002
    assert drawn[0] == drawn[1]
    with pytest.raises(KeyError), seeded_global_generators(8):
        raise KeyError
    assert np.array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
    assert random.getstate() == states[1]


def test_local_gradients_are_between_a_sixth_of_an_edge_and_the_edge() -> None:
    with seeded_global_generators(0):
        drawn = [draw_scale((60, 120), axis=1) for _ in range(400)]
    assert 20 <= min(drawn) < 22
    assert 115 < max(drawn) <= 120
    assert np.mean(np.array(drawn) < np.sqrt(20 * 120)) == pytest.approx(0.5, abs=0.07)


def test_rectangles_have_the_mean_of_what_they_cover() -> None:
    entry = Batchgenerators(
        transform="BlankRectangleTransform",
        parameters={"num_rectangles": [1, 1], "p_per_channel": 1},
    )
    before, after = patches(entry).images, applied(entry).images
    for one, other in zip(before.flatten(0, 1), after.flatten(0, 1), strict=True):
        box = torch.nonzero(one != other)
        extent = box.max(dim=0).values - box.min(dim=0).values + 1
        assert all(
            edge // 10 <= size <= edge // 3 for edge, size in zip(SHAPE, extent, strict=True)
        )
        values = other[one != other]
        assert values.unique().numel() == 1
        assert float(values[0]) == pytest.approx(float(one[one != other].mean()), abs=1e-5)


def test_it_travels_to_worker_processes() -> None:
    again = pickle.loads(pickle.dumps(ELASTIC))
    assert again == ELASTIC
    assert torch.equal(applied(again).images, applied(ELASTIC).images)
    assert isinstance(again.parameters, Mapping)


@pytest.mark.parametrize("transform", ["Rot90Transform", "TransposeAxesTransform"])
@pytest.mark.parametrize("shape", [(16, 16), (12, 16, 12)])
def test_axes_with_equal_edges_are_exchanged_by_default(
    transform: str, shape: tuple[int, ...]
) -> None:
    entry = Batchgenerators(transform=transform)
    context = PatchContext(patch_shape=shape, in_plane_only=False)
    before, after = patches(entry, context), applied(entry, context=context)
    assert after.images.shape == before.images.shape
    assert not torch.equal(after.images, before.images)


def test_a_patch_is_kept_if_its_result_is_not_finite() -> None:
    entry = Batchgenerators(transform="MirrorTransform")
    given = patches(entry)
    given.images[0, 0, 0, 0, 0] = torch.nan
    for seed in range(8):
        result = entry.apply(given, random_generators(seed, CPU), CONTEXT)
        torch.testing.assert_close(result.images[0], given.images[0], equal_nan=True)
        assert torch.equal(result.layers[0], given.layers[0])
