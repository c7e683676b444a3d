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
from pathlib import Path

from autoseg.architectures import ARCHITECTURES, Topology
from autoseg.core.compute import Compute
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.report import Report
from autoseg.documents.run import Run
from autoseg.documents.workspace import Workspace
from autoseg.losses import LOSSES
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.planning.topology import topology_for
from autoseg.stages.plan.plan import PlanRequest, plan
from autoseg.stages.preprocess import prepare_cases
from autoseg.stages.project import fold_cases, load_project
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest, training_task
from autoseg.stages.train.train import train
from autoseg.terminal import TerminalProgress
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


def small(planned: Plan, patch: tuple[float, ...], name: str) -> Configuration:
    """Return a plan's compact configuration with a given patch and few stages."""
    base = planned.configuration(f"{len(patch)}d_compact")
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
    machine = Machine(accelerator_gib=None, cores=2)
    found = {}
    for kind in NETWORKS:
        network = ARCHITECTURES[kind]
        if len(patch) in network.memory_references:
            planned = make_plan(measured, network=network, memory_gib=8.0, machine=machine)
            found[f"network_{kind}"] = small(planned, patch, f"network_{kind}")
    for kind in losses():
        if kind != "dice_ce":  # the plain U-Net's row among the networks
            planned = make_plan(
                measured,
                network=ARCHITECTURES["unet"],
                memory_gib=8.0,
                machine=machine,
                loss=LOSSES[kind],
            )
            found[f"loss_{kind}"] = small(planned, patch, f"loss_{kind}")
    return found


def prepared(dataset: Path, workspace: Workspace, patch: tuple[float, ...], seeds: int) -> None:
    """Plan once, with a configuration per arm and seed."""
    if workspace.plan.is_file():
        return
    made = plan(
        dataset, workspace, PlanRequest(memory_gib=8.0), workers=2, progress=TerminalProgress()
    )
    measured = store.load(Fingerprint, workspace.fingerprint)
    found = [
        configuration.model_copy(update={"name": f"{name}_{seed}"})
        for name, configuration in arms(measured, patch).items()
        for seed in range(seeds)
    ]
    changed = {"configurations": tuple(found), "default_configuration": found[0].name}
    store.save(made.model_copy(update=changed), workspace.plan)


def seeds_of(name: str, seeds: int) -> range:
    """Return the seeds of an arm."""
    kind = name.partition("_")[2]
    is_first = kind in (*NETWORKS[:REPEATED], *FIRST_LOSSES[:REPEATED])
    return range(seeds if is_first else 1)


def mean_dice(report: Report) -> float:
    """Return the mean of the classes' Dice over the held-out cases."""
    return statistics.fmean(entry.means.dice.value or 0.0 for entry in report.classes)


def trained(workspace: Workspace, name: str, iterations: int, seed: int) -> tuple[float, Run]:
    """Return the Dice of an arm, trained if it is not yet, and its record."""
    request = TrainRequest(
        fold=0,
        configuration=f"{name}_{seed}",
        length=TrainingDuration(iterations=iterations),
        seed=seed,
        checkpoint_seconds=3600.0,
        compute=Compute(workers=1),
    )
    progress = TerminalProgress()
    result = train(workspace, request, progress=progress)
    progress.close()
    assert result.report is not None  # noqa: S101  (fold 0 holds cases out)
    return mean_dice(result.report), result.run


def print_scores(workspace: Workspace, names: Sequence[str], iterations: int, seeds: int) -> None:
    """Train every arm and print its Dice by seed, and how many weights its network has."""
    rows = []
    for name in names:
        found = [trained(workspace, name, iterations, seed) for seed in seeds_of(name, seeds)]
        scores = [dice for dice, _ in found]
        cells = [name, f"{found[0][1].parameters:,}", " / ".join(f"{dice:.3f}" for dice in scores)]
        rows.append(f"| {' | '.join([*cells, f'{statistics.fmean(scores):.3f}'])} |")
        print(rows[-1], flush=True)
    print("\n| Arm | Parameters | Dice by seed | Mean |\n|---|---|---|---|", *rows, sep="\n")


def print_times(workspace: Workspace, names: Sequence[str]) -> None:
    """Print the median seconds of a step of every arm; the rounds go over all arms in turns."""
    progress = TerminalProgress()
    project = load_project(workspace, progress)
    fold = fold_cases(project, 0, progress)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(TIMED_ROUNDS):
        for name in names:
            request = TrainRequest(fold=0, configuration=f"{name}_0")
            cases = prepare_cases(project, f"{name}_0", workers=2, progress=progress).cases
            times[name].append(measure_step(training_task(project, fold, cases, request)))
    print("| Arm | Seconds per step |\n|---|---|")
    for name, found in times.items():
        print(f"| {name} | {statistics.median(found):.3f} |")


def main() -> None:
    """Train, or time, every arm."""
    words = [word for word in sys.argv[1:] if word != "time"]
    dataset, workspace = Path(words[0]), Workspace(Path(words[1]))
    patch = tuple(float(size) for size in words[2].split("x"))
    iterations = int(words[3]) if len(words) > 3 else 200
    seeds = int(words[4]) if len(words) > 4 else 3
    prepared(dataset, workspace, patch, seeds)
    measured = store.load(Fingerprint, workspace.fingerprint)
    names = list(arms(measured, patch))
    if "time" in sys.argv:
        print_times(workspace, names)
    else:
        print_scores(workspace, names, iterations, seeds)


if __name__ == "__main__":
    main()
