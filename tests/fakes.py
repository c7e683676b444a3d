"""Small models: one whose predictions are known without training, and one in a real folder."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from autoseg.architectures import NetworkOutput, Topology
from autoseg.architectures.unet import UNet
from autoseg.core.case import InverseTransform, PreparedImage
from autoseg.core.labels import LabelScheme
from autoseg.documents.model import WEIGHTS_NAME, TrainedModel
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.preparation import Resampling
from autoseg.documents.splits import FoldName
from autoseg.documents.store import save
from autoseg.inference.blending import LogitsSlab
from autoseg.inference.ensemble import Ensemble
from autoseg.losses.dice_ce import DiceCrossEntropy
from autoseg.models.folder import named_fold
from autoseg.models.loader import LoadedModel, LoadOptions, load_stored, open_model
from autoseg.normalizers.none import NoNormalization

LABELS = LabelScheme(names=("background", "dim", "bright"), values=(0, 3, 7))


class Thresholds(nn.Module):
    """Scores three classes by the first channel: below 4.5, up to 8, and above."""

    def forward(self, image):
        grey = image[:, :1]
        logits = torch.cat([4.5 - grey, 0 * grey, grey - 8], dim=1)
        return NetworkOutput(logits=logits)


class Pointwise(nn.Module):
    """Scores three classes voxel by voxel, from two channels."""

    def forward(self, image):
        return NetworkOutput(logits=torch.cat([image[:, :1], -image[:, :1], image[:, 1:]], dim=1))


class Edges(nn.Module):
    """A fixed random convolution whose output depends on the position of tile borders."""

    def __init__(self, axes, num_classes=3, seed=0):
        super().__init__()
        kind = nn.Conv2d if axes == 2 else nn.Conv3d
        torch.manual_seed(seed)
        self.layer = kind(2, num_classes, 5, padding=2)

    def forward(self, image):
        return NetworkOutput(logits=self.layer(image))


def prepared(shape: tuple[int, ...], seed: int = 0, *, num_channels: int = 2) -> PreparedImage:
    """Return noise as a prepared image, of voxels of 1 mm."""
    voxels = np.random.default_rng(seed).standard_normal((num_channels, *shape))
    way_back = InverseTransform.uncropped(shape, (1.0,) * len(shape))
    return PreparedImage(voxels=voxels.astype(np.float32), restoration=way_back)


def ensemble_of(network: nn.Module, patch_shape: tuple[int, ...], **settings: object) -> Ensemble:
    """Return one network of three classes, on the CPU in float32."""
    return Ensemble(
        networks=(network.eval(),),
        device=torch.device("cpu"),
        dtype=torch.float32,
        patch_shape=patch_shape,
        num_classes=3,
        **settings,
    )


def stitched(slabs: Iterable[LogitsSlab]) -> np.ndarray:
    """Return the whole image's logits; slabs of the same rows must follow each other."""
    slabs = list(slabs)
    shape = max(slab.stop for slab in slabs), max(slab.row_stop for slab in slabs)
    whole = np.full((len(slabs[0].logits), *shape, slabs[0].logits.shape[-1]), np.nan, np.float32)
    ends: dict[int, int] = {}
    for slab in slabs:
        assert slab.start == ends.get(slab.row, 0)
        ends[slab.row] = slab.stop
        whole[:, slab.start : slab.stop, slab.row : slab.row_stop] = slab.logits
    assert not np.isnan(whole).any()
    return whole


def tiny_configuration(
    patch_shape: tuple[int, ...],
    *,
    name: str = "tiny",
    spacing: tuple[float, ...] | None = None,
    num_channels: int = 1,
) -> Configuration:
    """Return a configuration of three classes with a network of a few hundred weights."""
    axes = len(patch_shape)
    topology = Topology(
        patch_shape=patch_shape,
        strides=((1,) * axes, (2,) * axes),
        kernels=((3,) * axes,) * 2,
    )
    network = UNet.for_topology(
        topology, in_channels=num_channels, num_classes=LABELS.num_classes
    ).model_copy(update={"features": (4, 6)})
    return Configuration(
        name=name,
        data_name=name,
        spacing=spacing or (1.0,) * axes,
        median_shape=tuple(float(size) for size in patch_shape),
        batch_size=2,
        normalizers=(NoNormalization(),) * num_channels,
        architecture=network,
        loss=DiceCrossEntropy(),
        resampling=Resampling(image_order=1),
        predicted_memory_gib=1.0,
    )


def tiny_plan(
    *configurations: Configuration, axis_order: tuple[int, ...], num_channels: int = 1
) -> Plan:
    """Return a plan; its first configuration is the default."""
    return Plan(
        dataset_name="tiny",
        num_axes=len(axis_order),
        channel_names=tuple(f"channel {index}" for index in range(num_channels)),
        labels=LABELS,
        axis_order=axis_order,
        default_configuration=configurations[0].name,
        configurations=configurations,
        decisions=(),
    )


def compact_at_full_resolution(plan: Plan, num_axes: int) -> Configuration:
    """Return a plan's compact configuration, on the voxels of the reference configuration."""
    compact = plan.configuration(f"{num_axes}d_compact")
    reference = plan.configuration({2: "2d", 3: "3d_fullres"}[num_axes])
    kept = {field: getattr(reference, field) for field in ("data_name", "spacing", "median_shape")}
    return compact.model_copy(update=kept)


def threshold_model(plan: Plan) -> LoadedModel:
    """Return a model that thresholds: its prediction is known for every image."""
    configuration = plan.configuration(None)
    return LoadedModel(
        path=Path("thresholds"),
        plan=plan,
        configuration=configuration,
        networks=(Thresholds(),),
        device=torch.device("cpu"),
        dtype=torch.float32,
        mirror_axes=(0, 1),
    )


def load_model(
    path: Path, *, folds: tuple[FoldName, ...] | None = None, **options: object
) -> LoadedModel:
    """Load the first configuration of a model file, a model folder or a fold folder."""
    fold = named_fold(path)
    chosen = (fold.fold,) if folds is None and fold is not None else folds
    return load_stored(open_model(path), LoadOptions(**options), chosen)


def save_model(
    work: Path, plan: Plan, configuration: Configuration, folds: tuple[int, ...]
) -> Path:
    """Write a model folder with random weights into a work folder, and return it."""
    folder = work / "models" / configuration.name
    save(plan, folder / Plan.FILE_NAME)
    trained = TrainedModel(configuration=configuration.name, mirror_axes=(0, 1))
    save(trained, folder / TrainedModel.FILE_NAME)
    for fold in folds:
        torch.manual_seed(fold)
        weights = folder / f"fold_{fold}" / WEIGHTS_NAME
        weights.parent.mkdir()
        save_file(configuration.architecture.build().state_dict(), weights)
    return folder
