"""Try a convolution and the gradient of its weights on a device, in a separate process.

`python -m autoseg.training.trial_convolution` reads a `ConvolutionRequest` and writes a
`ConvolutionResult`, both as JSON. A crash ends the process with a signal.
"""

import sys
from time import perf_counter
from typing import Literal

import torch
from pydantic import PositiveFloat

from autoseg.core.child import read_request, time_limit
from autoseg.core.device import autocast, autocast_dtype
from autoseg.core.frozen import Frozen
from autoseg.training.compared_convolutions import ComparedConvolutions

REPEATS = 5
"""Number of timed repeats, of which the fastest counts."""


class ConvolutionRequest(Frozen):
    """Input of a trial convolution.

    Attributes:
        device: Name of the device.
        precision: Data type of the convolution.
        patience_seconds: Time limit of all repeats together.
    """

    device: str
    precision: Literal["float32", "bfloat16", "float16"]
    patience_seconds: PositiveFloat = 60.0


class ConvolutionResult(Frozen):
    """Result of a trial convolution.

    Attributes:
        finding: Description of the problem, as the rest of a sentence that starts with the
            convolution; None if it is correct.
        milliseconds: Time of a convolution of 16 × 16³ voxels with the gradient of its weights.
    """

    finding: str | None
    milliseconds: float


def run_convolution(request: ConvolutionRequest) -> ConvolutionResult:
    """Compute a convolution and the gradient of its weights; the process may crash before."""
    device = torch.device(request.device)
    dtype = autocast_dtype(device, request.precision)
    torch.manual_seed(0)
    layer = torch.nn.Conv3d(16, 16, 3, padding=1).to(device)
    maps = torch.randn(1, 16, 16, 16, 16, device=device)

    def compute() -> float:
        started = perf_counter()
        with autocast(device, dtype):
            loss = layer(maps).float().square().mean()
            loss.backward()
        loss.item()  # waits for a GPU
        return 1000 * (perf_counter() - started)

    with time_limit(request.patience_seconds):
        with ComparedConvolutions() as compared:
            compute()
        times = [compute() for _ in range(REPEATS)]
    return ConvolutionResult(finding=compared.finding, milliseconds=min(times))


def main() -> None:
    """Read the request and write the result."""
    request = ConvolutionRequest.model_validate_json(read_request())
    sys.stdout.write(run_convolution(request).model_dump_json())


if __name__ == "__main__":
    main()
