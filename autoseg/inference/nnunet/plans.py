"""What nnU-Net writes beside its checkpoints: `plans.json` and `dataset.json`.

Source: nnU-Net 2.8.1, which also wrote the older form of a configuration that is read here.
"""

from typing import Any, TypeAlias, TypeVar

from pydantic import ConfigDict, PositiveFloat, PositiveInt, ValidationError

from autoseg.core.errors import ModelError
from autoseg.core.frozen import Frozen
from autoseg.documents.store import explain

PerAxis: TypeAlias = PositiveInt | tuple[PositiveInt, ...]
"""One number for every axis, or one each."""

MOST_ANCESTORS = 16
"""Configurations that one may inherit from, one after the other."""


class _Foreign(Frozen):
    """A document of another program, which may hold more than is needed here."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class NetworkSettings(Frozen):
    """Arguments of nnU-Net's two U-Nets; an unknown one is refused, since it may matter."""

    n_stages: PositiveInt
    features_per_stage: PerAxis
    kernel_sizes: PositiveInt | tuple[PerAxis, ...]
    strides: PositiveInt | tuple[PerAxis, ...]
    n_conv_per_stage: PerAxis | None = None
    n_blocks_per_stage: PerAxis | None = None
    n_conv_per_stage_decoder: PerAxis
    conv_op: str
    conv_bias: bool = False
    norm_op: str | None = None
    norm_op_kwargs: dict[str, Any] | None = None
    dropout_op: str | None = None
    dropout_op_kwargs: dict[str, Any] | None = None
    nonlin: str | None = None
    nonlin_kwargs: dict[str, Any] | None = None
    nonlin_first: bool = False
    deep_supervision: bool = False
    block: str | None = None
    bottleneck_channels: PerAxis | None = None
    stem_channels: PositiveInt | None = None


class NetworkDescription(_Foreign):
    """The network of a configuration.

    Attributes:
        network_class_name: Where nnU-Net finds the class; compared, never imported.
        arch_kwargs: Its arguments.
    """

    network_class_name: str
    arch_kwargs: NetworkSettings


class NnunetConfiguration(_Foreign):
    """A configuration of `plans.json`, inheritance resolved.

    Attributes:
        resampling_fn_data_kwargs: Of images; an `is_seg`, `order`, `order_z` and so on.
        resampling_fn_probabilities_kwargs: Of scores, on the way back.
    """

    preprocessor_name: str = "DefaultPreprocessor"
    batch_size: PositiveInt
    patch_size: tuple[PositiveInt, ...]
    median_image_size_in_voxels: tuple[PositiveFloat, ...] | None = None
    spacing: tuple[PositiveFloat, ...]
    normalization_schemes: tuple[str, ...]
    use_mask_for_norm: tuple[bool, ...]
    resampling_fn_data: str
    resampling_fn_data_kwargs: dict[str, Any]
    resampling_fn_probabilities: str
    resampling_fn_probabilities_kwargs: dict[str, Any]
    architecture: NetworkDescription
    batch_dice: bool = False
    previous_stage: str | None = None


class IntensityProperties(_Foreign):
    """Foreground intensities of a channel over the training data."""

    mean: float
    std: float
    percentile_00_5: float
    percentile_99_5: float


class NnunetPlans(_Foreign):
    """`plans.json`."""

    dataset_name: str
    plans_name: str
    image_reader_writer: str
    transpose_forward: tuple[int, ...]
    original_median_shape_after_transp: tuple[float, ...] | None = None
    foreground_intensity_properties_per_channel: dict[str, IntensityProperties] | None = None
    foreground_intensity_properties_by_modality: dict[str, IntensityProperties] | None = None
    label_manager: str = "LabelManager"
    configurations: dict[str, dict[str, Any]]

    @property
    def intensities(self) -> dict[str, IntensityProperties]:
        """Foreground intensities by the channel's number, under whichever name they are stored."""
        return (
            self.foreground_intensity_properties_per_channel
            or self.foreground_intensity_properties_by_modality
            or {}
        )

    def configuration(self, name: str) -> NnunetConfiguration:
        """Return a configuration with all that it inherits.

        Raises:
            ModelError: If there is none of that name, or it is not as nnU-Net writes it.
        """
        found = self._merged(name)
        if "architecture" not in found:
            found = {**found, "architecture": _described(found)}
        return parsed(NnunetConfiguration, found, f"configuration {name!a} of plans.json")

    def _merged(self, name: str) -> dict[str, Any]:
        """Return the fields of a configuration, its own before inherited ones."""
        merged: dict[str, Any] = {}
        current: object = name
        for _ in range(MOST_ANCESTORS):
            if current is None:
                return merged
            if not isinstance(current, str) or current not in self.configurations:
                msg = (
                    f"plans.json has no configuration {current!a}; it has "
                    f"{', '.join(map(ascii, self.configurations))}. Take the plans.json that lies "
                    "beside the checkpoint's fold."
                )
                raise ModelError(msg)
            merged = {**self.configurations[current], **merged}
            current = self.configurations[current].get("inherits_from")
        msg = f"configuration {name!a} of plans.json inherits from itself. Correct plans.json."
        raise ModelError(msg)


class NnunetDataset(_Foreign):
    """`dataset.json`.

    Attributes:
        channel_names: By the channel's number; `modality` is its older name.
        labels: Value of each class, or values of each region.
        regions_class_order: What each region is written as.
    """

    channel_names: dict[str, str] | None = None
    modality: dict[str, str] | None = None
    labels: dict[str, int | tuple[int, ...]]
    regions_class_order: tuple[int, ...] | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, in their order.

        Raises:
            ModelError: If there are none.
        """
        names = self.channel_names or self.modality or {}
        if not names or not all(number.isdigit() for number in names):
            msg = (
                f"dataset.json names the channels {names!a}; expected numbers from 0 on with a "
                "name each. Take the dataset.json that nnU-Net put beside plans.json."
            )
            raise ModelError(msg)
        return tuple(names[number] for number in sorted(names, key=int))


T = TypeVar("T", bound=Frozen)


def parsed(kind: type[T], content: object, name: str) -> T:
    """Return a document of nnU-Net's from what its JSON holds, or from the JSON itself.

    Raises:
        ModelError: If a field is missing or of another kind.
    """
    try:
        if isinstance(content, bytes):
            return kind.model_validate_json(content)
        return kind.model_validate(content)
    except ValidationError as error:
        msg = (
            f"{name} is not as nnU-Net v2 writes it. Copy the folder again from where the model "
            f"was trained.\n{explain(error)}"
        )
        raise ModelError(msg) from error


def _described(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return what nnU-Net before 2.2 said of its networks in the form that it uses since."""
    kind = configuration.get("UNet_class_name")
    blocks = "n_blocks_per_stage" if kind == "ResidualEncoderUNet" else "n_conv_per_stage"
    encoder = configuration.get("n_conv_per_stage_encoder") or ()
    base = configuration.get("UNet_base_num_features", 0)
    most = configuration.get("unet_max_num_features", 0)
    axes = len(configuration.get("patch_size") or ())
    return {
        "network_class_name": kind,
        "arch_kwargs": {
            "n_stages": len(encoder),
            "features_per_stage": [min(base * 2**stage, most) for stage in range(len(encoder))],
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": configuration.get("conv_kernel_sizes"),
            "strides": configuration.get("pool_op_kernel_sizes"),
            blocks: encoder,
            "n_conv_per_stage_decoder": configuration.get("n_conv_per_stage_decoder"),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
    }
