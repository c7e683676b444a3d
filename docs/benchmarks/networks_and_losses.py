"""Train every network with Dice plus cross-entropy, and the plain U-Net with every loss.

Run it as `python docs/benchmarks/networks_and_losses.py DATASET WORK PATCH [ITERATIONS] [SEEDS]`,
the patch as `32x40x32` or `128x128`. All arms are configurations of one plan: they share prepared
cases, fold, patch, stages, batch and recipe, and are trained for equally many steps. The first five
networks and losses are trained with as many seeds as asked, the others with one. What is trained
already is kept: the same command goes on where it stopped, and prints the tables at the end.
With `time` as last word it measures a step of every arm instead, all in turns.
"""

import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tables import head, line
from trainings import MEMORY_GIB, class_dice, planned, prepared_task, train_steps

from autoseg.architectures import ARCHITECTURES, Topology
from autoseg.core.compute import Compute
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.workspace import Workspace
from autoseg.losses import LOSSES
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import TrainingChoices, make_plan
from autoseg.planning.topology import topology_for
from autoseg.stages.project import load_project
from autoseg.stages.train.task import TrainRequest
from autoseg.training.loop import measure_step

NETWORKS = (
    *("unet", "residual_encoder_unet", "unet_2015", "unet_3d_2016", "unet_plus_plus"),
    *("attention_unet", "r2_unet", "unet_transformer", "trans_unet", "encoder_unet"),
)
FIRST_LOSSES = ("dice_ce", "cross_entropy", "weighted_cross_entropy", "topk", "dice")
REPEATED = 5
MOST_STAGES = {2: 4, 3: 3}
BATCH_SIZE = 2
TIMED_ROUNDS = 3


def losses() -> tuple[str, ...]:
    """Return every loss, those with several seeds first."""
    return (*FIRST_LOSSES, *(kind for kind in LOSSES if kind not in FIRST_LOSSES))


def small(made: Plan, patch: tuple[float, ...], name: str) -> Configuration:
    """Return a plan's compact configuration with a given patch and few stages."""
    base = made.configuration(f"{len(patch)}d_compact")
    full = topology_for(base.spacing, patch)
    most = MOST_STAGES[len(patch)]
    topology = Topology(
        patch_shape=full.patch_shape, strides=full.strides[:most], kernels=full.kernels[:most]
    )
    network = base.architecture
    sized = type(network).for_topology(
        topology, in_channels=network.in_channels, num_classes=network.num_classes
    )
    changed = {
        "name": name,
        "architecture": sized.compact(),
        "batch_size": BATCH_SIZE,
        "recipe": base.recipe.model_copy(update={"validation_share": 0.0}),
    }
    return base.model_copy(update=changed)


def arms(measured: Fingerprint, patch: tuple[float, ...]) -> dict[str, Configuration]:
    """Return the configuration of each network and each loss."""
    make = partial(
        make_plan,
        measured,
        memory_gib=MEMORY_GIB,
        machine=Machine(accelerator_gib=None, cores=2),
    )
    found = {}
    for kind in NETWORKS:
        network = ARCHITECTURES[kind]
        if len(patch) in network.memory_references:
            found[f"network_{kind}"] = small(make(network=network), patch, f"network_{kind}")
    for kind in losses():
        if kind != "dice_ce":  # the plain U-Net's row among the networks
            choices = TrainingChoices(LOSSES[kind])
            made = make(network=ARCHITECTURES["unet"], choices=choices)
            found[f"loss_{kind}"] = small(made, patch, f"loss_{kind}")
    return found


def per_seed(configurations: dict[str, Configuration], seeds: int) -> list[Configuration]:
    """Return a copy of each configuration per seed."""
    return [
        configuration.model_copy(update={"name": f"{name}_{seed}"})
        for name, configuration in configurations.items()
        for seed in range(seeds)
    ]


def seeds_of(name: str, seeds: int) -> range:
    """Return the seeds of an arm."""
    kind = name.partition("_")[2]
    is_first = kind in (*NETWORKS[:REPEATED], *FIRST_LOSSES[:REPEATED])
    return range(seeds if is_first else 1)


def print_scores(workspace: Workspace, names: Sequence[str], iterations: int, seeds: int) -> None:
    """Train every arm and print its Dice by seed, and how many weights its network has."""
    rows, compute = [], Compute(workers=1)
    for name in names:
        found = [
            train_steps(workspace, f"{name}_{seed}", iterations, seed=seed, compute=compute)
            for seed in seeds_of(name, seeds)
        ]
        scores = [statistics.fmean(class_dice(each.report).values()) for each in found]
        by_seed = " / ".join(f"{dice:.3f}" for dice in scores)
        parameters = f"{found[0].run.parameters:,}"
        rows.append(line(name, parameters, by_seed, f"{statistics.fmean(scores):.3f}"))
        print(rows[-1], flush=True)
    print("\n" + head("Arm", "Parameters", "Dice by seed", "Mean"), *rows, sep="\n")


def print_times(workspace: Workspace, names: Sequence[str]) -> None:
    """Print the median seconds of a step of every arm; the rounds go over all arms in turns."""
    project = load_project(workspace, Silent())
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(TIMED_ROUNDS):
        for name in names:
            request = TrainRequest(fold=0, configuration=f"{name}_0")
            times[name].append(measure_step(prepared_task(project, request)))
    print(head("Arm", "Seconds per step"))
    for name, found in times.items():
        print(line(name, f"{statistics.median(found):.3f}"))


def main() -> None:
    """Train, or time, every arm."""
    words = [word for word in sys.argv[1:] if word != "time"]
    dataset, workspace = Path(words[0]), Workspace(Path(words[1]))
    patch = tuple(float(size) for size in words[2].split("x"))
    iterations = int(words[3]) if len(words) > 3 else 200
    seeds = int(words[4]) if len(words) > 4 else 3

    def configurations() -> dict[str, Configuration]:
        return arms(store.load(Fingerprint, workspace.fingerprint), patch)

    planned(dataset, workspace, variants=lambda _: per_seed(configurations(), seeds))
    names = list(configurations())
    if "time" in sys.argv:
        print_times(workspace, names)
    else:
        print_scores(workspace, names, iterations, seeds)


if __name__ == "__main__":
    main()
