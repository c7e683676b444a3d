"""The sliding window equals a plain one over the whole array, with less memory."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from copies import META, Copies
from fakes import Edges, Pointwise, ensemble_of, prepared, stitched
from torch import nn

from autoseg.architectures import NetworkOutput
from autoseg.core.errors import CaseError
from autoseg.inference import blending, sliding_window, tile_sums
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.sliding_window import predict_slabs
from autoseg.inference.tile_sums import AccumulatorShape, TileSums
from autoseg.inference.tiling import axis_tiles, importance_curve, tile_starts


def plain_sliding_window(ensemble, voxels):
    """Accumulate all tiles and all weights in arrays of the whole size."""
    patch = ensemble.patch_shape
    total = np.zeros((3, *voxels.shape[1:]))
    weight = np.zeros(voxels.shape[1:])
    curves = [importance_curve(length).astype(float) for length in patch]
    importance = curves[0]
    for curve in curves[1:]:
        importance = importance[..., None] * curve
    for start in product(*map(tile_starts, voxels.shape[1:], patch)):
        box = tuple(slice(at, at + length) for at, length in zip(start, patch, strict=True))
        tile = torch.from_numpy(np.ascontiguousarray(voxels[(slice(None), *box)]))[None]
        total[(slice(None), *box)] += ensemble.mean_outputs(tile)[0].numpy() * importance
        weight[box] += importance
    return total / weight


@pytest.fixture(params=[False, True], ids=["one strip", "strips"])
def strips(request, monkeypatch):
    """Test a single strip, and one strip per row of tiles as for large volumes."""
    if request.param:
        monkeypatch.setattr(tile_sums, "STRIP_BYTES", 0)
    return request.param


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize("tiles_per_batch", [1, 3, 50])
def test_slabs_of_a_volume_equal_the_plain_sliding_window(tiles_per_batch):
    image = prepared((21, 14, 17))
    ensemble = ensemble_of(Edges(3), (8, 6, 10))
    found = stitched(predict_slabs(ensemble, image, tiles_per_batch=tiles_per_batch))
    expected = plain_sliding_window(ensemble, image.voxels)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_picture_is_one_slab_of_one_plane():
    image = prepared((31, 26))
    ensemble = ensemble_of(Edges(2), (8, 12))
    (slab,) = predict_slabs(ensemble, image, tiles_per_batch=4)
    assert slab.logits.shape == (3, 1, 31, 26)
    expected = plain_sliding_window(ensemble, image.voxels)
    np.testing.assert_allclose(slab.logits[:, 0], expected, atol=1e-5)


@pytest.mark.usefixtures("strips")
def test_a_2d_network_predicts_each_slice_of_a_volume_by_itself():
    image = prepared((5, 20, 16))
    ensemble = ensemble_of(Edges(2), (8, 8))
    found = stitched(predict_slabs(ensemble, image, tiles_per_batch=7))
    for plane in range(5):
        expected = plain_sliding_window(ensemble, image.voxels[:, plane])
        np.testing.assert_allclose(found[:, plane], expected, atol=1e-5)


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize("shape", [(3, 20, 16), (9, 5, 16), (3, 4, 5), (1, 20, 16)])
def test_an_image_smaller_than_the_patch_keeps_its_size(shape):
    image = prepared(shape)
    ensemble = ensemble_of(Pointwise(), (8, 8, 8))
    found = stitched(predict_slabs(ensemble, image, tiles_per_batch=2))
    expected = np.stack([image.voxels[0], -image.voxels[0], image.voxels[1]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


class Valid(nn.Module):
    """A fixed random convolution without padding, whose output is smaller than its input."""

    def __init__(self, axes):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(2, 3, 5) if axes == 2 else nn.Conv3d(2, 3, (3, 5, 5))

    def forward(self, image):
        return NetworkOutput(logits=self.layer(image))


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize("shape", [(21, 14, 17), (5, 14, 3), (1, 1, 1)])
def test_a_network_with_a_margin_sees_the_image_mirrored_beyond_its_border(shape):
    image, network = prepared(shape), Valid(3)
    ensemble = ensemble_of(network, (8, 6, 10), margin=(1, 2, 2))
    found = stitched(predict_slabs(ensemble, image, tiles_per_batch=3))
    around = np.pad(image.voxels, [(0, 0), (1, 1), (2, 2), (2, 2)], mode="reflect")
    with torch.inference_mode():
        expected = network.layer(torch.from_numpy(around)[None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("strips")
def test_a_2d_network_with_a_margin_stays_within_its_plane():
    image, network = prepared((3, 14, 9)), Valid(2)
    ensemble = ensemble_of(network, (8, 8), margin=(2, 2))
    found = stitched(predict_slabs(ensemble, image, tiles_per_batch=3))
    around = np.pad(image.voxels, [(0, 0), (0, 0), (2, 2), (2, 2)], mode="reflect")
    with torch.inference_mode():
        planes = torch.from_numpy(around).transpose(0, 1)
        expected = network.layer(planes).transpose(0, 1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_more_planes_than_one_patch_has_are_ever_held():
    """Each slab is yielded before any tile more than a patch after it is predicted."""
    looked_at = []

    class Watching(Pointwise):
        def forward(self, image):
            looked_at.append(float(image[0, 0].max()))
            return super().forward(image)

    image = prepared((64, 4, 4))
    image.voxels[:] = np.arange(64, dtype=np.float32)[:, None, None]
    for slab in predict_slabs(ensemble_of(Watching(), (8, 4, 4)), image, tiles_per_batch=1):
        assert max(looked_at) - slab.start <= 2 * 8
    assert max(looked_at) == 63


@pytest.mark.parametrize("blending_way", ["exact", "nnunet"])
@pytest.mark.parametrize("shape", [(21, 33, 17), (5, 33, 9), (20, 33, 10)])
def test_strips_give_the_same_bits(monkeypatch, shape, blending_way):
    image = prepared(shape)
    ensemble = ensemble_of(Edges(3), (8, 6, 10), blending=blending_way)
    whole = list(predict_slabs(ensemble, image, tiles_per_batch=3))
    monkeypatch.setattr(tile_sums, "STRIP_BYTES", 0)
    parts = list(predict_slabs(ensemble, image, tiles_per_batch=3))
    assert {slab.row for slab in whole} == {0}
    assert len({slab.row for slab in parts}) == 11
    np.testing.assert_array_equal(stitched(parts), stitched(whole))


def test_a_large_picture_is_held_strip_by_strip(monkeypatch):
    monkeypatch.setattr(tile_sums, "STRIP_BYTES", 0)
    image = prepared((200, 26))
    ensemble = ensemble_of(Edges(2), (8, 12))
    slabs = list(predict_slabs(ensemble, image, tiles_per_batch=4))
    assert max(slab.logits.shape[2] for slab in slabs) <= 8
    expected = plain_sliding_window(ensemble, image.voxels)
    np.testing.assert_allclose(stitched(slabs)[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "shape", [(40, 64, 12), (40, 61, 12), (8, 64, 12), (1, 64, 12), (40, 6, 12)]
)
def test_as_much_is_held_as_was_said_and_no_more(monkeypatch, shape):
    monkeypatch.setattr(tile_sums, "STRIP_BYTES", 0)
    most = []
    at_full_height = TileSums.at_full_height

    def watched(sums, strip):
        found = at_full_height(sums, strip)
        most.append(sum(part[0].numel() for part in sums.by_strip.values()))
        return found

    monkeypatch.setattr(TileSums, "at_full_height", watched)
    image, ensemble, patch = prepared(shape), ensemble_of(Edges(3), (8, 8, 12)), (8, 8, 12)
    list(predict_slabs(ensemble, image, tiles_per_batch=1))
    framed = tuple(map(max, shape, patch))
    axes = tuple(axis_tiles(*pair) for pair in zip(framed, patch, strict=True))
    held = AccumulatorShape(framed, patch, axes)
    assert max(most) == held.max_voxels(held.strips(4))


def test_tiles_far_apart_leave_the_planes_between_them_as_they_are():
    """Test overlaps below, at and above half of the patch."""
    image, ensemble = prepared((27, 8, 8)), ensemble_of(Edges(3), (8, 8, 8))
    for step in (0.9, 0.5, 0.2):
        found = stitched(predict_slabs(replace(ensemble, step=step), image, tiles_per_batch=2))
        pieces = [image.voxels[:, :8], image.voxels[:, -8:]]
        first, last = (
            ensemble.mean_outputs(torch.from_numpy(np.ascontiguousarray(piece))[None])[0].numpy()
            for piece in pieces
        )
        np.testing.assert_allclose(found[:, 0], first[:, 0], atol=1e-5)
        np.testing.assert_allclose(found[:, -1], last[:, -1], atol=1e-5)


def test_large_slabs_are_handed_over_in_pieces(monkeypatch):
    monkeypatch.setattr(blending, "SLAB_BYTES", 2 * 4 * 3 * 6 * 6)
    slabs = list(
        predict_slabs(ensemble_of(Pointwise(), (8, 6, 6)), prepared((20, 6, 6)), tiles_per_batch=2)
    )
    assert max(slab.logits.shape[1] for slab in slabs) == 2
    assert stitched(slabs).shape == (3, 20, 6, 6)


def test_mirroring_averages_over_all_flips_of_its_axes():
    tiles = torch.randn(2, 2, 6, 8)
    network = Edges(2).eval()
    with torch.no_grad():
        expected = sum(
            network(tiles.flip(axes)).logits.flip(axes) for axes in ([], [2], [3], [2, 3])
        )
    found = ensemble_of(network, (6, 8), mirror_axes=(0, 1)).mean_outputs(tiles)
    torch.testing.assert_close(found, expected / 4)


def test_an_ensemble_averages_logits_over_its_networks():
    tiles = torch.randn(1, 2, 6, 8)
    first, second = Edges(2, seed=1).eval(), Edges(2, seed=2).eval()
    pair = Ensemble(
        networks=(first, second),
        device=torch.device("cpu"),
        dtype=torch.float32,
        patch_shape=(6, 8),
        num_classes=3,
    )
    with torch.no_grad():
        expected = (first(tiles).logits + second(tiles).logits) / 2
    torch.testing.assert_close(pair.mean_outputs(tiles), expected)


def test_without_an_accelerator_large_tiles_go_one_by_one(monkeypatch):
    sizes = []

    class Watching(Pointwise):
        def forward(self, image):
            sizes.append(len(image))
            return super().forward(image)

    ensemble = ensemble_of(Watching(), (8, 8, 8))
    monkeypatch.setattr(sliding_window, "MAX_OUTPUT_BYTES", 5 * 4 * 3 * 8**3 // 2)
    list(predict_slabs(ensemble, prepared((16, 16, 8)), tiles_per_batch=4))
    assert sizes == [2, 2, 2, 2, 1]
    monkeypatch.setattr(sliding_window, "MAX_OUTPUT_BYTES", 1)
    list(predict_slabs(ensemble, prepared((16, 8, 8)), tiles_per_batch=4))
    assert sizes[5:] == [1, 1, 1]


def test_other_errors_of_the_network_are_not_swallowed():
    class Broken(nn.Module):
        def forward(self, image):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        list(
            predict_slabs(ensemble_of(Broken(), (8, 8, 8)), prepared((8, 8, 8)), tiles_per_batch=2)
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_an_error(bad):
    image = prepared((8, 8, 8))
    image.voxels[0, 4, 4, 4] = bad
    with pytest.raises(CaseError, match="NaN or infinite"):
        list(predict_slabs(ensemble_of(Pointwise(), (8, 8, 8)), image, tiles_per_batch=2))


def test_tiles_reach_a_card_without_a_wait():
    ensemble = replace(ensemble_of(Pointwise(), (6, 8)), device=META)
    with Copies() as copies:
        outputs = ensemble.mean_outputs(torch.zeros(2, 2, 6, 8))
    assert outputs.device == META
    assert copies.unsent == 0
