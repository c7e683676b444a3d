"""Signals at random moments: afterwards, the same command completes as if nothing had happened."""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from faults import world as worlds
from faults.contents import contents_of, differences
from faults.server import Server, end_session, session_of
from faults.trials import Budget, Fault, Trial, each_trial, problem_in, without_numbers
from faults.world import SCENES, Scene, World

SIGNALS = (signal.SIGKILL,) * 4 + (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
TARGETS = ("all processes", "the command", "one of its processes")
PATIENCE_SECONDS = 90.0
"""Time in which a command ends after a signal."""


def campaign(
    world: World,
    servers: Sequence[Server],
    seed: int,
    budget: Budget,
    scenes: Sequence[Scene] = SCENES,
) -> Iterator[Trial]:
    """Interrupt commands at random moments, and run them again."""
    for scene in scenes:
        if scene.name not in world.references:
            world.measure(scene, servers[0], world.new_trial(scene, "whole"))

    def trial(number: int, server: Server) -> Trial:
        chance = random.Random(f"{seed} kills {number}")
        scene = scenes[number % len(scenes)]
        folder = world.new_trial(scene, f"kill_{number}")
        try:
            return _trial(scene, folder, world, server, chance)
        finally:
            worlds.delete(folder)

    return each_trial(trial, servers, budget)


def _trial(
    scene: Scene,
    folder: Path,
    world: World,
    server: Server,
    chance: random.Random,
) -> Trial:
    expected = world.references[scene.name]
    story, problems = [], []
    for _ in range(chance.choice((1, 1, 2, 3))):
        number, target = chance.choice(SIGNALS), chance.choice(TARGETS)
        delay = chance.random() * expected.seconds
        pid = worlds.start(scene, world, server, folder)
        time.sleep(delay)
        _send(number, target, pid, chance)
        story.append(f"{number.name} to {target} after {delay:.3f} s")
        problems += _problems_after(number, target, server, pid, folder)
        story.append(worlds.output_of(folder).read_text(errors="replace"))
    status = worlds.run(scene, world, server, folder)
    output = worlds.output_of(folder).read_text(errors="replace")
    story += [f"again: status {status}", output]
    if status != 0:
        reason = problem_in(output) or (output.strip().splitlines() or [""])[-1]
        problems.append(f"cannot be completed: {reason}".replace(str(folder), ""))
    else:
        found = differences(contents_of(folder), expected.contents)
        problems += [f"other results: {line}" for line in found[:1]]
        story += found
    record = {"trial.txt": "\n".join([scene.name, *story]).encode()}
    faults = tuple(
        Fault(f"{scene.name}: {without_numbers(problem)}", "; ".join(story[:1]), record)
        for problem in problems
    )
    return Trial(scene.name, "fault" if faults else "completed", faults)


def _send(number: signal.Signals, target: str, pid: int, chance: random.Random) -> None:
    with suppress(ProcessLookupError):
        if target == "all processes":
            os.killpg(pid, number)
        elif target == "the command":
            os.kill(pid, number)
        else:
            os.kill(chance.choice(sorted(session_of(pid)) or [pid]), number)


def _problems_after(
    number: signal.Signals, target: str, server: Server, pid: int, folder: Path
) -> list[str]:
    """Return what is wrong about the way in which a command ended."""
    status = server.wait(pid, PATIENCE_SECONDS)
    left = end_session(pid, patience=20.0)
    if status is None:
        server.wait(pid, 30.0)
        return [f"does not end after {number.name} to {target}"]
    problems = [f"leaves processes after {number.name} to {target}"] if left else []
    output = worlds.output_of(folder)  # missing if the signal came first
    problem = problem_in(output.read_text(errors="replace")) if output.exists() else None
    if problem is not None:
        problems.append(f"prints a traceback after {number.name}: {problem}")
    return problems
