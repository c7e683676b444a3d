"""Find a safe precision for a network on this CPU by trying one step in another process."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from autoseg.core.child import run_module
from autoseg.core.compute import Compute
from autoseg.core.device import Precision
from autoseg.core.instructions import LIMITED, UNLIMITED, choices, choose
from autoseg.core.processor import processor_name
from autoseg.core.progress import Progress
from autoseg.documents.machine import CheckedStep, StepIdentity
from autoseg.documents.plan import Configuration
from autoseg.models.loader import LoadOptions
from autoseg.stages.measurements import load_measurement, measurement_file, save_measurement
from autoseg.training.precision import training_dtype
from autoseg.training.trial_step import TrialRequest, TrialResult

PROGRAM = "autoseg.training.trial_step"
"""Module that runs a trial step."""


@dataclass(frozen=True)
class StepChecks:
    """Checks of training steps on this CPU, with cached results.

    Attributes:
        cache: Cache folder for the results; None disables the cache.
        progress: Receives messages.
        runs_new_checks: Whether to try steps without a cached result; else they count as safe.
        limits_instructions: Whether oneDNN may be limited in this process.
    """

    cache: Path | None
    progress: Progress
    runs_new_checks: bool = True
    limits_instructions: bool = True

    def safe_precision(
        self, configuration: Configuration, device: torch.device, precision: Precision
    ) -> Precision:
        """Return a precision that is safe for a network: the requested one, or float32.

        If the precision is only safe with oneDNN limited to some of the CPU's instructions, oneDNN
        is limited in this process, provided that it has not computed a convolution yet. A message
        names the issue and the remedy.

        Args:
            configuration: Configuration with the network, the patch and the batch size.
            device: Device; only CPUs in half precision are checked.
            precision: The requested precision.
        """
        if device.type != "cpu":
            return precision
        dtype = training_dtype(device, precision, configuration.topology)
        issues: list[str] = []
        for instructions in choices() if self.limits_instructions else choices()[:1]:
            issue = None
            if dtype != torch.float32:
                issue = self._issue(configuration, dtype, instructions)
            if issue is None:
                self._choose(instructions)
                if issues:
                    self._warn(configuration, dtype, issues, f"oneDNN is limited to {LIMITED}")
                return precision
            issues.append(issue)
        remedy = "it computes in float32"
        if choices() == (UNLIMITED,):
            remedy += ", because this process can no longer limit oneDNN to fewer instructions"
        self._choose(choices()[0])
        self._warn(configuration, dtype, issues, remedy)
        return "float32"

    def _choose(self, instructions: str) -> None:
        if self.limits_instructions:
            choose(instructions)

    def limit_for_all(
        self, configurations: list[Configuration], device: torch.device, precision: Precision
    ) -> None:
        """Limit oneDNN's instructions in this process if any of several networks needs that.

        Args:
            configurations: Configurations that this process will train.
            device: Device; only CPUs in half precision are checked.
            precision: The requested precision.
        """
        if device.type != "cpu":
            return
        for configuration in configurations:
            dtype = training_dtype(device, precision, configuration.topology)
            if dtype == torch.float32 or len(choices()) == 1:
                continue
            issue = self._issue(configuration, dtype, UNLIMITED)
            if issue is not None:
                choose(LIMITED)
                remedy = f"oneDNN is limited to {LIMITED} for all trainings"
                self._warn(configuration, dtype, [issue], remedy)

    def _issue(
        self, configuration: Configuration, dtype: torch.dtype, instructions: str
    ) -> str | None:
        """Return the issue of a training step; None if it has none or was not checked."""
        identity = _identity(configuration, dtype, instructions)
        path = None if self.cache is None else measurement_file(self.cache, "step", identity)
        cached = None if path is None else load_measurement(CheckedStep, path)
        if cached is not None and cached.identity == identity:
            return cached.finding
        if not self.runs_new_checks:
            return None
        checked = self._run_step(configuration, identity)
        if checked is not None and path is not None:
            save_measurement(checked, path, self.progress)
        return None if checked is None else checked.finding

    def _run_step(self, configuration: Configuration, identity: StepIdentity) -> CheckedStep | None:
        """Check a training step in a child process; None if the check could not run."""
        self.progress.say(
            f"checking a training step of {configuration.name} in {identity.precision} on this "
            "CPU (only once)"
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
            cause = "out of memory, or killed by a user" if ended.is_killed else ended.last_error
            self.progress.say(
                f"note: the check failed to run ({cause}); {configuration.name} computes in "
                f"{identity.precision} unchecked"
            )
            return None
        if finding is None:
            finding = TrialResult.model_validate_json(ended.output.splitlines()[-1]).finding
        return CheckedStep(identity=identity, finding=finding)

    def _warn(
        self, configuration: Configuration, dtype: torch.dtype, issues: list[str], remedy: str
    ) -> None:
        first, *others = issues
        limited = "".join(f", and with oneDNN limited to {LIMITED} it {one}" for one in others)
        self.progress.say(
            f"warning: in {_name(dtype)} on this CPU, a training step of {configuration.name} "
            f"{first}{limited}; instead, {remedy}."
        )


def load_options(
    compute: Compute,
    progress: Progress,
    *,
    use_mirroring: bool = True,
    limits_instructions: bool = True,
) -> LoadOptions:
    """Return the options for loading networks in their safe precision, without new checks.

    Args:
        compute: Device, precision and cache folder.
        progress: Receives messages.
        use_mirroring: Whether to use TTA along the axes that were mirrored in training.
        limits_instructions: Whether oneDNN may be limited in this process.
    """
    checks = StepChecks(
        compute.cache, progress, runs_new_checks=False, limits_instructions=limits_instructions
    )
    return LoadOptions(compute.device, compute.precision, use_mirroring, checks.safe_precision)


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
