"""Options of a run, and what its trainings share."""

from dataclasses import dataclass, field
from pathlib import Path

from autoseg.core.compute import Compute
from autoseg.planning.forecast import Machine
from autoseg.stages.plan.fingerprint import DEFAULT_CHOICES, DatasetChoices
from autoseg.stages.plan.plan import DEFAULT_REQUEST, PlanRequest, this_machine
from autoseg.stages.project import Project
from autoseg.tracking import Tracker
from autoseg.tracking.tracked import Tracked


@dataclass(frozen=True)
class RunRequest:
    """Options of a run.

    Attributes:
        budget_seconds: Total time; None trains every configuration at full length.
        configurations: Configurations to train; None chooses automatically.
        planning: Options for planning, without the timing, which follows from the other options.
        output: Model file; by default it has the dataset's name, in the work folder.
        seed: Random seed of every training.
        compute: Device, precision, number of background processes and cache folder.
        choices: Choices of the user for reading the dataset.
        started: When the command started, on the clock of `time.perf_counter`; its time counts from
            then. None for the start of `run`.
        trackers: Experiment trackers.
    """

    budget_seconds: float | None = None
    configurations: tuple[str, ...] | None = None
    planning: PlanRequest = DEFAULT_REQUEST
    output: Path | None = None
    seed: int = 0
    compute: Compute = field(default_factory=Compute)
    choices: DatasetChoices = DEFAULT_CHOICES
    started: float | None = None
    trackers: tuple[Tracker, ...] = ()


@dataclass(frozen=True)
class RunSetup:
    """Data shared by all trainings of a run.

    Attributes:
        project: The project.
        request: Options of the run.
        tracked: The run in the experiment trackers.
    """

    project: Project
    request: RunRequest
    tracked: Tracked = field(default_factory=Tracked)

    @property
    def num_folds(self) -> int:
        """Number of folds of the cross-validation."""
        return len(self.project.splits.folds)

    @property
    def machine(self) -> Machine:
        """Machine that trains."""
        return this_machine(self.request.compute.device, self.request.compute.cache)
