"""Show that the memory of `autoseg predict` does not grow with a volume's slices times its classes.

Run it with `python docs/benchmarks/long_volume.py SLICES CLASSES`, e.g. `200 117` and `800 117`. It
writes a volume of SLICES × 512 × 512 voxels (int16, 1.0 × 0.8 × 0.8 mm) and a model of CLASSES
classes with random weights, runs the command in a process of its own, and prints its seconds and
peak memory. The network has two stages of few convolutions: it is cheap, but has as many features
before its scores and as large a patch as real ones. The seed is 0.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from costs import AUTOSEG, MIB, command_cost
from safetensors.torch import save_file
from volumes import write_volume

from autoseg.architectures import Topology
from autoseg.architectures.unet import UNet
from autoseg.core.labels import LabelScheme
from autoseg.documents.model import WEIGHTS_NAME, TrainedModel
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.store import save
from autoseg.losses.dice_ce import DiceCrossEntropy
from autoseg.normalizers.ct import ComputedTomography

PLANE = (512, 512)
SPACING = (1.0, 0.8, 0.8)
CHEAP = {"features": (32, 32), "encoder_convolutions": (1, 1), "decoder_convolutions": (1,)}


def configuration(num_classes: int, patch: tuple[int, ...], spacing: float) -> Configuration:
    """Return a configuration of a cheap network."""
    topology = Topology(
        patch_shape=patch,
        strides=((1, 1, 1), (4, 4, 4)),
        kernels=((1, 1, 1), (3, 3, 3)),
    )
    network = UNet.for_topology(topology, in_channels=1, num_classes=num_classes)
    return Configuration(
        name="3d_fullres",
        data_name="3d_fullres",
        spacing=(spacing,) * 3,
        median_shape=tuple(float(size) for size in patch),
        batch_size=2,
        normalizers=(
            ComputedTomography(mean=0, std=300, percentile_00_5=-1000, percentile_99_5=1500),
        ),
        architecture=network.model_copy(update=CHEAP),
        loss=DiceCrossEntropy(),
        predicted_memory_gib=1.0,
    )


def write_model(folder: Path, chosen: Configuration, *, is_mirrored: bool) -> Path:
    """Write a model folder with random weights, and return it."""
    num_classes = chosen.architecture.num_classes
    names = ("background", *(f"organ {index}" for index in range(1, num_classes)))
    plan = Plan(
        dataset_name="long",
        num_axes=3,
        channel_names=("CT",),
        labels=LabelScheme(names=names, values=tuple(range(num_classes))),
        axis_order=(0, 1, 2),
        default_configuration=chosen.name,
        configurations=(chosen,),
        decisions=(),
    )
    model = folder / "models" / chosen.name
    save(plan, model / Plan.FILE_NAME)
    axes = (0, 1, 2) if is_mirrored else ()
    save(TrainedModel(configuration=chosen.name, mirror_axes=axes), model / TrainedModel.FILE_NAME)
    torch.manual_seed(0)
    weights = model / "fold_0" / WEIGHTS_NAME
    weights.parent.mkdir()
    save_file(chosen.architecture.build().state_dict(), weights)
    return model


def write_blocks(path: Path, num_slices: int) -> int:
    """Write a volume of random blocks with noise, and return its bytes before compression."""
    random = np.random.default_rng(0)
    coarse = random.integers(-900, 1200, (-(-num_slices // 16), *(size // 16 for size in PLANE)))
    volume = np.empty((num_slices, *PLANE), dtype=np.int16)
    for index in range(num_slices):
        noise = random.integers(-60, 60, PLANE, dtype=np.int16)
        volume[index] = np.kron(coarse[index // 16], np.ones((16, 16))) + noise
    write_volume(volume, SPACING, path, compression=0)
    return volume.nbytes


def main() -> None:
    """Parse, write, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slices", type=int)
    parser.add_argument("classes", type=int)
    parser.add_argument("--patch", type=int, nargs=3, default=(96, 128, 128))
    parser.add_argument("--spacing", type=float, default=1.5, help="of the network, mm")
    parser.add_argument("--mirroring", action="store_true")
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        chosen = configuration(given.classes, tuple(given.patch), given.spacing)
        model = write_model(folder, chosen, is_mirrored=given.mirroring)
        size = write_blocks(folder / "in" / "long.nii", given.slices)
        command = (*AUTOSEG, "predict", folder / "in", folder / "out", "--model", model)
        cost = command_cost((*command, "--device", "cpu"))
    print(
        f"{given.slices} slices, {given.classes} classes: {cost.seconds:.1f} s, peak "
        f"{cost.resident_bytes / MIB:.0f} MiB, input {size / MIB:.0f} MiB (int16)"
    )


if __name__ == "__main__":
    main()
