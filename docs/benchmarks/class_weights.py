"""Compare class weights of the loss: none, among foreground classes, among all classes.

Run it as `python docs/benchmarks/class_weights.py DATASET WORK [ITERATIONS] [SEEDS]`. Every arm and
seed is a configuration of one plan, so all share prepared cases, fold and network. What is trained
already is kept: the same command goes on where it stopped.
"""

import statistics
import sys
from pathlib import Path

from autoseg.core.compute import Compute
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Configuration
from autoseg.documents.report import Report
from autoseg.documents.workspace import Workspace
from autoseg.stages.plan.plan import PlanRequest, plan
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train
from autoseg.terminal import TerminalProgress

Weights = tuple[float, ...] | None
SMALLEST, LARGEST = 0.5, 3.0


def balanced(frequencies: tuple[float, ...], reference: tuple[float, ...]) -> list[float]:
    """Return √(median of the reference / frequency), kept between 0.5 and 3."""
    median = statistics.median(value for value in reference if value > 0)
    raw = [(median / value) ** 0.5 if value > 0 else 1.0 for value in frequencies]
    return [round(min(max(value, SMALLEST), LARGEST), 3) for value in raw]


def arms(frequencies: tuple[float, ...]) -> dict[str, Weights]:
    """Return the weights of each arm; arms with the same weights are one."""
    foreground = frequencies[1:]
    found: dict[str, Weights] = {
        "equal": None,
        "foreground": (1.0, *balanced(foreground, foreground)),
        "all": tuple(balanced(frequencies, frequencies)),
    }
    if set(found["foreground"] or ()) == {1.0}:
        del found["foreground"]
    return found


def variant(base: Configuration, name: str, weights: Weights) -> Configuration:
    """Return the configuration with other weights, on the same prepared cases."""
    loss = base.loss.model_copy(update={"class_weights": weights})
    return base.model_copy(update={"name": name, "loss": loss})


def scores(report: Report) -> list[float]:
    """Return the Dice of each class, and their mean."""
    found = [entry.means.dice.value or 0.0 for entry in report.classes]
    return [*found, statistics.fmean(found)]


def main() -> None:
    """Train every arm and seed, and print the table."""
    dataset, workspace = Path(sys.argv[1]), Workspace(Path(sys.argv[2]))
    iterations = int(sys.argv[3]) if len(sys.argv) > 3 else 500
    seeds = range(int(sys.argv[4]) if len(sys.argv) > 4 else 3)
    progress = TerminalProgress()
    if not workspace.plan.is_file():
        made = plan(dataset, workspace, PlanRequest(memory_gib=8.0), workers=2, progress=progress)
        base = made.configuration(None)
        measured = store.load(Fingerprint, workspace.fingerprint)
        variants = tuple(
            variant(base, f"{arm}_{seed}", weights)
            for seed in seeds
            for arm, weights in arms(measured.class_frequencies).items()
        )
        changed = {"configurations": variants, "default_configuration": variants[0].name}
        store.save(made.model_copy(update=changed), workspace.plan)
    measured = store.load(Fingerprint, workspace.fingerprint)
    table: dict[str, list[list[float]]] = {}
    for seed in seeds:
        for arm in arms(measured.class_frequencies):
            length = TrainingDuration(iterations=iterations)
            request = TrainRequest(
                fold=0,
                configuration=f"{arm}_{seed}",
                length=length,
                seed=seed,
                compute=Compute(workers=1),
            )
            trained = train(workspace, request, progress=progress)
            table.setdefault(arm, []).append(scores(trained.report))
            print(arm, seed, [round(value, 3) for value in table[arm][-1]], flush=True)
    progress.close()
    for arm, weights in arms(measured.class_frequencies).items():
        columns = list(zip(*table[arm], strict=True))
        cells = [f"{statistics.fmean(c):.3f} ± {statistics.pstdev(c):.3f}" for c in columns]
        print(f"| {arm} | {weights or 'equal'} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
