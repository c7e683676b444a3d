"""Count the parameters of the networks as published, and print them beside the published numbers.

Run it as `python docs/benchmarks/network_parameters.py`. Nothing is computed or allocated. The
table stands in docs/pages/networks.md; a test compares the two.
"""

from collections.abc import Iterator

import torch

from autoseg.architectures import Architecture, Topology
from autoseg.architectures.attention_unet import AttentionUNet
from autoseg.architectures.r2_unet import R2UNet
from autoseg.architectures.residual_encoder_unet import ResidualEncoderUNet
from autoseg.architectures.trans_unet import TransUNet
from autoseg.architectures.unet import UNet
from autoseg.architectures.unet_3d_2016 import UNet3D2016
from autoseg.architectures.unet_2015 import UNet2015
from autoseg.architectures.unet_plus_plus import UNetPlusPlus

CUBE = Topology(
    patch_shape=(128,) * 3, strides=((1,) * 3, *((2,) * 3,) * 5), kernels=((3,) * 3,) * 6
)
VESSELS = Topology(patch_shape=(48, 48), strides=((1, 1), *((2, 2),) * 3), kernels=((3, 3),) * 4)

Row = tuple[str, str, Architecture, str, str]


def rows() -> Iterator[Row]:
    """Yield kind, setting, configuration, published number and where that is from."""
    yield (
        *("unet", "3-D, 128³, six stages, 1 → 3"),
        UNet.for_topology(CUBE, in_channels=1, num_classes=3),
        *("about 31.2 million", "Isensee et al., 2021"),
    )
    yield (
        *("residual_encoder_unet", "the same, preset L"),
        ResidualEncoderUNet.for_topology(CUBE, in_channels=1, num_classes=3),
        *("about 102.4 million", "Isensee et al., 2024"),
    )
    yield (
        *("unet_2015", "2-D, 572², 1 → 2"),
        UNet2015.published(),
        *("31 030 658", "Ronneberger et al., 2015: figure 1, added up"),
    )
    yield (
        *("unet_3d_2016", "3-D, 3 → 3"),
        UNet3D2016.published(),
        *("19 069 955", "Çiçek et al., 2016: without batch normalisation and 896 biases"),
    )
    yield (
        *("unet_plus_plus", "2-D, 3 → 1"),
        UNetPlusPlus.published(),
        *("9.04 million", "Zhou et al., 2018"),
    )
    yield (
        *("attention_unet", "3-D, 1 → 4, without gates"),
        AttentionUNet.published(is_gated=False),
        *("5.88 million", "Oktay et al., 2018"),
    )
    yield (
        *("attention_unet", "3-D, 1 → 4"),
        AttentionUNet.published(),
        *("6.40 million", "the same; here with one gate per skip connection"),
    )
    vessels = R2UNet.for_topology(VESSELS, in_channels=1, num_classes=1)
    yield (
        *("r2_unet", "2-D, 1 → 1, t = 2, widths 16 to 128"),
        vessels.model_copy(update={"features": (16, 32, 64, 128), "deep_supervision": False}),
        *("0.845 million", "Alom et al., 2018: its layers are not all listed"),
    )
    yield (
        *("trans_unet", "2-D, 224², 3 → 9"),
        TransUNet.published(),
        *("105.28 million", "Chen et al., 2021: R50-ViT-B/16"),
    )


def num_parameters(config: Architecture) -> int:
    """Return how many numbers a network learns."""
    with torch.device("meta"):
        network = config.build()
    return sum(weights.numel() for weights in network.parameters())


def table() -> list[str]:
    """Return the lines of the table."""
    lines = ["| Network | Setting, channels → classes | Here | Published | Source |"]
    lines.append("|---|---|---|---|---|")
    for kind, setting, config, published, source in rows():
        here = f"{num_parameters(config):,}".replace(",", " ")
        lines.append(f"| `{kind}` | {setting} | {here} | {published} | {source} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))
