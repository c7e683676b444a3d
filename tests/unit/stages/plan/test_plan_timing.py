"""Plans that are sized to a time budget, and the machine speed that they use."""

from pathlib import Path

import pytest
import torch

from autoseg.core.errors import PlanError
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.machine import MeasuredMachine, StepCosts
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace
from autoseg.planning.run_candidates import first_share
from autoseg.stages.plan import machine_speed as speed
from autoseg.stages.plan import plan as stage
from autoseg.stages.plan.fingerprint import fingerprint
from autoseg.stages.plan.machine_speed import Measurement, machine_identity
from autoseg.stages.plan.plan import (
    PlanRequest,
    Timing,
    plan,
    plan_configurations,
    this_machine,
)

CPU = torch.device("cpu")
HALF_A_SECOND = StepCosts(
    seconds_per_step=0.5,
    seconds_per_billion_multiplications=0.0,
    seconds_per_million_activations=0.0,
)


@pytest.fixture(autouse=True)
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Let every step take half a second; return the list of the devices that were measured."""
    devices: list[torch.device] = []

    def measured(_progress):
        devices.append(CPU)
        costs = {"planes": HALF_A_SECOND, "volumes": HALF_A_SECOND}
        machine = MeasuredMachine(identity=machine_identity(CPU), **costs)
        return Measurement(machine=machine, is_disturbed=False)

    monkeypatch.setattr(speed, "measure_in_subprocess", measured)
    monkeypatch.setattr(stage, "measure_step_times", lambda *_, **__: {})
    return devices


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work")


def planned(dataset: Path, workspace: Workspace, **timing) -> Plan:
    request = PlanRequest(timing=Timing(device="cpu", **timing))
    return plan(dataset, workspace, request, workers=1, progress=Silent())


def forecast(made: Plan, what: str) -> str:
    field = f"{made.default_configuration}.{what}"
    return next(entry.value for entry in made.decisions if entry.field == field)


def test_a_plan_for_a_budget_uses_the_measured_speed(volumes_dataset, workspace, measurements):
    made = planned(
        volumes_dataset, workspace, cache=workspace.root / "cache", budget_seconds=1000.0
    )
    assert len(measurements) == 1
    assert made.budget is not None
    assert made.budget.seconds == 1000.0
    assert forecast(made, "predicted_steps") == "1935 steps in 16.7 min"
    assert store.load(Plan, workspace.plan) == made


def test_the_best_candidates_are_timed(volumes_dataset, workspace, monkeypatch):
    def timed(cache, device, steps, *, remeasure, progress):
        assert cache == workspace.root / "cache"
        assert not remeasure
        return dict.fromkeys(steps, 0.25)

    monkeypatch.setattr(stage, "measure_step_times", timed)
    made = planned(
        volumes_dataset, workspace, cache=workspace.root / "cache", budget_seconds=1000.0
    )
    assert forecast(made, "predicted_steps") == "3871 steps in 16.7 min"


def test_a_plan_without_a_time_measures_nothing_but_uses_what_is_known(
    volumes_dataset, workspace, measurements
):
    cache = workspace.root / "cache"
    before = planned(volumes_dataset, workspace, cache=cache)
    assert measurements == []
    planned(volumes_dataset, workspace, cache=cache, remeasure=True)
    assert len(measurements) == 1
    after = planned(volumes_dataset, workspace, cache=cache)
    assert len(measurements) == 1
    assert forecast(after, "predicted_time") == "34.7 h"  # 250 000 half seconds
    assert forecast(before, "predicted_time") != "34.7 h"
    assert after.configurations == before.configurations


@pytest.mark.parametrize(("kind", "num_candidates"), [("volumes", 2), ("pictures", 1)])
def test_the_time_of_a_run_is_shared_among_its_trainings(
    kind: str, num_candidates: int, workspace: Workspace, request: pytest.FixtureRequest
):
    dataset = request.getfixturevalue(f"{kind}_dataset")
    _, measured = fingerprint(dataset, workspace, workers=1, progress=Silent())
    timing = Timing(cache=workspace.root / "cache", budget_seconds=9000.0, device="cpu")
    made = plan_configurations(
        workspace, measured, PlanRequest(timing=timing), num_folds=5, progress=Silent()
    )
    assert made.budget is not None
    assert made.budget.seconds == pytest.approx(first_share(9000.0, 5, num_candidates))


def test_without_a_cache_the_constants_hold(volumes_dataset, workspace, measurements):
    made = planned(volumes_dataset, workspace, budget_seconds=60.0)
    assert measurements == []
    assert made.budget is not None


def test_a_budget_that_is_too_small_leaves_no_plan(volumes_dataset, workspace):
    with pytest.raises(PlanError, match="needs at least 100"):
        planned(volumes_dataset, workspace, cache=workspace.root / "cache", budget_seconds=20.0)
    assert not workspace.plan.exists()


def test_a_requested_cpu_has_no_gpu_memory():
    assert this_machine("cpu").accelerator_gib is None
