"""Count the parameters of the networks and encoders, next to the published numbers.

Run it as `python docs/benchmarks/network_parameters.py`. Nothing is computed or allocated. The
tables are in docs/pages/networks.md; a test compares the two.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch

from autoseg.architectures import Architecture, Topology
from autoseg.architectures.attention_unet import AttentionUNet
from autoseg.architectures.encoders import backbones
from autoseg.architectures.encoders.base import Encoder
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


CLASSES = 1000
FULLY_CONNECTED = 4096
"""Features of the two hidden layers of AlexNet's and VGG's classifiers."""

LENET_F6 = 84 * (120 + 1)

TORCHVISION = "torchvision 0.28"
SHUFFLENET = "[authors' code](https://github.com/megvii-model/ShuffleNet-Series)"

PUBLISHED = {
    "lenet5": ("60 000", "LeCun et al., 1998, one channel, up to F6"),
    "alexnet": ("60 million", "Krizhevsky et al., 2012"),
    "vgg11": ("132 863 336", TORCHVISION),
    "vgg13": ("133 047 848", TORCHVISION),
    "vgg16": ("138 357 544", TORCHVISION),
    "vgg19": ("143 667 240", TORCHVISION),
    "vgg11_bn": ("132 868 840", TORCHVISION),
    "vgg13_bn": ("133 053 736", TORCHVISION),
    "vgg16_bn": ("138 365 992", TORCHVISION),
    "vgg19_bn": ("143 678 248", TORCHVISION),
    "googlenet": ("7.0 million", "Szegedy et al., 2015: table 1, added up, with K = 1024"),
    "resnet18": ("11 689 512", TORCHVISION),
    "resnet34": ("21 797 672", TORCHVISION),
    "resnet50": ("25 557 032", TORCHVISION),
    "resnet101": ("44 549 160", TORCHVISION),
    "resnet152": ("60 192 808", TORCHVISION),
    "squeezenet1_0": ("1 248 424", "Iandola et al., 2016: table 1"),
    "squeezenet1_1": ("1 235 496", TORCHVISION),
    "densenet121": ("7 978 856", TORCHVISION),
    "densenet161": ("28 681 000", TORCHVISION),
    "densenet169": ("14 149 480", TORCHVISION),
    "densenet201": ("20 013 928", TORCHVISION),
    "resnext50_32x4d": ("25 028 904", TORCHVISION),
    "resnext101_32x4d": ("44 177 704", "timm 1.0.22"),
    "resnext101_64x4d": ("83 455 272", TORCHVISION),
    "resnext101_32x8d": ("88 791 336", TORCHVISION),
    "mobilenetv1_100": ("4.2 million", "Howard et al., 2017: table 6"),
    "mobilenetv1_075": ("2.6 million", "Howard et al., 2017: table 6"),
    "mobilenetv1_050": ("1.3 million", "Howard et al., 2017: table 6"),
    "mobilenetv1_025": ("0.5 million", "Howard et al., 2017: table 6"),
    "shufflenetv1_050_g3": ("0.7 million", SHUFFLENET),
    "shufflenetv1_100_g1": ("not stated", "Zhang et al., 2018"),
    "shufflenetv1_100_g2": ("not stated", "Zhang et al., 2018"),
    "shufflenetv1_100_g3": ("1.9 million", SHUFFLENET),
    "shufflenetv1_100_g4": ("not stated", "Zhang et al., 2018"),
    "shufflenetv1_100_g8": ("2.4 million", SHUFFLENET),
    "shufflenetv1_150_g3": ("3.4 million", SHUFFLENET),
    "shufflenetv1_200_g3": ("5.4 million", SHUFFLENET),
    "efficientnet_b0": ("5 288 548", TORCHVISION),
    "efficientnet_b1": ("7 794 184", TORCHVISION),
    "efficientnet_b2": ("9 109 994", TORCHVISION),
    "efficientnet_b3": ("12 233 232", TORCHVISION),
    "efficientnet_b4": ("19 341 616", TORCHVISION),
    "efficientnet_b5": ("30 389 784", TORCHVISION),
    "efficientnet_b6": ("43 040 704", TORCHVISION),
    "efficientnet_b7": ("66 347 960", TORCHVISION),
}
"""Published number of parameters of each encoder with its classifier, and where that is from."""


def num_classifier_parameters(name: str, features: int) -> int:
    """Return the number of parameters between the encoder's last feature map and the classes.

    Args:
        name: Name of the encoder.
        features: Channels of its last feature map.
    """
    if name == "lenet5":
        return LENET_F6
    widths = (features, CLASSES)
    if name.startswith(("alexnet", "vgg")):
        pixels = 6**2 if name == "alexnet" else 7**2
        widths = (features * pixels, FULLY_CONNECTED, FULLY_CONNECTED, CLASSES)
    if name.startswith("efficientnet"):  # one more convolution, with batch normalisation
        return 4 * features * (features + 2) + CLASSES * (4 * features + 1)
    return sum(outputs * (inputs + 1) for inputs, outputs in pairwise(widths))


def encoder_rows() -> Iterator[tuple[str, int, int, str, str]]:
    """Yield name, parameters without and with classifier, published number and its source."""
    for name, (published, source) in PUBLISHED.items():
        channels = 1 if name == "lenet5" else 3
        with torch.device("meta"):
            encoder = Encoder(backbones()[name](channels))
            features = encoder(torch.zeros(1, channels, 64, 64))[-1].shape[1]
        count = sum(weights.numel() for weights in encoder.parameters())
        yield name, count, count + num_classifier_parameters(name, features), published, source


def encoder_table() -> list[str]:
    """Return the lines of the table of encoders."""
    lines = ["| `encoder` | Parameters | With classifier | Published | Source |"]
    lines.append("|---|---|---|---|---|")
    for name, *counts, published, source in encoder_rows():
        here = " | ".join(f"{count:,}".replace(",", " ") for count in counts)
        lines.append(f"| `{name}` | {here} | {published} | {source} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()), "\n".join(encoder_table()), sep="\n\n")
