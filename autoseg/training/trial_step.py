"""Try one training step of a network in half precision: a program, for a process of its own.

oneDNN's convolutions in bfloat16 may crash, hang or be wrong on some CPUs, for some sizes.
`python -m autoseg.training.trial_step` reads a `TrialRequest` and writes a `TrialResult`, both as
JSON. A crash ends this process with a signal, and a step that hangs is ended as well.
"""

import sys
from math import sqrt
from time import perf_counter
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from autoseg.architectures import AnyArchitecture, NetworkOutput
from autoseg.core.child import ended_after
from autoseg.core.device import autocast, memory_layout, on_device
from autoseg.core.frozen import Frozen
from autoseg.training.compared_convolutions import ComparedConvolutions

SLOWEST = 20
"""Times that the float32 step's time is waited for the steps in half precision."""

LARGEST_ERROR = 0.5
"""Norm of the difference of the scores, as a share of the float32 scores'. Rounding adds up from
layer to layer: untrained networks had up to 0.14 (`trans_unet`), with reference kernels."""

CPU = torch.device("cpu")


class TrialRequest(Frozen):
    """What to try.

    Attributes:
        architecture: The network.
        batch_size: Patches per step.
        precision: Type that convolutions compute in.
        threads: That torch computes with.
        patience_seconds: Least time that the steps in half precision are waited for.
    """

    architecture: AnyArchitecture
    batch_size: PositiveInt
    precision: Literal["bfloat16", "float16"]
    threads: PositiveInt
    patience_seconds: PositiveFloat = 60.0


class TrialResult(Frozen):
    """What came of it.

    Attributes:
        finding: What is wrong, as the rest of a sentence that begins with the step; None if
            nothing is.
    """

    finding: str | None


def tried(request: TrialRequest) -> TrialResult:
    """Compare a step with float32; the process may end before it returns."""
    torch.set_num_threads(request.threads)
    torch.manual_seed(0)
    network = on_device(request.architecture.build(), CPU)
    for module in network.modules():  # else the two steps would drop different values
        if isinstance(module, nn.modules.dropout._DropoutNd):  # noqa: SLF001
            module.eval()
    config = request.architecture
    layout = memory_layout(CPU, config.topology.num_axes)
    images = torch.randn(request.batch_size, config.in_channels, *config.input_shape)
    images = images.contiguous(memory_format=layout)
    started = perf_counter()
    expected = step_scores(network, images, torch.float32)
    seconds = max(request.patience_seconds, SLOWEST * (perf_counter() - started))
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}[request.precision]
    with ended_after(seconds):
        scores = step_scores(network, images, dtype)
        finding = not_finite(network, scores) or difference(scores, expected)
        if finding is None:
            with ComparedConvolutions() as compared:
                step_scores(network, images, dtype)
            finding = compared.finding
    return TrialResult(finding=finding)


def step_scores(network: nn.Module, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the scores of a forward pass; the weights have gradients then.

    What is minimised is a sum of the scores with random signs and sizes, small enough for float16.
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
    """Name the values of a step that are not finite."""
    gradients = {f"the gradient of {name}": p.grad for name, p in network.named_parameters()}
    for name, values in {"the scores": scores, **gradients}.items():
        if values is not None and not values.isfinite().all():
            return f"gave values that are not finite ({name})"
    return None


def difference(scores: Tensor, expected: Tensor) -> str | None:
    """Return by how much scores differ from those in float32, if that is too much."""
    error = float((scores - expected).norm() / expected.norm())
    if error <= LARGEST_ERROR:
        return None
    return f"gave wrong values (the scores differ from float32 by {error:.0%})"


def main() -> None:
    """Read the request and write the result."""
    request = TrialRequest.model_validate_json(sys.stdin.buffer.read())
    sys.stdout.write(tried(request).model_dump_json())


if __name__ == "__main__":
    main()
