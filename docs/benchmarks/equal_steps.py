"""Train nnU-Net's own trainer and autoseg with equal plans for equally many steps, and score both.

    python docs/benchmarks/equal_steps.py WORK DATASET
    python docs/benchmarks/equal_steps.py WORK DATASET CANDIDATE --steps 1000 --threads 1

It needs nnU-Net (`pip install -e ".[parity]"`) and Linux. The first command lists the candidates
of a dataset, as in `regret.py`, with the predicted seconds of a step on its machine of two cores.
The second trains fold 0 with one of them and scores the held-out cases. The sides are:

- `nnunet`: nnU-Net's trainer with its optimiser, schedule, augmentation and deep supervision, and
  its predictor with overlapping tiles and mirroring. Epochs have 50 steps, so the learning rate
  falls to zero within the training. Dice is pooled over the batch or not, as nnU-Net plans it.
- `nnunet-pool`: the same, but Dice is pooled as autoseg plans it.
- `autoseg`: the recipe for short trainings.
- `autoseg-sgd`: the reference recipe, which is nnU-Net's; mirroring is restricted as autoseg
  plans it.

All have the spacing, normalisation, patch, batch size, network and fold that autoseg plans. The
configuration that nnU-Net gets is imported back, and must be equal. All compute in float32, with
the same seed, and the label files of the dataset are what both are scored against. WORK keeps
everything; a side whose scores are in WORK/equal_steps.jsonl is not trained again. HD95 is in
the unit of the voxel sizes in the files.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunet_rows.measuring import environment
from regret import ANY_SECONDS, candidates
from tables import head, kept_row, line
from trainings import add_configurations, class_dice, mean_hd95, train_steps
from volumes import description, link_case, write_json

from autoseg.architectures.unet import UNet
from autoseg.core.compute import Compute
from autoseg.core.progress import Silent
from autoseg.documents.dataset import CaseFiles
from autoseg.documents.plan import Configuration
from autoseg.documents.recipe import Recipe
from autoseg.documents.workspace import Workspace
from autoseg.models.nnunet.conversion import NnunetModel, convert_plan
from autoseg.models.nnunet.plans import NnunetDataset, NnunetPlans
from autoseg.readers import ending_of
from autoseg.stages.evaluate.evaluate import LabelMapPair, evaluate_pairs
from autoseg.stages.evaluate.score_cases import label_map
from autoseg.stages.project import Project, load_project

SIDES = ("nnunet", "nnunet-pool", "autoseg", "autoseg-sgd")
USUAL_SIDES = ("nnunet", "autoseg", "autoseg-sgd")

EPOCH_STEPS = 50
VALIDATION_STEPS = 2
"""Of nnU-Net's epochs; its own 250 and 50 are for 1000 epochs."""

NNUNET_NAME = "Dataset001_EqualSteps"
SCHEMES = {
    "zscore": "ZScoreNormalization",
    "ct": "CTNormalization",
    "none": "NoNormalization",
    "zero_one": "RescaleTo01Normalization",
    "rgb": "RGBTo01Normalization",
}
"""What nnU-Net calls autoseg's normalizers."""

COMPARED = ("spacing", "batch_size", "normalizers", "architecture", "resampling")
"""Fields of a configuration that nnU-Net's plan must have alike."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What is trained.

    Attributes:
        work: Folder for everything.
        dataset: The dataset's name.
        candidate: Name of the candidate.
        steps: Of each side.
        seed: Of weights, sampling and augmentation.
        threads: Of torch.
    """

    work: Path
    dataset: str
    candidate: str
    steps: int
    seed: int
    threads: int

    @property
    def workspace(self) -> Workspace:
        """Return the folder of autoseg."""
        return Workspace(self.work / self.dataset)

    @property
    def project(self) -> Project:
        """Return the documents of the work folder, as they are now."""
        return load_project(self.workspace, Silent())

    @property
    def held_out(self) -> list[CaseFiles]:
        """Return the files of the held-out cases."""
        project = self.project
        names = project.splits.fold(0).validation
        return [case for case in project.dataset.cases if case.name in names]

    def configuration(self, side: str) -> str:
        """Return the name of a side's configuration; both of nnU-Net share one."""
        named = "nnunet" if side.startswith("nnunet") else side
        text = f"{self.candidate}_{self.steps}_seed{self.seed}_{named}"
        return text.replace("^", "-")

    @property
    def nnunet(self) -> Path:
        """Return the folder of nnU-Net, which has its three in it."""
        candidate = self.candidate.replace("^", "-")
        return self.work / "nnunet" / f"{self.dataset}_{candidate}_{self.steps}_seed{self.seed}"

    @property
    def raw(self) -> Path:
        """Return the dataset in nnU-Net's layout."""
        return self.nnunet / "raw" / NNUNET_NAME

    @property
    def preprocessed(self) -> Path:
        """Return the folder of nnU-Net's plans, folds and prepared cases."""
        return self.nnunet / "preprocessed" / NNUNET_NAME


def parsed() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("candidate", nargs="?")
    parser.add_argument("--steps", type=int, default=1000, help=f"a multiple of {EPOCH_STEPS}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=USUAL_SIDES)
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.steps % EPOCH_STEPS:
        parser.error(f"--steps must be a multiple of {EPOCH_STEPS}")
    return asked


def main() -> None:
    """List candidates, train all sides of one, or do a part of that in a process of its own."""
    asked = parsed()
    torch.set_num_threads(asked.threads)
    work, dataset = asked.work.resolve(), asked.dataset.resolve()
    if asked.candidate is None:
        list_candidates(work, dataset)
        return
    task = Task(work, dataset.name, asked.candidate, asked.steps, asked.seed, asked.threads)
    if asked.child:
        CHILDREN[asked.child](task, asked.sides[0])
        return
    add_candidate(task, dataset)
    rows = [result(task, side, dataset) for side in asked.sides]
    titles = ("Dataset", "Side", "Steps", "Mean Dice", "HD95", "Missed", "Dice of each class")
    print("\n" + head(*titles))
    for row in rows:
        classes = ", ".join(f"{name} {value:.3f}" for name, value in row["classes"].items())
        distance = "–" if row["hd95"] is None else f"{row['hd95']:.2f}"
        names = (row["dataset"], row["side"], row["steps"])
        print(line(*names, f"{row['dice']:.3f}", distance, row["missed"], classes))


def list_candidates(work: Path, dataset: Path) -> None:
    """Print the candidates of a dataset, with the predicted seconds of a step."""
    for name, (_, candidate) in candidates(dataset, Workspace(work / dataset.name))[1].items():
        print(f"{name}  {ANY_SECONDS / candidate.loss.steps:.2f} s per step")


def add_candidate(task: Task, dataset: Path) -> None:
    """Add the candidate to the plan, once for each recipe."""
    sizing, found = candidates(dataset, task.workspace)
    if task.candidate not in found:
        sys.exit(f"{task.dataset} has no candidate {task.candidate}; leave it out to list them.")
    made = sizing.variant(*found[task.candidate]).configuration
    reference = Recipe(augmentations=made.recipe.augmentations)
    for side in SIDES:
        recipe = reference if side == "autoseg-sgd" else made.recipe
        changed = {"name": task.configuration(side), "recipe": recipe}
        add_configurations(task.workspace, made.model_copy(update=changed))


def result(task: Task, side: str, dataset: Path) -> Document:
    """Return the scores of a side, which is trained now unless it was before."""
    key = {
        "dataset": task.dataset,
        "candidate": task.candidate,
        "side": side,
        "steps": task.steps,
        "seed": task.seed,
    }

    def measure() -> Document:
        if side.startswith("nnunet"):
            return scores(task, nnunet_predictions(task, side, dataset))
        return scores(task, autoseg_predictions(task, side))

    return kept_row(task.work / "equal_steps.jsonl", key, measure)


def scores(task: Task, predictions: Path) -> Document:
    """Score the predicted held-out cases against the label files of the dataset."""
    pairs = [
        LabelMapPair(case.name, label_map(predictions, case), case.labels) for case in task.held_out
    ]
    report = evaluate_pairs(pairs, labels=task.project.plan.labels, workers=1, progress=Silent())
    if report.issues:
        sys.exit(f"{predictions}: {report.issues[0].name}: {report.issues[0].message}")
    dice = class_dice(report)
    return {
        "cases": len(report.cases),
        "dice": statistics.fmean(dice.values()),
        "hd95": mean_hd95(report),
        "missed": sum(entry.missed for entry in report.classes),
        "classes": dice,
    }


def autoseg_predictions(task: Task, side: str) -> Path:
    """Train with autoseg; return the folder of the predicted held-out cases."""
    name = task.configuration(side)
    compute = Compute(device="cpu", precision="float32", workers=1)
    trained = train_steps(task.workspace, name, task.steps, seed=task.seed, compute=compute)
    return trained.folder / "validation"


def nnunet_predictions(task: Task, side: str, dataset: Path) -> Path:
    """Train with nnU-Net in other processes; return the folder of the predicted held-out cases."""
    predictions = task.nnunet / f"predicted_{side}"
    if not (task.preprocessed / "splits_final.json").is_file():
        run_child("prepare", task, side, dataset, loaders=1)
    if not all(label_map(predictions, case).is_file() for case in task.held_out):
        run_child("fit", task, side, dataset, loaders=0)
    return predictions


def run_child(name: str, task: Task, side: str, dataset: Path, *, loaders: int) -> None:
    """Run a part in a process whose variables tell nnU-Net where its folders are.

    Args:
        name: One of `CHILDREN`.
        task: What is trained.
        side: One of nnU-Net's.
        dataset: The dataset's folder.
        loaders: Processes that augment; with 0 the trainer does it, and seeds hold.
    """
    settings = environment(task.nnunet, processes=1, loaders=loaders, threads=task.threads)
    numbers = {"--steps": task.steps, "--threads": task.threads, "--seed": task.seed}
    options = [str(word) for pair in numbers.items() for word in pair]
    words = [str(task.work), str(dataset), task.candidate, *options]
    command = [sys.executable, __file__, *words, "--sides", side, "--child", name]
    subprocess.run([*settings, "nnUNet_compile=f", *command], check=True)


def prepare(task: Task, side: str) -> None:
    """Let nnU-Net plan, put the candidate into its plans, and let it prepare the cases."""
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
        DatasetFingerprintExtractor,
    )
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

    dataset = link_dataset(task)
    write_json(dataset, task.preprocessed / "dataset.json")
    DatasetFingerprintExtractor(NNUNET_NAME, num_processes=1).run(overwrite_existing=False)
    planned = ExperimentPlanner(NNUNET_NAME).plan_experiment()
    plans = json.loads(json.dumps(planned, default=lambda array: array.tolist()))
    name = task.configuration(side)
    made = task.project.plan.configuration(name)
    plans["configurations"] = {name: nnunet_configuration(plans, made)}
    check_equal(task, plans, dataset, made)
    write_json(plans, task.preprocessed / "plans.json")
    preprocess_all(task, plans, dataset, name)
    fold = task.project.splits.fold(0)
    folds = [{"train": list(fold.train), "val": list(fold.validation)}]
    write_json(folds, task.preprocessed / "splits_final.json")


def link_dataset(task: Task) -> Document:
    """Link the files of all cases under the names that nnU-Net wants; return `dataset.json`."""
    project = task.project
    labels, cases = project.plan.labels, project.dataset.cases
    ending = ending_of(cases[0].labels)
    for case in cases:
        link_case(task.raw, case.name, case.images, case.labels, ending)
    named = dict(zip(("background", *labels.names[1:]), labels.values, strict=True))
    dataset = description(project.plan.channel_names, named, len(cases), ending)
    write_json(dataset, task.raw / "dataset.json")
    return dataset


def nnunet_configuration(plans: Document, made: Configuration) -> Document:
    """Return the configuration of nnU-Net's plans that is a candidate of autoseg's."""
    network, topology = made.architecture, made.topology
    if not isinstance(network, UNet):
        sys.exit(f"expected the plain U-Net, found {network.kind}")
    base = plans["configurations"]["2d" if topology.num_axes == 2 else "3d_fullres"]
    arguments = {
        **base["architecture"]["arch_kwargs"],
        "n_stages": len(network.features),
        "features_per_stage": list(network.features),
        "kernel_sizes": [list(kernel) for kernel in topology.kernels],
        "strides": [list(stride) for stride in topology.strides],
        "n_conv_per_stage": list(network.encoder_convolutions),
        "n_conv_per_stage_decoder": list(network.decoder_convolutions[::-1]),
    }
    return {
        **base,
        "data_identifier": made.name,
        "architecture": {**base["architecture"], "arch_kwargs": arguments},
        "batch_size": made.batch_size,
        "patch_size": list(topology.patch_shape),
        "spacing": list(made.spacing),
        "median_image_size_in_voxels": list(made.median_shape),
        "normalization_schemes": [SCHEMES[entry.kind] for entry in made.normalizers],
        "use_mask_for_norm": [getattr(entry, "masked", False) for entry in made.normalizers],
    }


def check_equal(task: Task, plans: Document, dataset: Document, made: Configuration) -> None:
    """Check that what nnU-Net will do is, imported back, the candidate."""
    model = NnunetModel(
        NnunetPlans.model_validate(plans), NnunetDataset.model_validate(dataset), made.name
    )
    back = convert_plan(model)
    same = back.configuration(made.name)
    unequal = [field for field in COMPARED if getattr(same, field) != getattr(made, field)]
    if back.axis_order != task.project.plan.axis_order:
        unequal.append("axis_order")
    if unequal:
        sys.exit(f"nnU-Net's plan is not equal to autoseg's: {', '.join(unequal)}")


def preprocess_all(task: Task, plans: Document, dataset: Document, name: str) -> None:
    """Let nnU-Net prepare all cases."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    manager = PlansManager(plans)
    folder = task.preprocessed / name
    folder.mkdir(exist_ok=True)
    files = get_filenames_of_train_images_and_targets(str(task.raw), dataset)
    for case, paths in files.items():
        DefaultPreprocessor(verbose=False).run_case_save(
            str(folder / case),
            paths["images"],
            paths["label"],
            manager,
            manager.get_configuration(name),
            dataset,
        )


def fit(task: Task, side: str) -> None:
    """Let nnU-Net train on the prepared cases, and predict those that are held out."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    name = task.configuration(side)
    plans, dataset = (
        json.loads((task.preprocessed / file).read_text(encoding="utf-8"))
        for file in ("plans.json", "dataset.json")
    )
    plans["plans_name"] = side
    if side == "nnunet-pool":
        pool = getattr(task.project.plan.configuration(name).loss, "pool", "sample")
        plans["configurations"][name]["batch_dice"] = pool == "batch"
    torch.manual_seed(task.seed)
    np.random.seed(task.seed)  # noqa: NPY002  (what nnU-Net draws from)
    trainer = nnUNetTrainer(
        {**plans, "continue_training": False}, name, 0, dataset, torch.device("cpu")
    )
    trainer.num_epochs = task.steps // EPOCH_STEPS
    trainer.num_iterations_per_epoch = EPOCH_STEPS
    trainer.num_val_iterations_per_epoch = VALIDATION_STEPS
    trainer.run_training()
    model = Path(trainer.output_folder_base)
    write_json(plans, model / "plans.json")
    write_json(dataset, model / "dataset.json")
    predict(task, model, task.nnunet / f"predicted_{side}")


def predict(task: Task, model: Path, outputs: Path) -> None:
    """Let nnU-Net predict the held-out cases, with overlapping tiles and mirroring."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    outputs.mkdir(parents=True, exist_ok=True)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), (0,))
    images = [
        [str(path) for path in sorted((task.raw / "imagesTr").glob(f"{case.name}_[0-9]*"))]
        for case in task.held_out
    ]
    targets = [str(outputs / case.name) for case in task.held_out]
    predictor.predict_from_files_sequential(images, targets)


CHILDREN = {"prepare": prepare, "fit": fit}


if __name__ == "__main__":
    main()
