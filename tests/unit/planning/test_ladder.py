import re
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest

from autoseg.architectures import ARCHITECTURES
from autoseg.planning.ladder import (
    COMPACT,
    LADDER,
    LEAST_STEPS,
    REFERENCE_RECIPE_STEPS,
    narrowed,
)
from autoseg.planning.topology import topology_for

TOPOLOGY = topology_for((1.0, 1.0), (64.0, 64.0))


def network(kind="unet"):
    return ARCHITECTURES[kind].for_topology(TOPOLOGY, in_channels=1, num_classes=2)


def test_no_rung_is_smaller_than_the_one_below():
    for below, above in pairwise(LADDER):
        assert above.features >= below.features
        assert (above.voxels or inf) >= (below.voxels or inf)
        assert (above.features, above.voxels) != (below.features, below.voxels)


def test_wider_networks_and_larger_patches_ask_for_more_steps_each():
    first = [next(rung for rung in LADDER if rung.features == width) for width in (8, 16, 32)]
    larger = [rung for rung in LADDER if rung.voxels is None or rung.voxels > 2**15]
    for rungs in (first, larger):
        assert [rung.fewest_steps for rung in rungs] == sorted(rung.fewest_steps for rung in rungs)


def test_the_ladder_holds_the_compact_width_and_ends_at_the_reference():
    assert COMPACT.features in {rung.features for rung in LADDER}
    assert LADDER[-1].voxels is None
    assert LADDER[0].fewest_steps == LEAST_STEPS
    assert LADDER[-1].fewest_steps < REFERENCE_RECIPE_STEPS


@pytest.mark.parametrize("features", [8, 16, 24, 32])
@pytest.mark.parametrize("kind", ["unet", "residual_encoder_unet", "attention_unet"])
def test_widths_double_from_what_a_rung_says(features, kind):
    widths = narrowed(network(kind), features).features
    assert widths[:3] == (features, 2 * features, 4 * features)


def test_sixteen_features_are_the_compact_variant():
    assert narrowed(network(), 16) == network().compact()


def test_a_network_with_widths_of_its_own_has_two_sizes():
    full = network("unet_2015")
    assert narrowed(full, 32) == full
    assert narrowed(full, 24) == narrowed(full, 8) == full.compact()


def test_the_page_lists_the_rungs():
    page = Path(__file__).parents[3] / "docs" / "pages" / "planning.md"
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| (\d+) \|$", page.read_text("utf-8"), re.MULTILINE)
    assert rows == [
        (
            str(rung.features),
            "the reference's" if rung.voxels is None else f"{rung.voxels:,}".replace(",", " "),
            str(rung.fewest_steps),
        )
        for rung in LADDER
    ]
