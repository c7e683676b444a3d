"""Choose the cases that stand for a dataset, and give them a work folder of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import CaseError, DatasetError, PlanError
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.core.text import counted
from autoseg.datasets.inspection import inspect_case
from autoseg.datasets.layouts import recognise
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import CaseFingerprint, Fingerprint, combine
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.workspace import Workspace
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.stages.dataset_identity import check_dataset_identity
from autoseg.stages.plan import MEMORY_WITHOUT_ACCELERATOR_GIB, load_plan


@dataclass(frozen=True)
class Sample:
    """Some cases of a dataset, planned in a temporary work folder.

    Attributes:
        spec: The dataset, with these cases alone.
        plan: The user's plan, or one that was made of these cases.
        workspace: Temporary; it has the documents of these cases.
        num_cases: How many cases the dataset has.
        share: Their part of the bytes of all images; what they take is scaled by it.
        notes: What is particular, a sentence each.
    """

    spec: DatasetSpec
    plan: Plan
    workspace: Workspace
    num_cases: int
    share: float
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What the cases are called."""
        return tuple(case.name for case in self.spec.cases)


def take_sample(
    dataset: Path,
    planned: Workspace,
    scratch: Path,
    *,
    num_cases: int,
    machine: Machine,
    progress: Progress,
) -> Sample:
    """Return a sample of a dataset; the only files that are written are in `scratch`.

    Args:
        dataset: The user's folder.
        planned: The work folder that belongs to it; its plan is taken if there is one.
        scratch: Where the temporary work folder goes.
        num_cases: How many cases to take.
        machine: What to plan for, if nothing is planned.
        progress: Where to report to.

    Raises:
        DatasetError: If the folder is no dataset, or the work folder belongs to another one.
        CaseError: If one of the cases has issues.
        PlanError: If nothing can be planned.
    """
    check_dataset_identity(dataset, planned)
    has_plan = planned.plan.is_file() and dataset.is_dir()
    spec = _described(dataset, planned if has_plan else None)
    sampled = spec.model_copy(update={"cases": evenly_spread(spec.cases, num_cases)})
    progress.say(
        f"{dataset.resolve().name}: measuring {len(sampled.cases)} of "
        f"{counted(len(spec.cases), 'case')}"
    )
    if has_plan:
        plan, fingerprint = load_plan(planned), _known_fingerprint(planned, sampled)
        note = f"the plan is {planned.plan}"
    else:
        fingerprint = _measured_fingerprint(sampled)
        plan = _planned(fingerprint, machine)
        note = f"planned from {counted(len(sampled.cases), 'case')} alone"
    workspace = Workspace(scratch / "work")
    store.save(sampled, workspace.dataset)
    store.save(fingerprint, workspace.fingerprint)
    store.save(plan, workspace.plan)
    return Sample(
        spec=sampled,
        plan=plan,
        workspace=workspace,
        num_cases=len(spec.cases),
        share=_image_bytes(sampled.cases) / _image_bytes(spec.cases),
        notes=(note,),
    )


def _described(dataset: Path, planned: Workspace | None) -> DatasetSpec:
    """Return the dataset with the cases whose files are there, and which were planned for.

    Raises:
        DatasetError: If there is none.
    """
    if planned is None:
        return recognise(dataset, workers=default_workers()).spec
    spec = store.load(DatasetSpec, planned.dataset, made_by="autoseg plan")
    if not spec.root.is_dir():  # the dataset was moved
        spec = recognise(dataset, workers=default_workers()).spec
    measured = store.load(Fingerprint, planned.fingerprint, made_by="autoseg plan")
    known = {case.name for case in measured.cases}
    cases = tuple(case for case in spec.cases if case.name in known and _is_there(case))
    if not cases:
        msg = (
            f"none of the {len(known)} cases that {planned.fingerprint} knows is in {dataset}. "
            f"Run `autoseg plan {dataset}`, which measures those that are."
        )
        raise DatasetError(msg)
    return spec.model_copy(update={"cases": cases})


def _is_there(case: CaseFiles) -> bool:
    return all(path.is_file() for path in (*case.images, case.labels))


def evenly_spread(cases: Sequence[CaseFiles], count: int) -> tuple[CaseFiles, ...]:
    """Return up to `count` cases, evenly spread over all when these are sorted by size."""
    if count >= len(cases):
        return tuple(cases)
    by_size = sorted(cases, key=lambda case: (_image_bytes([case]), case.name))
    places = [round((index + 0.5) * len(cases) / count - 0.5) for index in range(count)]
    return tuple(by_size[place] for place in places)


def measured_configurations(plan: Plan, named: Sequence[str]) -> tuple[Configuration, ...]:
    """Return the configurations to measure.

    Args:
        plan: The plan.
        named: By the user; without any, the plan's default (of a cascade its first stage) and the
            2-D configuration that shares its recipe.

    Raises:
        PlanError: If there is none of a name, or it is a cascade: its networks learn from the
            predictions of others, which are not there.
    """
    if named:
        return tuple(_alone(plan, name) for name in dict.fromkeys(named))
    first = plan.configuration(None)
    while first.previous_stage is not None:
        first = plan.configuration(first.previous_stage)
    if first.topology.num_axes == 2:
        return (first,)
    flat = [entry for entry in plan.configurations if entry.topology.num_axes == 2]
    alike = [entry for entry in flat if entry.recipe.optimizer == first.recipe.optimizer]
    return (first, *(alike or flat)[:1])


def _alone(plan: Plan, name: str) -> Configuration:
    """Return a configuration that needs no other one.

    Raises:
        PlanError: If it does.
    """
    configuration = plan.configuration(name)
    if configuration.previous_stage is not None:
        msg = (
            f"{name} is a cascade, which learns from what {configuration.previous_stage} predicts; "
            f"nothing is predicted here. Measure {configuration.previous_stage}, from which {name} "
            "is forecast."
        )
        raise PlanError(msg)
    return configuration


def _known_fingerprint(planned: Workspace, sampled: DatasetSpec) -> Fingerprint:
    """Return the part of a dataset's fingerprint that is about some cases."""
    whole = store.load(Fingerprint, planned.fingerprint, made_by="autoseg plan")
    names = {case.name for case in sampled.cases}
    cases = tuple(case for case in whole.cases if case.name in names)
    return whole.model_copy(update={"cases": cases})


def _measured_fingerprint(sampled: DatasetSpec) -> Fingerprint:
    """Return what is measured of the cases now.

    Raises:
        CaseError: If one of them has issues.
    """
    alone = sampled.model_copy(update={"cases": ()})
    return combine(
        dataset_name=sampled.name,
        channel_names=sampled.channel_names,
        labels=sampled.labels,
        cases=tuple(_inspected(files, alone) for files in sampled.cases),
    )


def _inspected(files: CaseFiles, spec: DatasetSpec) -> CaseFingerprint:
    try:
        return inspect_case(files, spec)
    except CaseError as error:
        msg = f"{files.name}: {error}\n`autoseg plan` lists the issues of all cases."
        raise CaseError(msg) from error


def _planned(fingerprint: Fingerprint, machine: Machine) -> Plan:
    memory_gib = machine.accelerator_gib or MEMORY_WITHOUT_ACCELERATOR_GIB
    return make_plan(fingerprint, memory_gib=memory_gib, machine=machine)


def _image_bytes(cases: Sequence[CaseFiles]) -> int:
    return sum(path.stat().st_size for case in cases for path in case.images)
