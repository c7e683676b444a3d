"""Select a sample of a dataset's cases and set up a temporary work folder for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import CaseError, DatasetError, PlanError
from autoseg.core.formatting import format_count
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.datasets.inspection import inspect_case
from autoseg.datasets.layouts import recognise
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import CaseFingerprint, Fingerprint, combine
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.splits import Fold, Splits
from autoseg.documents.workspace import Workspace
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.readers import exists, stored_bytes
from autoseg.stages.dataset_identity import load_dataset
from autoseg.stages.plan.plan import MEMORY_WITHOUT_ACCELERATOR_GIB
from autoseg.stages.project import Project


@dataclass(frozen=True)
class Sample:
    """Some cases of a dataset, with a temporary work folder.

    Attributes:
        project: Documents of the sampled cases, with the user's plan or a plan made from these
            cases, and a temporary work folder. Its only fold has all cases.
        num_cases: Number of cases of the dataset.
        share: Share of the sampled images in the bytes of all images, used to scale measured times.
        notes: Notes to print, one sentence each.
    """

    project: Project
    num_cases: int
    share: float
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sampled cases."""
        return tuple(case.name for case in self.project.dataset.cases)


def take_sample(
    dataset: Path,
    planned: Workspace,
    scratch: Path,
    *,
    num_cases: int,
    machine: Machine,
    progress: Progress,
) -> Sample:
    """Take a sample of a dataset; files are written to `scratch` only.

    Args:
        dataset: The user's dataset folder.
        planned: Work folder of the dataset; its plan is used if it exists.
        scratch: Parent of the temporary work folder.
        num_cases: Number of cases to sample.
        machine: Machine to plan for if there is no plan.
        progress: Progress reporting.

    Raises:
        DatasetError: If the folder is not a dataset, or the work folder belongs to another one.
        CaseError: If one of the sampled cases has issues.
        PlanError: If planning fails.
    """
    has_plan = planned.plan.is_file() and dataset.is_dir()
    whole = store.load(Fingerprint, planned.fingerprint) if has_plan else None
    if whole is None:
        spec = recognise(dataset, workers=default_workers()).spec
    else:
        spec = _existing_cases(dataset, planned, whole)
    sampled = spec.model_copy(update={"cases": evenly_spread(spec.cases, num_cases)})
    progress.say(
        f"{dataset.resolve().name}: measuring {len(sampled.cases)} of "
        f"{format_count(len(spec.cases), 'case')}"
    )
    names = tuple(case.name for case in sampled.cases)
    if whole is None:
        fingerprint = _measured_fingerprint(sampled)
        memory_gib = machine.accelerator_gib or MEMORY_WITHOUT_ACCELERATOR_GIB
        plan = make_plan(fingerprint, memory_gib=memory_gib, machine=machine)
        note = f"planned from {format_count(len(names), 'case')} only"
    else:
        measured = tuple(case for case in whole.cases if case.name in names)
        fingerprint = whole.model_copy(update={"cases": measured})
        plan = store.load(Plan, planned.plan)
        note = f"using the plan {planned.plan}"
    fold = Fold(train=names, validation=names)
    splits = Splits(seed=0, reason="all sampled cases", folds=(fold,))
    return Sample(
        project=Project(Workspace(scratch / "work"), sampled, fingerprint, plan, splits),
        num_cases=len(spec.cases),
        share=_image_bytes(sampled.cases) / _image_bytes(spec.cases),
        notes=(note,),
    )


def _existing_cases(dataset: Path, planned: Workspace, measured: Fingerprint) -> DatasetSpec:
    """Return a planned dataset, restricted to the measured cases whose files exist."""
    spec = load_dataset(dataset, planned)
    known = {case.name for case in measured.cases}
    cases = tuple(
        case
        for case in spec.cases
        if case.name in known and all(map(exists, (*case.images, case.labels)))
    )
    if not cases:
        raise DatasetError(
            f"none of the {len(known)} cases in {planned.fingerprint} was found in {dataset}. "
            f"Run `autoseg plan {dataset}` to measure the existing cases."
        )
    return spec.model_copy(update={"cases": cases})


def evenly_spread(cases: Sequence[CaseFiles], count: int) -> tuple[CaseFiles, ...]:
    """Return up to `count` cases, evenly spread over all cases sorted by size."""
    if count >= len(cases):
        return tuple(cases)
    by_size = sorted(cases, key=lambda case: (_image_bytes([case]), case.name))
    places = [round((index + 0.5) * len(cases) / count - 0.5) for index in range(count)]
    return tuple(by_size[place] for place in places)


def measured_configurations(plan: Plan, named: Sequence[str]) -> tuple[Configuration, ...]:
    """Return the configurations to measure.

    Args:
        plan: The plan.
        named: Names given by the user. If empty, the plan's default (the first stage if that is a
            cascade) and the 2-D configuration with the same recipe are measured.

    Raises:
        PlanError: If a configuration does not exist, or is a cascade: it needs predictions of its
            previous stage, and `bench` makes none.
    """
    if named:
        return tuple(_without_previous_stage(plan, name) for name in dict.fromkeys(named))
    first = plan.configuration(None)
    while first.previous_stage is not None:
        first = plan.configuration(first.previous_stage)
    if first.topology.num_axes == 2:
        return (first,)
    flat = [entry for entry in plan.configurations if entry.topology.num_axes == 2]
    alike = [entry for entry in flat if entry.recipe.optimizer == first.recipe.optimizer]
    return (first, *(alike or flat)[:1])


def _without_previous_stage(plan: Plan, name: str) -> Configuration:
    """Return a configuration that is not a cascade."""
    configuration = plan.configuration(name)
    if configuration.previous_stage is not None:
        raise PlanError(
            f"{name} is a cascade, which needs the predictions of {configuration.previous_stage}; "
            f"`bench` predicts no cases. Measure {configuration.previous_stage} instead: {name} is "
            "forecast from it."
        )
    return configuration


def _measured_fingerprint(sampled: DatasetSpec) -> Fingerprint:
    """Measure the fingerprint of the sampled cases."""
    alone = sampled.model_copy(update={"cases": ()})
    return combine(
        dataset_name=sampled.name,
        channel_names=sampled.channel_names,
        labels=sampled.labels,
        cases=tuple(_inspect(files, alone) for files in sampled.cases),
    )


def _inspect(files: CaseFiles, spec: DatasetSpec) -> CaseFingerprint:
    try:
        return inspect_case(files, spec)
    except CaseError as error:
        msg = f"{files.name}: {error}\n`autoseg plan` lists the issues of all cases."
        raise CaseError(msg) from error


def _image_bytes(cases: Sequence[CaseFiles]) -> int:
    return sum(stored_bytes(path) for case in cases for path in case.images)
