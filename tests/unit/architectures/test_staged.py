import pytest
from pydantic import ValidationError

from autoseg.architectures import ARCHITECTURES, Topology
from autoseg.architectures.staged import StagedArchitecture

STAGED = [kind for kind in ARCHITECTURES if issubclass(ARCHITECTURES[kind], StagedArchitecture)]


def deep(num_axes):
    return Topology(
        patch_shape=(64,) * num_axes,
        strides=((1,) * num_axes, *((2,) * num_axes,) * 5),
        kernels=((3,) * num_axes,) * 6,
    )


@pytest.mark.parametrize("kind", STAGED)
@pytest.mark.parametrize("num_axes", [2, 3])
def test_every_stage_is_twice_as_wide_as_the_one_above_until_the_cap(kind, num_axes):
    found = ARCHITECTURES[kind].for_topology(deep(num_axes), in_channels=1, num_classes=2)
    first, cap = found.features[0], {2: 512, 3: 320}[num_axes]
    uncapped = tuple(first * 2**stage for stage in range(len(found.topology.strides)))
    capped = tuple(min(width, cap) for width in uncapped)
    assert found.features == (capped if found.is_capped else uncapped)
    assert first == found.first_features[num_axes]


@pytest.mark.parametrize(
    ("kind", "stages"), [("attention_unet", 6), ("unet_2015", 5), ("unet_3d_2016", 4)]
)
def test_the_valid_networks_use_as_many_stages_as_published(kind, stages):
    found = ARCHITECTURES[kind].for_topology(deep(2), in_channels=1, num_classes=2)
    assert len(found.topology.strides) == len(found.features) == stages


@pytest.mark.parametrize("kind", STAGED)
def test_a_compact_network_begins_narrower_and_doubles_as_well(kind):
    full = ARCHITECTURES[kind].for_topology(deep(2), in_channels=1, num_classes=2)
    small = full.compact()
    assert small.features[0] == full.compact_first_features < full.features[0]
    assert small.features[1] == 2 * small.features[0]
    assert small == full.model_copy(update={"features": small.features})


@pytest.mark.parametrize("kind", STAGED)
def test_a_width_too_few_is_named(kind):
    found = ARCHITECTURES[kind].for_topology(deep(2), in_channels=1, num_classes=2)
    stages = len(found.features)
    edited = found.model_dump() | {"features": found.features[1:]}
    with pytest.raises(ValidationError, match=f"needs {stages} features.*; found {stages - 1} fea"):
        ARCHITECTURES[kind].model_validate(edited)
