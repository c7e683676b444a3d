"""Every registered architecture can be planned for, at the memory that there is."""

import pytest
from extras import network_kinds
from fingerprints import make_fingerprint

from autoseg.architectures import ARCHITECTURES
from autoseg.planning.forecast import Machine, step_seconds
from autoseg.planning.memory import predicted_memory_gib
from autoseg.planning.planner import make_plan

KINDS = pytest.mark.parametrize("kind", network_kinds())
CPU = Machine(accelerator_gib=None, cores=4)
DATASETS = {
    "volumes": make_fingerprint([(120, 320, 300)] * 30, [(2.0, 1.0, 1.0)] * 30),
    "thick_slices": make_fingerprint([(14, 256, 216)] * 30, [(8.0, 1.4, 1.4)] * 30),
    "pictures": make_fingerprint([(512, 700)] * 200, [(1.0, 1.0)] * 200),
}


def plan_for(kind, data, memory_gib, machine):
    return make_plan(
        DATASETS[data], network=ARCHITECTURES[kind], memory_gib=memory_gib, machine=machine
    )


@KINDS
@pytest.mark.parametrize("data", DATASETS)
@pytest.mark.parametrize("memory_gib", [4.0, 8.0, 24.0])
def test_a_plan_fits_the_memory(kind, data, memory_gib):
    plan = plan_for(kind, data, memory_gib, Machine(accelerator_gib=memory_gib, cores=4))
    for configuration in plan.configurations:
        assert configuration.architecture.kind == kind
        assert configuration.topology == configuration.architecture.topology
        assert configuration.topology.num_axes in ARCHITECTURES[kind].memory_references
        # the batch is rounded to the nearest number of patches, as nnU-Net does it
        patches = configuration.batch_size
        least = patches - 0.5 if patches > 2 else patches
        reckoned = predicted_memory_gib(configuration.architecture, patches)
        assert reckoned / patches * least <= memory_gib
        # weights are in no rule of nnU-Net's, and large networks for little memory go beyond it
        assert configuration.predicted_memory_gib <= 1.35 * memory_gib


@pytest.mark.parametrize("data", ["volumes", "thick_slices"])
@pytest.mark.parametrize("accelerator_gib", [8.0, None])
def test_volumes_are_segmented_slice_by_slice_by_a_network_for_planes(data, accelerator_gib):
    plan = plan_for("encoder_unet", data, 8.0, Machine(accelerator_gib=accelerator_gib, cores=4))
    expected = {"2d"} if accelerator_gib else {"2d", "2d_compact"}
    assert {entry.name for entry in plan.configurations} == expected
    (default,) = [entry for entry in plan.decisions if entry.field == "default_configuration"]
    if accelerator_gib:
        assert "encoder_unet works on single planes" in default.reason
    else:
        assert default.value == "2d_compact"


@KINDS
@pytest.mark.parametrize("data", DATASETS)
def test_without_an_accelerator_a_compact_variant_is_planned(kind, data):
    plan = plan_for(kind, data, 8.0, CPU)
    for name in ("2d", "3d_fullres"):
        parents = [entry for entry in plan.configurations if entry.name == name]
        for parent in parents:
            small = plan.configuration(f"{name[:2]}_compact")
            costs = [
                step_seconds(entry.architecture, entry.batch_size, CPU) for entry in (small, parent)
            ]
            assert costs[0] < costs[1]
