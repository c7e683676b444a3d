from math import inf, prod

import pytest

from autoseg.architectures import ARCHITECTURES
from autoseg.planning.compact import WIDTHS, narrowed, sizes
from autoseg.planning.memory import Grid
from autoseg.planning.topology import topology_for

TOPOLOGY = topology_for((1.0, 1.0), (64.0, 64.0))


def network(kind="unet"):
    return ARCHITECTURES[kind].for_topology(TOPOLOGY, in_channels=1, num_classes=2)


def test_patches_and_widths_shrink_from_the_references_size():
    grid = Grid(spacing=(1.0, 1.0), median_shape=(600.0, 600.0))
    full = ARCHITECTURES["unet"].for_topology(
        topology_for(grid.spacing, grid.median_shape), in_channels=1, num_classes=2
    )
    found = sizes(full, 8, grid)
    assert {architecture.features[0] for architecture, _ in found} == set(WIDTHS)
    assert max(WIDTHS) == 32
    for (architecture, batch), preset in found.items():
        voxels = prod(architecture.topology.patch_shape)
        assert preset.voxels is None or voxels <= preset.voxels
        assert batch == 2 or batch * voxels <= (preset.voxels or inf)
    assert found[full, 8].voxels is None


@pytest.mark.parametrize("features", [8, 16, 24, 32])
@pytest.mark.parametrize("kind", ["unet", "residual_encoder_unet", "attention_unet"])
def test_widths_double_from_those_of_the_preset(features, kind):
    widths = narrowed(network(kind), features).features
    assert widths[:3] == (features, 2 * features, 4 * features)


def test_sixteen_features_are_the_compact_variant():
    assert narrowed(network(), 16) == network().compact()


def test_a_network_with_widths_of_its_own_has_two_sizes():
    full = network("unet_2015")
    assert narrowed(full, 32) == full
    assert narrowed(full, 24) == narrowed(full, 8) == full.compact()
