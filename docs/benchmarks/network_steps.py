"""Time the forward and backward pass of every network, with the channels last in memory and first.

Run it as `python docs/benchmarks/network_steps.py [ROUNDS] [float32]`, on a machine without other
work. Compact networks, two patches of 128 × 128 pixels and of 32 × 40 × 32 voxels, in bfloat16
unless asked otherwise, on one core. All networks are timed in turns; printed are medians of the
processor's seconds, what they are of the plain U-Net's, and the share that the layout spares.
"""

import statistics
import sys

import torch
from costs import stopwatch
from tables import head, line
from torch import nn

from autoseg.architectures import ARCHITECTURES, Architecture, Topology
from autoseg.core.device import autocast

BATCH = 2
TOPOLOGIES = (
    Topology(
        patch_shape=(128, 128),
        strides=((1, 1), *((2, 2),) * 4),
        kernels=((3, 3),) * 5,
    ),
    Topology(
        patch_shape=(32, 40, 32),
        strides=((1, 1, 1), *((2, 2, 2),) * 2),
        kernels=((3, 3, 3),) * 3,
    ),
)
LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}


def step_seconds(network: nn.Module, images: torch.Tensor, dtype: torch.dtype) -> float:
    """Return the processor's seconds of one forward and backward pass."""
    with stopwatch() as watch:
        network.zero_grad(set_to_none=True)
        with autocast(images.device, dtype):
            output = network(images)
        scores = (output.logits, *output.auxiliary)
        torch.stack([score.float().square().mean() for score in scores]).sum().backward()
    return watch.cpu_seconds


def arms(config: Architecture) -> list[tuple[nn.Module, torch.Tensor]]:
    """Return a network and images for it, with the channels last, and the same with them first."""
    made = []
    for layout in (LAYOUTS[config.topology.num_axes], torch.contiguous_format):
        torch.manual_seed(0)
        network = config.build().to(memory_format=layout)
        images = torch.randn(BATCH, config.in_channels, *config.input_shape)
        made.append((network, images.to(memory_format=layout)))
    return made


def medians(configs: dict[str, Architecture], rounds: int, dtype: torch.dtype) -> dict[str, list]:
    """Return, by network, the median seconds of both layouts; the first two rounds do not count."""
    networks = {kind: arms(config) for kind, config in configs.items()}
    times = {kind: ([], []) for kind in configs}
    for _ in range(rounds + 2):
        for kind, pair in networks.items():
            for found, (network, images) in zip(times[kind], pair, strict=True):
                found.append(step_seconds(network, images, dtype))
    return {kind: [statistics.median(found[2:]) for found in pair] for kind, pair in times.items()}


def main() -> None:
    """Print a table for pictures and one for volumes."""
    words = sys.argv[1:]
    dtype = torch.float32 if "float32" in words else torch.bfloat16
    rounds = next((int(word) for word in words if word.isdigit()), 9)
    torch.set_num_threads(1)
    for topology in TOPOLOGIES:
        configs = {
            kind: ARCHITECTURES[kind].for_topology(topology, in_channels=1, num_classes=3).compact()
            for kind in ARCHITECTURES
            if kind != "encoder_unet" and topology.num_axes in ARCHITECTURES[kind].memory_references
        }
        found = medians(configs, rounds, dtype)
        plain = found["unet"][0]
        print(f"\n{topology.patch_shape}, {dtype}\n")
        print(head("Network", "GMAC", "Seconds", "Of the plain U-Net's", "Channels first"))
        for kind, (last, first) in found.items():
            count = BATCH * configs[kind].multiplication_count() / 1e9
            cells = (f"{count:.2f}", f"{last:.3f}", f"{last / plain:.1f}", f"× {first / last:.2f}")
            print(line(f"`{kind}`", *cells))


if __name__ == "__main__":
    main()
