"""A trained model as nnU-Net v2 leaves it, made by hand: its names, its layout, no nnU-Net."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

FEATURES = (4, 6, 8)
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2))
KERNELS = ((1, 3, 3), (3, 3, 3), (3, 3, 3))
PATCH = (4, 8, 8)
RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}


def plans(**changes: Any) -> dict[str, Any]:
    """Return `plans.json` of a plain U-Net with three stages; `changes` go into 3d_fullres."""
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": PATCH,
        "median_image_size_in_voxels": [6.0, 12.0, 12.0],
        "spacing": [2.0, 1.0, 1.0],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": RESAMPLING,
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**RESAMPLING, "order": 1},
        "batch_dice": True,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": 3,
                "features_per_stage": FEATURES,
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": KERNELS,
                "strides": STRIDES,
                "n_conv_per_stage": [2, 1, 2],
                "n_conv_per_stage_decoder": [1, 2],
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    intensities = {"mean": 40.0, "std": 20.0, "percentile_00_5": -10.0, "percentile_99_5": 90.0}
    return {
        "dataset_name": "Dataset007_Hand",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "original_median_shape_after_transp": [6, 12, 12],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {**intensities, "max": 100.0}},
        "configurations": {
            "3d_fullres": {**configuration, **changes},
            "heir": {"inherits_from": "3d_fullres", "batch_size": 5},
        },
    }


def dataset() -> dict[str, Any]:
    """Return `dataset.json`."""
    return {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "bone": 1, "marrow": 2},
        "numTraining": 5,
        "file_ending": ".nii.gz",
    }


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return random weights of that U-Net under nnU-Net's names, with its duplicates."""
    torch.manual_seed(seed)
    named: dict[str, torch.Tensor] = {}

    def layer(name: str, *shape: int) -> None:
        named[f"{name}.weight"] = 0.2 * torch.randn(shape)
        named[f"{name}.bias"] = 0.2 * torch.randn(shape[0])

    def stacked(name: str, inputs: int, width: int, count: int, kernel: tuple[int, ...]) -> None:
        for index in range(count):
            layer(f"{name}.convs.{index}.conv", width, width if index else inputs, *kernel)
            layer(f"{name}.convs.{index}.norm", width)
            for number, part in enumerate(("conv", "norm")):
                for kind in ("weight", "bias"):
                    twice = named[f"{name}.convs.{index}.{part}.{kind}"]
                    named[f"{name}.convs.{index}.all_modules.{number}.{kind}"] = twice

    for stage, (below, width, count) in enumerate(
        zip((1, *FEATURES), FEATURES, (2, 1, 2), strict=False)
    ):
        stacked(f"encoder.stages.{stage}.0", below, width, count, KERNELS[stage])
    for name in list(named):
        named[f"decoder.{name}"] = named[name]
    for step, (stage, count) in enumerate(((1, 1), (0, 2))):
        width, stride = FEATURES[stage], STRIDES[stage + 1]
        layer(f"decoder.transpconvs.{step}", FEATURES[stage + 1], width, *stride)
        named[f"decoder.transpconvs.{step}.bias"] = 0.2 * torch.randn(width)
        stacked(f"decoder.stages.{step}", 2 * width, width, count, KERNELS[stage])
        layer(f"decoder.seg_layers.{step}", 3, width, 1, 1, 1)
        named[f"decoder.seg_layers.{step}.weight"] *= 5  # so that every class wins somewhere
    return named


def logits(named: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Return what the U-Net with these weights makes of images, written out without modules."""

    def stacked(name: str, maps: torch.Tensor, stride: tuple[int, ...] = (1, 1, 1)) -> torch.Tensor:
        index = 0
        while f"{name}.convs.{index}.conv.weight" in named:
            part = f"{name}.convs.{index}"
            weight, bias = named[f"{part}.conv.weight"], named[f"{part}.conv.bias"]
            padding = [size // 2 for size in weight.shape[2:]]
            maps = F.conv3d(maps, weight, bias, stride if index == 0 else 1, padding)
            norm = named[f"{part}.norm.weight"], named[f"{part}.norm.bias"]
            maps = F.leaky_relu(F.instance_norm(maps, weight=norm[0], bias=norm[1]), 0.01)
            index += 1
        return maps

    maps, skips = images, []
    for stage, stride in enumerate(STRIDES):
        maps = stacked(f"encoder.stages.{stage}.0", maps, stride)
        skips.append(maps)
    for step, stage in enumerate((1, 0)):
        up = f"decoder.transpconvs.{step}"
        stride = STRIDES[stage + 1]
        maps = F.conv_transpose3d(maps, named[f"{up}.weight"], named[f"{up}.bias"], stride)
        maps = stacked(f"decoder.stages.{step}", torch.cat((maps, skips[stage]), dim=1))
    head = "decoder.seg_layers.1"
    return F.conv3d(maps, named[f"{head}.weight"], named[f"{head}.bias"])


def checkpoint(seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Return what a checkpoint holds, with the numpy numbers of a training log."""
    return {
        "network_weights": weights(seed),
        "optimizer_state": {"state": {}, "param_groups": []},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.25)], "lrs": [0.01]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 1,
        "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
        **changes,
    }


def write_model(
    results: Path,
    *,
    folds: int = 1,
    plan: dict[str, Any] | None = None,
    name: str = "3d_fullres",
    training: str = "nnUNetTrainer__nnUNetPlans",
) -> Path:
    """Write a trained model into a results folder of nnU-Net, and return its folder."""
    folder = results / "Dataset007_Hand" / f"{training}__{name}"
    for fold in range(folds):
        (folder / f"fold_{fold}").mkdir(parents=True)
        torch.save(checkpoint(fold), folder / f"fold_{fold}" / "checkpoint_final.pth")
    (folder / "plans.json").write_text(json.dumps(plan or plans()))
    (folder / "dataset.json").write_text(json.dumps(dataset()))
    return folder
