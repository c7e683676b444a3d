"""Compare every convolution of the planned networks in bfloat16 with float32, on this CPU.

Run it as `python docs/benchmarks/convolutions.py RESULTS --golden FOLDER --work FOLDER`, without
other work. The networks are those that the planner makes, with every architecture and 2 to 20
classes, of the fingerprints in a folder of golden plans and in work folders. Each convolution is
computed forward and backward in a child process, which a crash ends alone, with each set of
instructions that the CPU has. Results are appended to the file RESULTS, as JSON lines; the same
command continues, and prints the tables at the end. Heads are included as convolutions, though
autoseg computes them as matrix products on a CPU.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from autoseg.architectures import ARCHITECTURES, Architecture
from autoseg.core.child import EndedProcess, time_limit
from autoseg.core.device import memory_layout
from autoseg.core.errors import AutosegError
from autoseg.core.frozen import Frozen
from autoseg.core.instructions import LIMITED, UNLIMITED, child_environment
from autoseg.core.memory import available_bytes
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.workspace import Workspace
from autoseg.models.networks import empty_network
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.training.compared_convolutions import ComparedConvolutions

CLASSES = (2, 3, 4, 5, 8, 12, 16, 20)
PLACEHOLDER = 13
"""Classes of the networks that are recorded; no other layer has as many outputs."""

MEMORY_GIB = 8.0
CPU = torch.device("cpu")
BYTES_PER_VALUE = 24
"""Of the largest tensors: images, scores, their gradients, in bfloat16 and float32."""

SLOWEST, PATIENCE_SECONDS = 20, 30.0
CHILD = (sys.executable, __file__, "child")
OUTCOMES = ("crashed", "hung", "not finite", "wrong")


class Convolution(Frozen):
    """The arguments of `torch.convolution`, with shapes in place of tensors."""

    images: tuple[int, ...]
    weights: tuple[int, ...]
    has_bias: bool
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int

    def bytes(self) -> int:
        """Return about how much memory its comparison takes."""
        factor = prod(self.stride) if self.transposed else 1 / prod(self.stride)
        width = self.weights[1] if self.transposed else self.weights[0]
        voxels = self.images[0] * prod(self.images[2:])
        values = voxels * (self.images[1] + factor * width) + prod(self.weights)
        return int(BYTES_PER_VALUE * values)


class Result(Frozen):
    """What came of a convolution."""

    instructions: str
    convolution: Convolution
    outcome: str
    finding: str | None


class Recorded(TorchDispatchMode):
    """Records the arguments of every convolution in the block."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[Convolution, None] = {}

    @override
    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten.convolution.default:
            images, weights, bias, *rest = args
            values = (tuple(images.shape), tuple(weights.shape), bias is not None, *rest)
            fields = dict(zip(Convolution.model_fields, values, strict=True))
            self.found[Convolution.model_validate(fields)] = None
        return func(*args, **(kwargs or {}))


def recorded(architecture: Architecture, batch_size: int) -> Iterator[Convolution]:
    """Yield a network's convolutions for all numbers of classes; nothing is computed."""
    config = architecture.model_copy(update={"num_classes": PLACEHOLDER})
    network = empty_network(config)
    images = torch.empty(batch_size, config.in_channels, *config.input_shape, device="meta")
    with Recorded() as mode:
        network(images)
    for convolution in mode.found:
        if convolution.weights[0] != PLACEHOLDER:
            yield convolution
            continue
        for classes in CLASSES:
            _, inputs, *kernel = convolution.weights
            if inputs % PLACEHOLDER == 0:  # scores of several stages
                inputs = inputs // PLACEHOLDER * classes
            images_shape = (batch_size, inputs, *convolution.images[2:])
            weights = (classes, inputs, *kernel)
            yield convolution.model_copy(update={"images": images_shape, "weights": weights})


def golden_fingerprints(folder: Path) -> Iterator[Fingerprint]:
    """Yield the fingerprints of golden plans, as the tests read them."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    from fingerprints import make_fingerprint

    for path in sorted(folder.glob("*.json")):
        golden = json.loads(path.read_text(encoding="utf-8"))
        classes = golden["num_classes"]
        yield make_fingerprint(
            golden["shapes_after_crop"],
            golden["spacings"],
            channel_names=golden["channel_names"],
            class_shares=(1 / classes,) * classes,
            left_by_crop=golden["median_relative_size_after_cropping"],
        )


def planned(fingerprints: Sequence[Fingerprint]) -> list[Convolution]:
    """Return every convolution of every plan once, in a fixed order."""
    found: dict[Convolution, None] = {}
    machine = Machine(accelerator_gib=None, cores=2)
    for fingerprint in fingerprints:
        for kind in ARCHITECTURES:
            try:
                plan = make_plan(
                    fingerprint,
                    network=ARCHITECTURES[kind],
                    memory_gib=MEMORY_GIB,
                    machine=machine,
                )
                for entry in plan.configurations:
                    found |= dict.fromkeys(recorded(entry.architecture, entry.batch_size))
            except AutosegError as error:  # a package is missing, or nothing fits
                print(f"{kind} is left out: {error}", file=sys.stderr)
    return list(found)


def instruction_sets() -> dict[str, str]:
    """Return the sets of instructions that this CPU has, by name, and how oneDNN calls them."""
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if has.get("amx_bf16"):
        return {"AMX": UNLIMITED, "AVX-512 BF16": LIMITED, "AVX-512": "AVX512_CORE"}
    if has.get("avx512_bf16"):
        return {"AVX-512 BF16": UNLIMITED, "AVX-512": "AVX512_CORE"}
    return {"AVX-512" if has.get("avx512_f") else "without AVX-512": UNLIMITED}


def results_of(name: str, instructions: str, left: list[Convolution]) -> Iterator[Result]:
    """Yield the result of each convolution, from as many child processes as crashes make."""
    while left:
        ended = yield from _results_of_child(name, instructions, left)
        if left and ended.crash is None:
            raise RuntimeError(ended.errors)
        if left:
            outcome = "hung" if "finish" in ended.crash else "crashed"
            yield Result(
                instructions=name,
                convolution=left.pop(0),
                outcome="killed" if ended.is_killed else outcome,
                finding=ended.crash,
            )


def _results_of_child(
    name: str, instructions: str, left: list[Convolution]
) -> Generator[Result, None, EndedProcess]:
    """Yield the results of one child process, taking each convolution from the list."""
    with (
        TemporaryFile() as errors,
        subprocess.Popen(
            CHILD,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=child_environment(instructions),
            text=True,
        ) as child,
    ):
        child.stdin.write("".join(f"{each.model_dump_json()}\n" for each in left))
        child.stdin.close()
        for line in child.stdout:
            outcome, finding = json.loads(line)
            one = left.pop(0)
            yield Result(instructions=name, convolution=one, outcome=outcome, finding=finding)
        status = child.wait()
        errors.seek(0)
        return EndedProcess(status, "", errors.read().decode(errors="replace"))


def compute(convolution: Convolution, dtype: torch.dtype) -> None:
    """Compute a convolution forward and backward on noise."""
    torch.manual_seed(0)
    layout = memory_layout(CPU, len(convolution.images) - 2)

    def noise(shape: Sequence[int]) -> Tensor:
        return torch.randn(shape).to(dtype, memory_format=layout).requires_grad_()

    width = convolution.weights[1 if convolution.transposed else 0]
    made = torch.convolution(
        noise(convolution.images),
        noise(convolution.weights),
        torch.randn(width).to(dtype).requires_grad_() if convolution.has_bias else None,
        convolution.stride,
        convolution.padding,
        convolution.dilation,
        convolution.transposed,
        convolution.output_padding,
        convolution.groups,
    )
    made.backward(noise(made.shape).detach())


def compared(convolution: Convolution) -> tuple[str, str | None]:
    """Return the outcome and what is wrong, in this process, which may end before."""
    started = perf_counter()
    compute(convolution, torch.float32)
    seconds = max(PATIENCE_SECONDS, SLOWEST * (perf_counter() - started))
    with time_limit(seconds), ComparedConvolutions() as mode:
        compute(convolution, torch.bfloat16)
    if mode.finding is None:
        return "valid", None
    return (
        "not finite" if "nan%" in mode.finding or "inf%" in mode.finding else "wrong",
        mode.finding,
    )


def tables(results: Sequence[Result]) -> Iterator[str]:
    """Yield the lines of both tables."""
    by_name: dict[str, list[Result]] = {}
    for result in results:
        by_name.setdefault(result.instructions, []).append(result)
    yield f"| Instructions | Convolutions | {' | '.join(OUTCOMES)} |"
    yield "|---|---|---|---|---|---|"
    for name, own in by_name.items():
        counts = Counter(result.outcome for result in own)
        cells = (name, len(own), *(counts[outcome] for outcome in OUTCOMES))
        yield f"| {' | '.join(map(str, cells))} |"
    yield ""
    yield "| Instructions | Images, weights | Outcome | What was found |"
    yield "|---|---|---|---|"
    for name, own in by_name.items():
        yield from (issue(name, result) for result in own if result.outcome != "valid")


def issue(name: str, result: Result) -> str:
    """Return a row of the second table."""
    one = result.convolution
    kind = "transposed " if one.transposed else ""
    sizes = f"{kind}{list(one.images)}, {list(one.weights)}, stride {list(one.stride)}"
    return f"| {name} | {sizes} | {result.outcome} | {result.finding} |"


def child() -> None:
    """Compare the convolutions of standard input, and write a line about each."""
    for line in sys.stdin.read().splitlines():
        print(json.dumps(compared(Convolution.model_validate_json(line))), flush=True)


def main() -> None:
    """Compare what is not compared yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--work", type=Path, nargs="*", default=[])
    parser.add_argument("--most", type=int, help="convolutions per set of instructions")
    asked = parser.parse_args()
    fingerprints = [] if asked.golden is None else list(golden_fingerprints(asked.golden))
    for work in asked.work:
        fingerprints.append(store.load(Fingerprint, Workspace(work).fingerprint))
    everything = planned(fingerprints)
    free = available_bytes() or sys.maxsize
    fitting = [each for each in everything if each.bytes() < free]
    text = asked.results.read_text(encoding="utf-8") if asked.results.is_file() else ""
    results = [Result.model_validate_json(line) for line in text.splitlines()]
    with asked.results.open("a", encoding="utf-8") as file:
        for name, instructions in instruction_sets().items():
            done = {each.convolution for each in results if each.instructions == name}
            left = [each for each in fitting if each not in done]
            for result in results_of(name, instructions, left[: asked.most]):
                results.append(result)
                file.write(result.model_dump_json() + "\n")
                file.flush()
    print(f"{len(everything)} convolutions, {len(everything) - len(fitting)} too large\n")
    print("\n".join(tables(results)))


if __name__ == "__main__":
    child() if sys.argv[1:] == ["child"] else main()
