"""Which precision a network is safe in on this CPU: a step is tried once, in another process."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from autoseg.core.child import run_module
from autoseg.core.device import Precision
from autoseg.core.instructions import LIMITED, UNLIMITED, choices, choose
from autoseg.core.processor import processor_name
from autoseg.core.progress import Progress
from autoseg.documents.plan import Configuration
from autoseg.documents.step_check import CheckedStep, StepIdentity
from autoseg.inference.model import PrecisionRule
from autoseg.stages.measurements import keep, kept, measurement_file
from autoseg.training.precision import training_dtype
from autoseg.training.trial_step import TrialRequest, TrialResult

PROGRAM = "autoseg.training.trial_step"
"""What tries a step."""


@dataclass(frozen=True)
class StepChecks:
    """How networks are checked.

    Attributes:
        cache: Folder that findings are kept in; None keeps none.
        progress: Where to report to.
        is_new_tried: Whether a step is tried of which nothing is known; else it counts as safe.
    """

    cache: Path | None
    progress: Progress
    is_new_tried: bool = True

    def safe_precision(
        self, configuration: Configuration, device: torch.device, precision: Precision
    ) -> Precision:
        """Return the precision that a network can compute in: the one asked for, or float32.

        Where oneDNN must be limited to some of the CPU's instructions for it, this process is, if
        it has computed nothing before. A sentence says what was found and what is used instead.

        Args:
            configuration: With the network, the patch and the batch size.
            device: Only a CPU in half precision is checked.
            precision: That was asked for.
        """
        if device.type != "cpu":
            return precision
        dtype = training_dtype(device, precision, configuration.topology)
        found: list[str] = []
        for instructions in choices():
            finding = None
            if dtype != torch.float32:
                finding = self._finding(configuration, dtype, instructions)
            if finding is None:
                choose(instructions)
                if found:
                    self._say(configuration, dtype, found, f"oneDNN is limited to {LIMITED}")
                return precision
            found.append(finding)
        remedy = "it computes in float32"
        if choices() == (UNLIMITED,):
            remedy += ", since this process can no longer limit oneDNN to fewer instructions"
        choose(choices()[0])
        self._say(configuration, dtype, found, remedy)
        return "float32"

    def limit_for_all(
        self, configurations: list[Configuration], device: torch.device, precision: Precision
    ) -> None:
        """Limit oneDNN's instructions for this process if one of several networks needs that."""
        if device.type != "cpu":
            return
        for configuration in configurations:
            dtype = training_dtype(device, precision, configuration.topology)
            if dtype == torch.float32 or len(choices()) == 1:
                continue
            finding = self._finding(configuration, dtype, UNLIMITED)
            if finding is not None:
                choose(LIMITED)
                remedy = f"oneDNN is limited to {LIMITED} for all trainings"
                self._say(configuration, dtype, [finding], remedy)

    def _finding(
        self, configuration: Configuration, dtype: torch.dtype, instructions: str
    ) -> str | None:
        """Return the issue of a training step; None without a known issue."""
        identity = _identity(configuration, dtype, instructions)
        path = None if self.cache is None else measurement_file(self.cache, "step", identity)
        known = None if path is None else kept(CheckedStep, path)
        if known is not None and known.identity == identity:
            return known.finding
        if not self.is_new_tried:
            return None
        checked = self._tried(configuration, identity)
        if checked is not None and path is not None:
            keep(checked, path, self.progress)
        return None if checked is None else checked.finding

    def _tried(self, configuration: Configuration, identity: StepIdentity) -> CheckedStep | None:
        """Return the finding of a training step in a child process; None if it could not run."""
        self.progress.say(
            f"checking a training step of {configuration.name} in {identity.precision} on this "
            "CPU; this is done once"
        )
        request = TrialRequest.model_validate(
            {
                "architecture": configuration.architecture,
                "batch_size": configuration.batch_size,
                "precision": identity.precision,
                "threads": identity.threads,
            }
        )
        ended = run_module(PROGRAM, request.model_dump_json(), instructions=identity.instructions)
        finding = ended.crash
        if ended.is_killed or (finding is None and ended.status != 0):
            cause = "memory ran out, or someone killed it" if ended.is_killed else ended.last_error
            self.progress.say(
                f"note: the check could not be made ({cause}); {configuration.name} computes in "
                f"{identity.precision} unchecked"
            )
            return None
        if finding is None:
            finding = TrialResult.model_validate_json(ended.output.splitlines()[-1]).finding
        return CheckedStep(identity=identity, finding=finding)

    def _say(
        self, configuration: Configuration, dtype: torch.dtype, found: list[str], remedy: str
    ) -> None:
        first, *others = found
        limited = "".join(f", and with oneDNN limited to {LIMITED} it {one}" for one in others)
        self.progress.say(
            f"warning: in {_name(dtype)} on this CPU, a training step of {configuration.name} "
            f"{first}{limited}; instead, {remedy}."
        )


def known_precision(cache: Path | None, progress: Progress) -> PrecisionRule:
    """Return the rule by which networks predict in the precision that they are known to train in.

    Args:
        cache: Folder of what is known; None knows nothing.
        progress: Where to report to.
    """
    return StepChecks(cache, progress, is_new_tried=False).safe_precision


def _identity(configuration: Configuration, dtype: torch.dtype, instructions: str) -> StepIdentity:
    network = configuration.architecture.model_dump_json().encode()
    return StepIdentity(
        processor=processor_name(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        network=hashlib.sha256(network).hexdigest(),
        batch_size=configuration.batch_size,
        precision=_name(dtype),
        instructions=instructions,
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
