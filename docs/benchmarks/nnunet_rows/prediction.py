"""The sliding window of both tools with the same weights: tiles, mirroring, no files, no export."""

import json
from pathlib import Path

import numpy as np
from costs import stopwatch
from volumes import write_json, write_volume

from nnunet_rows.reported import report

CONFIGURATION = "3d_fullres"
SHAPE = (60, 84, 60)
"""Two tiles along each axis of the hippocampus's patch."""

CLASSES = "classes.npy"


def make_model(preprocessed: str, folder: str) -> None:
    """Write a model of nnU-Net's with random weights, imported too, and an image to predict."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from autoseg.core.progress import Silent
    from autoseg.stages.import_nnunet import ImportOptions, import_nnunet

    plans, dataset = (
        json.loads((Path(preprocessed) / name).read_text())
        for name in ("nnUNetPlans.json", "dataset.json")
    )
    torch.manual_seed(0)
    trainer = nnUNetTrainer(
        {**plans, "continue_training": False}, CONFIGURATION, 1, dataset, torch.device("cpu")
    )
    trainer.initialize()
    trainer.inference_allowed_mirroring_axes = (0, 1, 2)
    trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    model, target = Path(trainer.output_folder_base), Path(folder)
    write_json(plans, model / "plans.json")
    write_json(dataset, model / "dataset.json")
    target.mkdir(parents=True, exist_ok=True)
    (target / "nnunet").symlink_to(model)
    voxels = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    write_volume(voxels, (1.0, 1.0, 1.0), target / "image.nii.gz")
    import_nnunet(model, target / "model.autoseg", ImportOptions(), Silent())


def nnunet(folder: str) -> None:
    """Let nnU-Net predict the image's logits."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    place = Path(folder)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str((place / "nnunet").resolve()), (1,))
    data, _, _ = DefaultPreprocessor(verbose=False).run_case(
        [str(place / "image.nii.gz")],
        None,
        predictor.plans_manager,
        predictor.configuration_manager,
        predictor.dataset_json,
    )
    with stopwatch() as watch:
        logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))
    report(watch, "float32")
    np.save(place / CLASSES, logits.argmax(0).numpy().astype(np.uint8))


def autoseg(folder: str) -> None:
    """Let autoseg do it, and compare the classes."""
    from autoseg.inference.prediction import predict_logits, prepare_for_model
    from autoseg.inference.selected_model import load_selection
    from autoseg.models.loader import LoadOptions
    from autoseg.models.model_selection import find_selection
    from autoseg.readers import read_image

    place = Path(folder)
    stored = find_selection(place / "model.autoseg")
    (ready,) = load_selection(stored, LoadOptions(device="cpu")).members
    model = ready.loaded
    image = read_image((place / "image.nii.gz",)).reoriented(model.plan.orientation)
    prepared = prepare_for_model(image, model)
    with stopwatch() as watch:
        slabs = list(predict_logits(prepared, ready))
    classes = np.concatenate([slab.logits.argmax(0) for slab in slabs])
    note = str(model.dtype).removeprefix("torch.")
    if (place / CLASSES).is_file():
        equal = np.mean(classes == np.load(place / CLASSES))
        note += f", {equal:.2%} of the voxels in nnU-Net's class"
    report(watch, note)
