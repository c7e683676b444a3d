"""Trackers that remember what they receive, or fail."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from autoseg.tracking.base import Metrics, RunDescription, RunWriter, Tracker


class RememberedRun(RunWriter):
    def __init__(self, owner: "Remembering", run_id: str) -> None:
        self.owner, self.id = owner, run_id
        self.events = owner.runs.setdefault(run_id, [])

    def log(self, metrics: Metrics) -> None:
        self.owner.on_log(metrics)
        self.events.append((metrics.step, dict(metrics.values)))

    def log_file(self, path: Path) -> None:
        self.events.append((path.name, path.read_bytes()))

    def end(self, status: str) -> None:
        self.events.append(("end", status))


class Remembering(Tracker):
    """Keeps what it receives in `runs` and `descriptions`; `on_log` and `on_start` may fail."""

    module: ClassVar[str] = "json"
    kind: Literal["remembering"] = "remembering"
    runs: Any = None
    descriptions: Any = None
    on_log: Callable[[Metrics], None] = lambda _: None
    on_start: Callable[[], None] = lambda: None

    def start(self, run: RunDescription, known: str | None, last_step: int) -> RunWriter:
        self.on_start()
        if known not in self.runs:
            known = f"run {len(self.descriptions)}"
            self.descriptions[known] = run
        return RememberedRun(self, known)


def remembering(**changes: object) -> Remembering:
    return Remembering(runs={}, descriptions={}, **changes)


def steps(events: list) -> list[int]:
    return [step for step, _ in events if isinstance(step, int)]


def described(folder: Path, **changes: object) -> RunDescription:
    settings = {
        "name": "2d, fold 0",
        "experiment": "nuclei",
        "folder": folder,
        "work": folder,
        "parameters": {"batch_size": "2", "loss.kind": "dice_ce"},
        "tags": {"host": "here"},
    }
    return RunDescription(**settings | changes)
