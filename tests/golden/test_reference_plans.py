"""Plans equal those that nnU-Net 2.8.1 made of the same fingerprints."""

import json
from pathlib import Path

import pytest
from fingerprints import make_fingerprint

from autoseg.architectures import ARCHITECTURES
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan

NAMES = (
    *("acdc_like", "em_like", "heart_like", "hepvessel_like", "histo_2d", "kits_like"),
    *("liver_like", "lung_like", "tiny_2d", "totalseg_like"),
    *(f"random_{number:02d}" for number in range(0, 13, 2)),
)

NAMES_OF_ALL_SIZES = (
    *("acdc_like", "heart_like", "hepvessel_like", "kits_like", "liver_like", "lung_like"),
    "totalseg_like",
)

PLANNERS = {
    "default_8": ("unet", 8.0, NAMES),
    "default_24": ("unet", 24.0, NAMES_OF_ALL_SIZES),
    "resenc_m": ("residual_encoder_unet", 8.0, NAMES_OF_ALL_SIZES),
    "resenc_l": ("residual_encoder_unet", 24.0, NAMES),
}
"""Of each reference planner: the network, the memory in GiB, and the fingerprints it planned."""

KINDS = {
    "CTNormalization": "ct",
    "ZScoreNormalization": "zscore",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "zero_one",
    "RGBTo01Normalization": "rgb",
}


@pytest.mark.real
@pytest.mark.parametrize("accelerator_gib", [8.0, None], ids=["with_card", "without_card"])
@pytest.mark.parametrize(
    ("planner", "name"),
    [(planner, name) for planner, (_, _, names) in PLANNERS.items() for name in names],
)
def test_a_plan_equals_the_reference(planner, name, accelerator_gib, real_data: Path):
    golden = json.loads((real_data / "golden_plans" / f"{name}.json").read_text())
    expected = golden["plans"][planner]
    network, memory_gib, _ = PLANNERS[planner]
    plan = make_plan(
        fingerprint_of(golden),
        network=ARCHITECTURES[network],
        memory_gib=memory_gib,
        machine=Machine(accelerator_gib=accelerator_gib, cores=2),
    )
    assert list(plan.axis_order) == expected["transpose_forward"]
    references = {
        configuration.name: comparable(plan, configuration)
        for configuration in plan.configurations
        if not configuration.name.endswith("_compact")
    }
    assert references == {
        configuration: expected_values(values)
        for configuration, values in inherited(expected["configurations"]).items()
    }


@pytest.mark.real
def test_all_reference_plans_are_compared(real_data: Path):
    found = {
        (planner, path.stem)
        for path in golden_files(real_data)
        for planner in json.loads(path.read_text())["plans"]
    }
    compared = {(planner, name) for planner, (_, _, names) in PLANNERS.items() for name in names}
    assert found == compared


def golden_files(real_data: Path):
    return (real_data / "golden_plans").glob("*.json")


def fingerprint_of(golden):
    classes = golden["num_classes"]
    return make_fingerprint(
        golden["shapes_after_crop"],
        golden["spacings"],
        channel_names=golden["channel_names"],
        class_shares=(1 / classes,) * classes,
        left_by_crop=golden["median_relative_size_after_cropping"],
    )


def inherited(configurations):
    """Return the configurations, each with the values that it inherits from another."""
    return {
        name: {"previous_stage": None, **configurations.get(values.pop("inherits_from", ""), {})}
        | values
        for name, values in configurations.items()
    }


def comparable(plan, configuration):
    architecture = configuration.architecture
    channels = len(plan.channel_names) + plan.num_cascade_channels(configuration)
    assert architecture.in_channels == channels
    is_plain = architecture.kind == "unet"
    blocks = architecture.encoder_convolutions if is_plain else architecture.encoder_blocks
    return {
        "spacing": list(configuration.spacing),
        "median_shape": list(configuration.median_shape),
        "patch_size": list(configuration.topology.patch_shape),
        "batch_size": configuration.batch_size,
        "normalization": [normalizer.kind for normalizer in configuration.normalizers],
        "use_mask_for_norm": [
            getattr(normalizer, "masked", False) for normalizer in configuration.normalizers
        ],
        "strides": [list(stride) for stride in configuration.topology.strides],
        "kernel_sizes": [list(kernel) for kernel in configuration.topology.kernels],
        "features": list(architecture.features),
        "blocks": list(blocks),
        "batch_dice": configuration.loss.pool == "batch",
        "previous_stage": configuration.previous_stage,
    }


def expected_values(values):
    return {**values, "normalization": [KINDS[name] for name in values["normalization"]]}
