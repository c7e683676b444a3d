"""A short campaign; `python -m tests.faults` makes a long one."""

import sys
from collections.abc import Iterator

import pytest
from faults import disks, fuzzing, kills, uses
from faults.command import workplace
from faults.inputs import load_seeds
from faults.server import Server
from faults.trials import Budget, Trial
from faults.world import SCENES, World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and preloading")

BY_NAME = {scene.name: scene for scene in SCENES}
KILLED = ("train", "predict")
ON_FAILING_DISKS = ("preprocess", "export", "import nnunet")


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[World, Server]]:
    with workplace(1) as (world, (server,)):
        yield world, server


def faults_of(trials: Iterator[Trial]) -> list[str]:
    made = list(trials)
    assert made
    return [f"{fault.kind} ({fault.detail})" for trial in made for fault in trial.faults]


def test_mutated_inputs_are_read_or_refused(place: tuple[World, Server]) -> None:
    world, server = place
    assert not faults_of(fuzzing.campaign(world.root, [server], 0, Budget(100)))


def test_the_inputs_are_valid_before_they_are_mutated(place: tuple[World, Server]) -> None:
    world, server = place
    path, output = fuzzing.seed_file(world.root, server), world.root.parent / "valid.txt"
    status = server.run("read_seeds", path, world.root.parent / "valid", output=output)
    assert status == 0, output.read_text()
    assert len(load_seeds(path)) > 60


def test_killed_commands_complete_when_they_are_run_again(place: tuple[World, Server]) -> None:
    world, server = place
    scenes = [BY_NAME[name] for name in KILLED]
    assert not faults_of(kills.campaign(world, [server], 0, Budget(len(scenes)), scenes))


@pytest.mark.skipif(not disks.has_compiler(), reason=disks.NO_COMPILER)
def test_commands_on_a_failing_disk_print_a_sentence_and_complete_later(
    place: tuple[World, Server],
) -> None:
    world, server = place
    scenes = [BY_NAME[name] for name in ON_FAILING_DISKS]
    made = list(disks.campaign(world, [server], 0, Budget(len(scenes)), scenes))
    assert not faults_of(iter(made))
    assert any(trial.outcome == "refused" for trial in made)


@pytest.mark.parametrize("use", uses.USES, ids=lambda use: use.name)
def test_wrong_uses_are_refused_with_a_sentence(use: uses.Use, place: tuple[World, Server]) -> None:
    world, server = place
    assert not faults_of(uses.campaign(world, [server], 0, Budget(1), [use]))
