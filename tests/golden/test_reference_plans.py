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

NAMES_AT_24_GIB = (
    *("acdc_like", "heart_like", "hepvessel_like", "kits_like", "liver_like", "lung_like"),
    "totalseg_like",
)

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
    ("name", "memory_gib"),
    [*((name, 8) for name in NAMES), *((name, 24) for name in NAMES_AT_24_GIB)],
)
def test_a_plan_equals_the_reference(name, memory_gib, accelerator_gib, real_data: Path):
    golden = json.loads((real_data / "golden_plans" / f"{name}.json").read_text())
    expected = golden["plans"][f"default_{memory_gib}"]
    plan = make_plan(
        fingerprint_of(golden),
        network=ARCHITECTURES["unet"],
        memory_gib=float(memory_gib),
        machine=Machine(accelerator_gib=accelerator_gib, cores=2),
    )
    assert list(plan.axis_order) == expected["transpose_forward"]
    references = {
        configuration.name: comparable(configuration)
        for configuration in plan.configurations
        if not configuration.name.endswith("_compact")
    }
    assert references == {
        configuration: expected_values(values)
        for configuration, values in expected["configurations"].items()
        if configuration in ("2d", "3d_fullres")
    }


@pytest.mark.real
def test_all_reference_plans_are_compared(real_data: Path):
    found = {path.stem: json.loads(path.read_text())["plans"] for path in golden_files(real_data)}
    assert set(found) == set(NAMES)
    assert {name for name, plans in found.items() if "default_24" in plans} == set(NAMES_AT_24_GIB)


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


def comparable(configuration):
    architecture = configuration.architecture
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
        "blocks": list(architecture.encoder_convolutions),
        "batch_dice": configuration.loss.pool == "batch",
    }


def expected_values(values):
    return {**values, "normalization": [KINDS[name] for name in values["normalization"]]}
