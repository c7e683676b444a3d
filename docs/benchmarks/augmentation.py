"""Train with the augmentations `standard`, `strong` and `none` on few and on many cases.

    python docs/benchmarks/augmentation.py DATASET WORK --cases 10 100 --steps 2000 --seeds 0 1 2
    python docs/benchmarks/augmentation.py DATASET WORK --cases 10 100 --minutes 20 --seeds 0 1 2

DATASET is in the layout of the Decathlon, such as Task04_Hippocampus. The same cases are held out
for every number of training cases, and the few training cases are among the many. All arms of a
number share prepared cases, network, patch, batch and seeds, and are trained for equally many
steps, or for equal time. They use the plan's default configuration, whose size follows from the
rules for machines without accelerator. Batches are prepared by the training process, so that
`--threads 1` uses one processor and the time per step includes augmentation. `none` is predicted
without TTA, as it is not mirrored in training.

Each training adds a line to WORK/augmentation.jsonl. Interrupted, the same command continues; what
is in the file is not trained again. The table has the mean over the seeds: Dice and HD95 of the
held-out cases, and seconds per step, validation during the training included.
"""

import argparse
import json
import random
import statistics
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch
from subset import link
from tables import Row, head, kept_row, line
from trainings import add_configurations, class_dice, mean_hd95, planned
from volumes import write_json

from autoseg.core.compute import Compute
from autoseg.core.errors import Interrupted
from autoseg.documents.workspace import Workspace
from autoseg.planning.augmentation import augmentations_of
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train
from autoseg.terminal import TerminalProgress

ARMS = ("standard", "strong", "none")


def parsed() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="steps of each training")
    length.add_argument("--minutes", type=float, help="time of each training")
    parser.add_argument("--cases", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def subset(dataset: Path, folder: Path, num_cases: int, num_held_out: int) -> Path:
    """Link cases to a folder, with one fold that holds out the same cases for every number.

    Args:
        dataset: The Decathlon dataset.
        folder: The folder of the new dataset; nothing is done if it is complete.
        num_cases: Number of cases to train on.
        num_held_out: Number of cases to hold out.
    """
    if (folder / "dataset.json").is_file():
        return folder
    content = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    pairs = sorted(content["training"], key=lambda pair: str(pair["image"]))
    random.Random(0).shuffle(pairs)
    used = pairs[: num_held_out + num_cases]
    if len(used) < num_held_out + num_cases:
        msg = f"{dataset} has {len(pairs)} cases, too few for {num_held_out} and {num_cases}"
        raise SystemExit(msg)
    names = [Path(pair["image"]).name.removesuffix(content["file_ending"]) for pair in used]
    fold = {"train": names[num_held_out:], "val": names[:num_held_out]}
    write_json([fold], folder / "splits_final.json")
    linked = [link(dataset, folder, pair, "Tr") for pair in used]
    changed = {"training": linked, "numTraining": len(linked), "test": [], "numTest": 0}
    write_json(content | changed, folder / "dataset.json")
    return folder


def configuration_name(arm: str, seed: int, length: Row) -> str:
    """Return the name of the configuration of one training."""
    ((unit, amount),) = length.items()
    return f"{arm}_{amount:g}_{unit}_seed{seed}"


def add_arms(workspace: Workspace, arms: Sequence[str], seeds: Sequence[int], length: Row) -> None:
    """Add a configuration per arm and seed, which differ in their augmentations alone."""
    base = planned(workspace.root.parent / "dataset", workspace).configuration(None)
    for arm in arms:
        recipe = base.recipe.model_copy(
            update={"augmentations": augmentations_of(arm, base.mirror_axes)}
        )
        for seed in seeds:
            changed = {"name": configuration_name(arm, seed, length), "recipe": recipe}
            add_configurations(workspace, base.model_copy(update=changed))


def trained(workspace: Workspace, name: str, seed: int, length: Row) -> Row:
    """Train a configuration, or continue, and return the scores of its held-out cases."""
    duration = (
        TrainingDuration(iterations=length["steps"])
        if "steps" in length
        else TrainingDuration(budget=f"{60 * length['minutes']:.0f}s")
    )
    compute = Compute(device="cpu", workers=0)
    request = TrainRequest(fold=0, configuration=name, length=duration, seed=seed, compute=compute)
    with closing(TerminalProgress()) as progress:
        fold = train(workspace, request, progress=progress)
    assert fold.report is not None  # noqa: S101  (fold 0 holds cases out)
    dice = class_dice(fold.report)
    return {
        "trained_steps": fold.run.steps,
        "seconds_per_step": round(fold.run.seconds / fold.run.steps, 4),
        "dice": round(statistics.fmean(dice.values()), 4),
        "hd95": mean_hd95(fold.report),
        "classes": {name: round(value, 4) for name, value in dice.items()},
    }


def print_table(rows: Sequence[Row]) -> None:
    """Print the means over the seeds."""
    print("\n" + head("Cases", "Augmentation", "Seeds", "Steps", "s per step", "Dice", "HD95, mm"))
    for cases, arm in dict.fromkeys((row["cases"], row["arm"]) for row in rows):
        group = [row for row in rows if (row["cases"], row["arm"]) == (cases, arm)]
        dice = [row["dice"] for row in group]
        distances = [row["hd95"] for row in group if row["hd95"] is not None]
        spread = f" ± {statistics.stdev(dice):.3f}" if len(dice) > 1 else ""
        cells = (
            f"{statistics.fmean(row['trained_steps'] for row in group):.0f}",
            f"{statistics.fmean(row['seconds_per_step'] for row in group):.3f}",
            f"{statistics.fmean(dice):.3f}{spread}",
            f"{statistics.fmean(distances):.2f}" if distances else "–",
        )
        print(line(cases, arm, len(group), *cells))


def main() -> None:
    """Train all arms and print the table."""
    asked = parsed()
    torch.set_num_threads(asked.threads)
    length = {"steps": asked.steps} if asked.steps else {"minutes": asked.minutes}
    rows = []
    for cases in asked.cases:
        folder = asked.work.resolve() / f"{cases}_cases"
        subset(asked.dataset.resolve(), folder / "dataset", cases, asked.held_out)
        workspace = Workspace(folder / "work")
        add_arms(workspace, asked.arms, asked.seeds, length)
        for seed in asked.seeds:
            for arm in asked.arms:
                name = configuration_name(arm, seed, length)
                key = {"cases": cases, "arm": arm, "seed": seed, **length}
                key |= {"threads": asked.threads, "held_out": asked.held_out}
                results = asked.work / "augmentation.jsonl"
                rows.append(
                    kept_row(
                        results,
                        key,
                        lambda at=workspace, name=name, seed=seed: trained(at, name, seed, length),
                    )
                )
    print_table(rows)


if __name__ == "__main__":
    try:
        main()
    except Interrupted as stop:
        print(stop)
