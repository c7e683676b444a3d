"""Parse the `plans.json` and `dataset.json` that nnU-Net writes next to its checkpoints.

Source: nnU-Net 2.8.1, including its conversion of configurations from before 2.2.
"""

from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import Field, PositiveFloat, ValidationError

from autoseg.core.errors import ModelError
from autoseg.core.frozen import Frozen, PositiveInt
from autoseg.core.json_text import whole_number
from autoseg.core.limits import MOST_STAGES, Width
from autoseg.documents.store import format_validation_error

PerAxis: TypeAlias = PositiveInt | tuple[PositiveInt, ...]
"""One number for all axes, or one per axis."""

MOST_ANCESTORS = 16
"""Maximum length of a chain of inherited configurations."""


class _Foreign(Frozen, extra="ignore"):
    """A document of another program; unknown fields are ignored."""


class NetworkSettings(Frozen):
    """Arguments of nnU-Net's two U-Nets; unknown ones are rejected, since they may matter."""

    n_stages: Annotated[int, Field(ge=1, le=MOST_STAGES)]
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
        network_class_name: Import path of nnU-Net's class; compared, never imported.
        arch_kwargs: Arguments of the class.
    """

    network_class_name: str
    arch_kwargs: NetworkSettings


class NnunetConfiguration(_Foreign):
    """A configuration of `plans.json` with inheritance resolved.

    Attributes:
        resampling_fn_data_kwargs: Resampling of images: `is_seg`, `order`, `order_z` and so on.
        resampling_fn_probabilities_kwargs: Resampling of predicted logits to the image grid.
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


class OlderConfiguration(_Foreign):
    """The network of a configuration from before nnU-Net 2.2."""

    UNet_class_name: str | None = None
    UNet_base_num_features: Width
    unet_max_num_features: Width
    n_conv_per_stage_encoder: Annotated[tuple[PositiveInt, ...], Field(max_length=MOST_STAGES)]
    n_conv_per_stage_decoder: PerAxis | None = None
    conv_kernel_sizes: Any = None
    pool_op_kernel_sizes: Any = None
    patch_size: tuple[PositiveInt, ...] = ()


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
        """Foreground intensities by channel number, from the current or the older field name."""
        return (
            self.foreground_intensity_properties_per_channel
            or self.foreground_intensity_properties_by_modality
            or {}
        )

    def configuration(self, name: str) -> NnunetConfiguration:
        """Return a configuration including its inherited fields.

        Raises:
            ModelError: If there is no such configuration, or its fields are invalid.
        """
        fields = self._merged(name)
        if "architecture" not in fields:
            older = parse_document(OlderConfiguration, fields, f"configuration {name!a}")
            fields = {**fields, "architecture": _architecture_before_2_2(older)}
        return parse_document(NnunetConfiguration, fields, f"configuration {name!a} of plans.json")

    def _merged(self, name: str) -> dict[str, Any]:
        """Return the fields of a configuration; its own override inherited ones."""
        merged: dict[str, Any] = {}
        current: object = name
        for _ in range(MOST_ANCESTORS):
            if current is None:
                return merged
            if not isinstance(current, str) or current not in self.configurations:
                msg = (
                    f"plans.json has no configuration {current!a}; it has "
                    f"{', '.join(map(ascii, self.configurations))}. Use the plans.json next to the "
                    "checkpoint's fold."
                )
                raise ModelError(msg)
            merged = {**self.configurations[current], **merged}
            current = self.configurations[current].get("inherits_from")
        msg = f"configuration {name!a} of plans.json inherits from itself. Correct plans.json."
        raise ModelError(msg)


class NnunetDataset(_Foreign):
    """`dataset.json`.

    Attributes:
        channel_names: Channel names by channel number.
        modality: Older name of `channel_names`.
        labels: Value of each class, or values of each region.
        regions_class_order: Label value written for each region.
    """

    channel_names: dict[str, str] | None = None
    modality: dict[str, str] | None = None
    labels: dict[str, int | tuple[int, ...]]
    regions_class_order: tuple[int, ...] | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels in order.

        Raises:
            ModelError: If there are none, or their keys are not numbers.
        """
        names = self.channel_names or self.modality or {}
        if not names or None in map(whole_number, names):
            msg = (
                f"dataset.json has the channel names {names!a}; expected one name for each channel "
                "number from 0. Use the dataset.json next to plans.json."
            )
            raise ModelError(msg)
        return tuple(names[number] for number in sorted(names, key=int))


T = TypeVar("T", bound=Frozen)


def parse_document(kind: type[T], content: object, name: str) -> T:
    """Parse an nnU-Net document.

    Args:
        kind: Class of the document.
        content: JSON bytes, or the values decoded from them.
        name: Name of the document in messages.

    Raises:
        ModelError: If a field is missing or has the wrong type.
    """
    try:
        if isinstance(content, bytes):
            return kind.model_validate_json(content)
        return kind.model_validate(content)
    except ValidationError as error:
        msg = (
            f"{name} has invalid fields; expected a file written by nnU-Net v2. Copy the model's "
            f"folder again from where it was trained.\n{format_validation_error(error)}"
        )
        raise ModelError(msg) from error


def _architecture_before_2_2(configuration: OlderConfiguration) -> dict[str, Any]:
    """Convert the network description of nnU-Net before 2.2 to the current form."""
    kind = configuration.UNet_class_name
    blocks = "n_blocks_per_stage" if kind == "ResidualEncoderUNet" else "n_conv_per_stage"
    encoder, axes = configuration.n_conv_per_stage_encoder, len(configuration.patch_size)
    base, most = configuration.UNet_base_num_features, configuration.unet_max_num_features
    return {
        "network_class_name": kind,
        "arch_kwargs": {
            "n_stages": len(encoder),
            "features_per_stage": [min(base * 2**stage, most) for stage in range(len(encoder))],
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": configuration.conv_kernel_sizes,
            "strides": configuration.pool_op_kernel_sizes,
            blocks: encoder,
            "n_conv_per_stage_decoder": configuration.n_conv_per_stage_decoder,
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
    }
