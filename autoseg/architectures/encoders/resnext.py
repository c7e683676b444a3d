"""ResNeXt: ResNet whose bottlenecks have grouped convolutions.

`resnext50_32x4d` has 50 layers and 32 groups of 4 features in the first stage. It has 22 979 904
parameters for three channels; with the classifier 25 028 904, published as 25.0 million.

Source: Xie et al., arXiv:1611.05431, table 1.
"""

from functools import partial

from autoseg.architectures.encoders.resnet import resnet

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks of each stage, by number of layers."""

BACKBONES = {
    f"resnext{layers}_{groups}x{width}d": partial(
        resnet, blocks=BLOCKS[layers], is_bottleneck=True, groups=groups, group_width=width
    )
    for layers, groups, width in ((50, 32, 4), (101, 32, 4), (101, 64, 4), (101, 32, 8))
}
