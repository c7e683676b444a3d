"""Compare 20 cases chosen by `autoseg rank` with 20 random ones, as further training cases.

    python docs/benchmarks/ranking.py DATASET WORK --start 20 --test 60 --seed 0

A Decathlon dataset is split at random into a start set, a test set and a pool. Five folds are
trained on the start set, and rank the images of the pool. Then a network is trained on the start
set with the 20 first images, and another one with 20 random images, for the same number of steps,
each with all of its cases; both predict the test set. A line with the mean Dice of both is added
to WORK/results.jsonl. Numbers of steps, not times, decide the result, so that other work on the
machine does not change it. Interrupted, the same command continues.
"""

import argparse
import json
import random
from pathlib import Path

from trainings import planned, train_steps

from autoseg.core.compute import Compute
from autoseg.core.progress import Silent
from autoseg.documents.splits import ALL
from autoseg.documents.workspace import Workspace
from autoseg.stages.evaluate.evaluate import evaluate
from autoseg.stages.plan.plan import PlanRequest, Timing
from autoseg.stages.predict.predict import PredictOptions, predict
from autoseg.stages.rank.rank import rank
from autoseg.stages.train.duration import parse_duration

CHOSEN = 20
Pair = dict[str, str]


def name_of(pair: Pair) -> str:
    """Return the name of a case."""
    return Path(pair["image"]).name.split(".")[0]


def link(pairs: list[Pair], dataset: Path, output: Path, description: dict[str, object]) -> Path:
    """Make a dataset of some cases; files are linked."""
    for pair in pairs:
        for kind, folder in (("image", "imagesTr"), ("label", "labelsTr")):
            target = output / folder / Path(pair[kind]).name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to((dataset / pair[kind]).resolve())
    listed = {**description, "training": pairs, "numTraining": len(pairs), "test": []}
    (output / "dataset.json").write_text(json.dumps(listed))
    return output


def main() -> None:
    """Rank, train and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--start", type=int, default=20)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--steps", type=int, default=150, help="of each fold on the start set")
    parser.add_argument("--final-steps", type=int, default=400)
    parser.add_argument("--budget", default="2m", help="that the network is planned for")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    root = given.work / f"{given.dataset.name}_{given.seed}"
    description = json.loads((given.dataset / "dataset.json").read_text())
    pairs = sorted(description["training"], key=name_of)
    random.Random(given.seed).shuffle(pairs)
    start, test = pairs[: given.start], pairs[given.start : given.start + given.test]
    pool = pairs[given.start + given.test :]

    def dataset_of(name: str, chosen: list[Pair]) -> Path:
        return link(chosen, given.dataset, root / name, description)

    ranked = chosen_by_rank(dataset_of("start", start), dataset_of("pool", pool), root, given)
    chosen = [pair for pair in pool if name_of(pair) in ranked[:CHOSEN]]
    others = random.Random(given.seed + 1000).sample(pool, CHOSEN)
    tests = dataset_of("test", test)
    scores = {}
    for name, added in (("rank", chosen), ("random", others)):
        made = dataset_of(f"with_{name}", [*start, *added])
        scores[name] = dice_after_training(made, tests, root / f"work_{name}", given)
    common = len({name_of(pair) for pair in chosen} & {name_of(pair) for pair in others})
    line = {"dataset": given.dataset.name, "seed": given.seed, "common": common, **scores}
    print(line)
    with (given.work / "results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def chosen_by_rank(start: Path, pool: Path, root: Path, given: argparse.Namespace) -> list[str]:
    """Train five folds on the start set, and return the names of the pool in their order."""
    workspace = Workspace(root / "work_start")
    name = default_configuration(start, workspace, given)
    for fold in range(5):
        train_steps(workspace, name, given.steps, seed=given.seed, fold=fold)
    options = PredictOptions(model=workspace.models / name, compute=Compute(device="cpu"))
    report = rank(pool / "imagesTr", root / "ranked", options, Silent())
    return [image.name for image in report.ranking.images]


def default_configuration(dataset: Path, workspace: Workspace, given: argparse.Namespace) -> str:
    """Plan a dataset for the budget, without measuring the machine."""
    timing = Timing(budget_seconds=parse_duration(given.budget))
    return planned(dataset, workspace, PlanRequest(timing=timing)).default_configuration


def dice_after_training(
    dataset: Path, tests: Path, work: Path, given: argparse.Namespace
) -> float | None:
    """Train on all cases of a dataset, and return the mean Dice on the test cases."""
    workspace = Workspace(work)
    name = default_configuration(dataset, workspace, given)
    train_steps(workspace, name, given.final_steps, seed=given.seed, fold=ALL)
    fold = workspace.fold(name, ALL)
    options = PredictOptions(model=fold, skip_existing=True, compute=Compute(device="cpu"))
    predict(tests / "imagesTr", work / "predicted", options, Silent())
    report = evaluate(work / "predicted", tests / "labelsTr", workers=2, progress=Silent())
    return report.foreground.dice.value


if __name__ == "__main__":
    main()
