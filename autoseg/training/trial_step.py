"""Try a training step of a network in half precision, in a separate process.

oneDNN's convolutions in bfloat16 may crash, hang or be wrong on some CPUs for some sizes.
`python -m autoseg.training.trial_step` reads a `TrialRequest` and writes a `TrialResult`, both as
JSON. A crash ends the process with a signal; a step that hangs is terminated.
"""

import sys
from math import sqrt
from time import perf_counter
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from autoseg.architectures import AnyArchitecture, NetworkOutput
from autoseg.core.child import read_request, time_limit
from autoseg.core.device import autocast, autocast_dtype, memory_layout, move_to_device
from autoseg.core.formatting import format_percent
from autoseg.core.frozen import Frozen, PositiveInt
from autoseg.training.compared_convolutions import ComparedConvolutions

SLOWEST = 20
"""Time limit of the steps in half precision, relative to the time of the float32 step."""

LARGEST_ERROR = 0.5
"""Maximum norm of the difference of the logits, relative to the norm of the float32 logits.
Rounding errors accumulate over layers: with reference kernels, untrained networks had up to 0.14
(`trans_unet`)."""

CPU = torch.device("cpu")


class TrialRequest(Frozen):
    """Input of a trial step.

    Attributes:
        architecture: The network.
        batch_size: Patches per step.
        precision: Data type of convolutions.
        threads: Number of torch threads.
        patience_seconds: Minimum time limit of the steps in half precision.
    """

    architecture: AnyArchitecture
    batch_size: PositiveInt
    precision: Literal["bfloat16", "float16"]
    threads: PositiveInt
    patience_seconds: PositiveFloat = 60.0


class TrialResult(Frozen):
    """Result of a trial step.

    Attributes:
        finding: Description of the problem, as the rest of a sentence that starts with the step;
            None if the step is correct.
    """

    finding: str | None


def run_trial(request: TrialRequest) -> TrialResult:
    """Compare a step with float32; the process may crash or be terminated before it returns."""
    torch.set_num_threads(request.threads)
    torch.manual_seed(0)
    network = move_to_device(request.architecture.build(), CPU)
    for module in network.modules():  # dropout would differ between the two steps
        if isinstance(module, nn.modules.dropout._DropoutNd):  # noqa: SLF001
            module.eval()
    config = request.architecture
    layout = memory_layout(CPU, config.topology.num_axes)
    images = torch.randn(request.batch_size, config.in_channels, *config.input_shape)
    images = images.contiguous(memory_format=layout)
    started = perf_counter()
    expected = step_scores(network, images, torch.float32)
    seconds = max(request.patience_seconds, SLOWEST * (perf_counter() - started))
    dtype = autocast_dtype(CPU, request.precision)
    with time_limit(seconds):
        scores = step_scores(network, images, dtype)
        finding = not_finite(network, scores) or difference(scores, expected)
        if finding is None:
            with ComparedConvolutions() as compared:
                step_scores(network, images, dtype)
            finding = compared.finding
    return TrialResult(finding=finding)


def step_scores(network: nn.Module, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Run a forward and a backward pass, and return the logits.

    The loss is a random linear combination of all logits, scaled for float16.

    Args:
        network: The network; its gradients are replaced.
        images: Batch of images, `(batch, channels, *space)`.
        dtype: Data type of convolutions.
    """
    network.zero_grad(set_to_none=True)
    with autocast(CPU, dtype):
        output: NetworkOutput = network(images)
    random = torch.Generator().manual_seed(0)
    loss = torch.zeros(())
    for scores in (output.logits, *output.auxiliary):
        factors = torch.randn(scores.shape, generator=random) / sqrt(scores.numel())
        loss = loss + (scores.float() * factors).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return output.logits.detach().float()


def not_finite(network: nn.Module, scores: Tensor) -> str | None:
    """Describe the first values of a step that are not finite; None if all are."""
    gradients = {f"the gradient of {name}": p.grad for name, p in network.named_parameters()}
    for name, values in {"the scores": scores, **gradients}.items():
        if values is not None and not values.isfinite().all():
            return f"gave values that are not finite ({name})"
    return None


def difference(scores: Tensor, expected: Tensor) -> str | None:
    """Describe the difference between scores and float32 scores; None if it is small enough."""
    error = float((scores - expected).norm() / expected.norm())
    if error <= LARGEST_ERROR:
        return None
    return f"gave wrong values (the scores differ from float32 by {format_percent(error)})"


def main() -> None:
    """Read the request and write the result."""
    request = TrialRequest.model_validate_json(read_request())
    sys.stdout.write(run_trial(request).model_dump_json())


if __name__ == "__main__":
    main()
