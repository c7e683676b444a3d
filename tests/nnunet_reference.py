"""Small models that nnU-Net itself plans, trains and predicts with; imports nnunetv2 where used."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import torch
from synthetic import balls, write_picture, write_volume

NAME = "Dataset901_Balls"
TRAINING_CASES = 5
FILES = ("plans", "dataset")


@dataclass(frozen=True)
class Kind:
    """What to train.

    Attributes:
        configuration: Of nnU-Net's plans.
        shape: Of the images.
        spacing: Of the images, array order, mm.
        patch: Instead of the planned one, so that there are several tiles.
        strides: That go with it.
        planner: Of nnU-Net.
        labels: Of `dataset.json`.
        more: Further fields of `dataset.json`.
        channel: What the channel is called: "CT" is normalised in another way.
        steps: Of training; 0 leaves the weights random.
        folds: How many.
    """

    configuration: str = "3d_fullres"
    shape: tuple[int, ...] = (26, 44, 40)
    spacing: tuple[float, ...] = (2.0, 1.0, 1.0)
    patch: tuple[int, ...] = (16, 24, 24)
    strides: tuple[tuple[int, ...], ...] = ((1, 1, 1), (1, 2, 2), (2, 2, 2))
    planner: str = "ExperimentPlanner"
    labels: dict = field(default_factory=lambda: {"background": 0, "bright": 1, "dim": 2})
    more: dict = field(default_factory=dict)
    channel: str = "MRI"
    steps: int = 0
    folds: int = 1


SetVariable = Callable[[str, str], None]
"""Sets an environment variable; nnU-Net is told where its folders are in no other way."""


def prepare(root: Path, set_variable: SetVariable) -> None:
    """Tell nnU-Net where its folders are, and to use one process."""
    for name in ("raw", "preprocessed", "results"):
        set_variable(f"nnUNet_{name}", str(root / name))
    set_variable("nnUNet_def_n_proc", "1")
    set_variable("nnUNet_compile", "f")


def write_dataset(kind: Kind, root: Path) -> Path:
    """Write a raw dataset and two unseen images, and return the folder of these."""
    raw, unseen = root / "raw" / NAME, root / "unseen"
    is_picture = len(kind.shape) == 2
    ending = ".png" if is_picture else ".nii.gz"
    direction = np.diag([1.0, -1.0, -1.0])
    for index in range(TRAINING_CASES + 2):
        random = np.random.default_rng(index)
        shape = tuple(size + int(random.integers(0, 5)) for size in kind.shape)
        image, labels = balls(random, shape)
        if is_picture:
            image = np.clip(image * 20, 0, 255).astype(np.uint8)
        is_new = index >= TRAINING_CASES
        images = unseen if is_new else raw / "imagesTr"
        pairs = [(image, images / f"case_{index}_0000{ending}")]
        if not is_new:
            pairs.append((labels, raw / "labelsTr" / f"case_{index}{ending}"))
        for array, path in pairs:
            if is_picture:
                write_picture(array, path)
            else:
                write_volume(array, path, spacing=kind.spacing, direction=direction)
    description = {
        "channel_names": {"0": kind.channel},
        "labels": kind.labels,
        "numTraining": TRAINING_CASES,
        "file_ending": ending,
        **kind.more,
    }
    (raw / "dataset.json").write_text(json.dumps(description))
    return unseen


def copy_decathlon(source: Path, root: Path, num_unseen: int) -> Path:
    """Copy a few cases of a Decathlon task as a raw dataset; return the folder of unseen images.

    Args:
        source: Folder of the task; one channel, label values without gaps.
        root: As `train` has it.
        num_unseen: Images beside those to train on, of which there are twice as many as of balls.
    """
    raw, unseen = root / "raw" / NAME, root / "unseen"
    for folder in (raw / "imagesTr", raw / "labelsTr", unseen):
        folder.mkdir(parents=True)
    num_training = 2 * TRAINING_CASES
    names = sorted(path.name for path in (source / "imagesTr").glob("[!.]*.nii.gz"))
    for index, name in enumerate(names[: num_training + num_unseen]):
        images = raw / "imagesTr" if index < num_training else unseen
        copy(source / "imagesTr" / name, images / name.replace(".nii.gz", "_0000.nii.gz"))
        if index < num_training:
            copy(source / "labelsTr" / name, raw / "labelsTr" / name)
    given = json.loads((source / "dataset.json").read_text())
    description = {
        "channel_names": {"0": "MRI"},
        "labels": {name: int(value) for value, name in given["labels"].items()},
        "numTraining": num_training,
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(description))
    return unseen


def train(kind: Kind, root: Path, set_variable: SetVariable) -> Path:
    """Return the model folder that nnU-Net made of the dataset in `root`."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    set_variable("nnUNet_n_proc_DA", "1")  # which the planner needs
    plans = _plans(kind)
    dataset = json.loads((root / "raw" / NAME / "dataset.json").read_text())
    _preprocess(kind, root, plans, dataset)
    set_variable("nnUNet_n_proc_DA", "0")  # batches in this process
    folder = Path()
    for fold in range(kind.folds):
        torch.manual_seed(fold)
        np.random.seed(fold)  # noqa: NPY002  (what nnU-Net draws from)
        trainer = nnUNetTrainer(
            {**plans, "continue_training": False},
            kind.configuration,
            fold,
            dataset,
            torch.device("cpu"),
        )
        trainer.num_epochs, trainer.num_val_iterations_per_epoch = 1, 1
        trainer.num_iterations_per_epoch = max(1, kind.steps)
        trainer.configure_optimizers = lambda trainer=trainer: _quick(trainer.network)
        trainer.initialize()
        if kind.steps:
            trainer.run_training()
        else:
            _shake(trainer.network)
            trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
        folder = Path(trainer.output_folder_base)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


def predict(model: Path, images: Path, outputs: Path, previous: Path | None = None) -> None:
    """Let nnU-Net predict a folder on the CPU, with overlapping tiles and mirroring."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    outputs.mkdir(parents=True, exist_ok=True)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), None)
    predictor.predict_from_files_sequential(
        str(images),
        str(outputs),
        folder_with_segs_from_prev_stage=None if previous is None else str(previous),
    )


def write_cascade_inputs(first: Path, later: str, root: Path) -> None:
    """Write what the first stage of a cascade predicts for its training images, for the later one.

    nnU-Net does so for the cases that a fold holds out; here one network has seen most of them.

    Args:
        first: Folder of the first stage's model.
        later: Name of the later stage.
        root: As `train` has it.
    """
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    images, found = root / "raw" / NAME / "imagesTr", root / "predicted"
    predict(first, images, found)
    plans, dataset = (json.loads((first / f"{name}.json").read_text()) for name in FILES)
    manager = PlansManager(plans)
    target = first / "predicted_next_stage" / later
    target.mkdir(parents=True)
    for labels in sorted(found.glob("*.nii.gz")):
        name = labels.name.removesuffix(".nii.gz")
        _, classes, _ = DefaultPreprocessor(verbose=False).run_case(
            [str(images / f"{name}_0000.nii.gz")],
            str(labels),
            manager,
            manager.get_configuration(later),
            dataset,
        )
        nnUNetDatasetBlosc2.save_seg(np.maximum(classes[0], 0).astype(np.uint8), str(target / name))


def _plans(kind: Kind) -> dict:
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
        DatasetFingerprintExtractor,
    )
    from nnunetv2.experiment_planning.experiment_planners import (
        default_experiment_planner,
        residual_unets,
    )
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import (
        residual_encoder_unet_planners,
    )

    assert residual_unets
    DatasetFingerprintExtractor(NAME, num_processes=1).run(overwrite_existing=False)
    module = (
        default_experiment_planner
        if kind.planner == "ExperimentPlanner"
        else residual_encoder_unet_planners
    )
    planner = getattr(module, kind.planner)(NAME)
    plans = json.loads(json.dumps(planner.plan_experiment(), default=lambda x: x.tolist()))
    configurations = plans["configurations"]
    _shrink(configurations["2d" if len(kind.patch) == 2 else "3d_fullres"], kind)
    if kind.configuration in ("3d_lowres", "3d_cascade_fullres"):
        coarse = {**configurations["3d_fullres"], "data_identifier": "lowres"}
        coarse["spacing"] = [1.6 * size for size in coarse["spacing"]]
        configurations["3d_lowres"] = {**coarse, "next_stage": "3d_cascade_fullres"}
        configurations["3d_cascade_fullres"] = {
            "inherits_from": "3d_fullres",
            "previous_stage": "3d_lowres",
        }
    return plans


def _shrink(configuration: dict, kind: Kind) -> None:
    stages = len(kind.strides)
    settings = configuration["architecture"]["arch_kwargs"]
    configuration.update(patch_size=list(kind.patch), batch_size=2)
    settings.update(
        n_stages=stages,
        features_per_stage=[8, 16, 24, 32][:stages],
        strides=[list(stride) for stride in kind.strides],
        kernel_sizes=([[1, 3, 3]] if len(kind.patch) == 3 else [[3, 3]])
        + [[3] * len(kind.patch)] * (stages - 1),
    )
    for name in ("n_conv_per_stage", "n_blocks_per_stage", "n_conv_per_stage_decoder"):
        if name in settings:
            settings[name] = settings[name][: stages - name.endswith("decoder")]


def _preprocess(kind: Kind, root: Path, plans: dict, dataset: dict) -> None:
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    manager = PlansManager(plans)
    configuration = manager.get_configuration(kind.configuration)
    folder = root / "preprocessed" / NAME / configuration.data_identifier
    folder.mkdir(parents=True, exist_ok=True)
    files = get_filenames_of_train_images_and_targets(str(root / "raw" / NAME), dataset)
    (root / "preprocessed" / NAME / "dataset.json").write_text(json.dumps(dataset))
    for name, case in files.items():
        DefaultPreprocessor(verbose=False).run_case_save(
            str(folder / name), case["images"], case["label"], manager, configuration, dataset
        )


def _quick(network: torch.nn.Module) -> tuple[torch.optim.Optimizer, Any]:
    """Return an optimiser that finds foreground in few steps, and a schedule that keeps its rate.

    nnU-Net's own has so much momentum that a few dozen steps leave everything background.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1)


def _shake(network: torch.nn.Module) -> None:
    """Make norms and biases random too, so that a tensor in the wrong place is noticed."""
    with torch.no_grad():
        for tensor in network.parameters():
            if tensor.ndim == 1:
                tensor.add_(torch.randn_like(tensor), alpha=0.2)
