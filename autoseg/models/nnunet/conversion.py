"""Convert nnU-Net's plans to an autoseg plan with the same preprocessing and export."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from autoseg.architectures import Architecture
from autoseg.core.errors import ModelError
from autoseg.core.formatting import printable
from autoseg.core.geometry import Orientation
from autoseg.core.labels import LabelScheme, Region
from autoseg.documents.plan import Configuration, Decision, Plan
from autoseg.documents.preparation import Resampling
from autoseg.documents.store import format_validation_error
from autoseg.losses.dice_ce import DiceCrossEntropy
from autoseg.models.nnunet.network import architecture
from autoseg.models.nnunet.plans import (
    IntensityProperties,
    NnunetConfiguration,
    NnunetDataset,
    NnunetPlans,
)
from autoseg.normalizers import Normalizer
from autoseg.normalizers.ct import ComputedTomography
from autoseg.normalizers.none import NoNormalization
from autoseg.normalizers.rgb import RGB
from autoseg.normalizers.zero_one import ZeroOne
from autoseg.normalizers.zscore import ZScore

ORIENTATIONS: dict[str, Orientation] = {
    "SimpleITKIO": "stored",
    "NibabelIO": "stored",
    "NaturalImage2DIO": "stored",
    "Tiff3DIO": "stored",
    "SimpleITKIOWithReorient": "SAR",
    "NibabelIOWithReorient": "SAR",
}
"""Orientation used by each nnU-Net reader; RAS (x, y, z) is SAR in array order."""

PREPROCESSOR = "DefaultPreprocessor"
RESAMPLING = "resample_data_or_seg_to_shape"
LABEL_MANAGER = "LabelManager"
IGNORE = "ignore"

NEVER = 1e9
"""Anisotropy threshold that no image reaches, so that no axis is resampled separately."""


@dataclass(frozen=True)
class NnunetModel:
    """nnU-Net's description of one trained configuration.

    Attributes:
        plans: `plans.json`.
        dataset: `dataset.json`.
        configuration: Name of the trained configuration.
    """

    plans: NnunetPlans
    dataset: NnunetDataset
    configuration: str


def convert_plan(model: NnunetModel) -> Plan:
    """Convert the plan of a trained configuration and its previous stages.

    Raises:
        ModelError: If the plan uses an nnU-Net feature that autoseg does not support.
    """
    try:
        return _plan(model)
    except ValidationError as error:
        msg = (
            "plans.json or dataset.json has settings that autoseg does not support:\n"
            f"{format_validation_error(error)}\n"
            "Predict with nnU-Net, or train a new model with `autoseg train`."
        )
        raise ModelError(msg) from error


def _plan(model: NnunetModel) -> Plan:
    plans, labels = model.plans, label_scheme(model.dataset)
    _check(plans.label_manager == LABEL_MANAGER, "label_manager", plans.label_manager)
    reader = plans.image_reader_writer
    _check(reader in ORIENTATIONS, "image_reader_writer", reader)
    is_flat = _is_flat(plans, plans.configuration(model.configuration))
    configurations = tuple(
        _configuration(name, model, labels, is_flat=is_flat)
        for name in _stages(plans, model.configuration)
    )
    return Plan(
        dataset_name=plans.dataset_name,
        num_axes=2 if is_flat else 3,
        channel_names=model.dataset.channels,
        labels=labels,
        axis_order=_axis_order(plans, is_flat=is_flat),
        orientation=ORIENTATIONS[reader],
        default_configuration=model.configuration,
        configurations=configurations,
        decisions=(_decision(plans),),
    )


def label_scheme(dataset: NnunetDataset) -> LabelScheme:
    """Convert the classes of `dataset.json`, and its regions if it has any.

    Raises:
        ModelError: If the values are not consecutive from 0, or `regions_class_order` is missing.
    """
    ignored = dataset.labels.get(IGNORE)
    named = {
        name: (value,) if isinstance(value, int) else value
        for name, value in dataset.labels.items()
        if name != IGNORE
    }
    values = sorted({value for entry in named.values() for value in entry})
    if values != list(range(len(values))) or len(values) < 2:
        msg = (
            f"dataset.json has the label values {values}; expected 0, 1, 2 … without gaps, as "
            "nnU-Net requires. Use the dataset.json next to plans.json."
        )
        raise ModelError(msg)
    alone = {entry[0]: name for name, entry in named.items() if len(set(entry)) == 1}
    return LabelScheme(
        names=tuple(alone.get(value, f"label {value}") for value in values),
        values=tuple(values),
        regions=_regions(named, dataset.regions_class_order),
        ignore=ignored if isinstance(ignored, int) else None,
    )


def _regions(
    named: dict[str, tuple[int, ...]], order: tuple[int, ...] | None
) -> tuple[Region, ...]:
    """Return the regions; empty if every label has a single value."""
    foreground = {name: entry for name, entry in named.items() if set(entry) != {0}}
    if all(len(entry) == 1 for entry in named.values()):
        return ()
    if order is None or len(order) != len(foreground):
        msg = (
            f"dataset.json has {len(foreground)} regions, but regions_class_order is {order}; "
            "expected one value per region. Use the dataset.json next to plans.json."
        )
        raise ModelError(msg)
    return tuple(
        Region(name=name, values=entry, written_as=value)
        for (name, entry), value in zip(foreground.items(), order, strict=True)
    )


def _stages(plans: NnunetPlans, name: str) -> tuple[str, ...]:
    """Return the names of a configuration and its previous stages, the first stage first."""
    names: list[str] = []
    current: str | None = name
    while current is not None:
        if current in names:
            msg = f"{name!a} in plans.json is a circular cascade. Correct its previous_stage."
            raise ModelError(msg)
        names.insert(0, current)
        current = plans.configuration(current).previous_stage
    return tuple(names)


def _is_flat(plans: NnunetPlans, configuration: NnunetConfiguration) -> bool:
    """Return True for a 2-D dataset, whose images nnU-Net stores as volumes of one slice."""
    shape = plans.original_median_shape_after_transp
    return len(configuration.patch_size) == 2 and shape is not None and shape[0] == 1


def _axis_order(plans: NnunetPlans, *, is_flat: bool) -> tuple[int, ...]:
    """Return the order of axes, without the slice axis for 2-D datasets."""
    order = plans.transpose_forward
    _check(sorted(order) == [0, 1, 2], "transpose_forward", order)
    if not is_flat:
        return order
    _check(order[0] == 0, "transpose_forward", order)
    return tuple(axis - 1 for axis in order[1:])


def _configuration(
    name: str, model: NnunetModel, labels: LabelScheme, *, is_flat: bool
) -> Configuration:
    planned = model.plans.configuration(name)
    _check(
        planned.preprocessor_name == PREPROCESSOR, "preprocessor_name", planned.preprocessor_name
    )
    _check(is_flat or len(planned.patch_size) in (2, 3), "patch_size", planned.patch_size)
    cascade_input = 0 if planned.previous_stage is None else labels.num_classes - 1
    network = architecture(
        planned.architecture,
        planned.patch_size,
        in_channels=len(model.dataset.channels) + cascade_input,
        num_outputs=labels.num_outputs,
    )
    return Configuration(
        name=name,
        data_name=name,
        spacing=planned.spacing,
        median_shape=_median_shape(planned),
        batch_size=planned.batch_size,
        normalizers=_normalizers(planned, model),
        architecture=network,
        loss=DiceCrossEntropy(pool="batch" if planned.batch_dice else "sample"),
        resampling=_resampling(planned),
        predicted_memory_gib=_memory_gib(network, planned.batch_size),
        previous_stage=planned.previous_stage,
        blending="nnunet",
    )


def _median_shape(planned: NnunetConfiguration) -> tuple[float, ...]:
    """Return the median image size along the axes of the patch (the last two in 2-D)."""
    shape = planned.median_image_size_in_voxels or planned.patch_size
    return tuple(float(size) for size in shape[-len(planned.patch_size) :])


def _normalizers(planned: NnunetConfiguration, model: NnunetModel) -> tuple[Normalizer, ...]:
    schemes, masked = planned.normalization_schemes, planned.use_mask_for_norm
    channels = model.dataset.channels
    if not len(schemes) == len(masked) == len(channels):
        msg = (
            f"plans.json normalises {len(schemes)} channels, dataset.json names {len(channels)}: "
            f"{', '.join(map(ascii, channels))}. Use both files from the same model folder."
        )
        raise ModelError(msg)
    intensities = model.plans.intensities
    return tuple(
        _normalizer(scheme, intensities.get(str(channel)), masked=is_masked)
        for channel, (scheme, is_masked) in enumerate(zip(schemes, masked, strict=True))
    )


def _normalizer(
    scheme: str, intensities: IntensityProperties | None, *, masked: bool
) -> Normalizer:
    """Return the normaliser equivalent to nnU-Net's class of that name."""
    if scheme == "ZScoreNormalization":
        return ZScore(masked=masked)
    if scheme == "CTNormalization" and intensities is not None:
        return ComputedTomography.model_validate(intensities.model_dump())
    plain: dict[str, Normalizer] = {
        "NoNormalization": NoNormalization(),
        "RescaleTo01Normalization": ZeroOne(),
        "RGBTo01Normalization": RGB(),
    }
    _check(scheme in plain, "normalization_schemes", scheme)
    return plain[scheme]


def _resampling(planned: NnunetConfiguration) -> Resampling:
    """Return the spline orders and the threshold, which must be the same for images and logits."""
    images = planned.resampling_fn_data_kwargs
    logits = planned.resampling_fn_probabilities_kwargs
    for function in (planned.resampling_fn_data, planned.resampling_fn_probabilities):
        _check(function == RESAMPLING, "resampling", function)
    order_z, threshold = images.get("order_z", 0), _threshold(images)
    _check(order_z == logits.get("order_z", 0), "order_z", logits)
    _check(threshold == _threshold(logits), "force_separate_z", logits)
    image_order, logits_order = images.get("order", 3), logits.get("order", 3)
    _check(image_order in (0, 1, 3), "order", image_order)
    _check(logits_order in (0, 1), "order", logits_order)
    _check(order_z in (0, 1), "order_z", order_z)
    return Resampling(
        image_order=image_order,
        label_order=logits_order,
        separate_axis_order=order_z,
        anisotropy_threshold=threshold,
    )


def _threshold(settings: dict[str, Any]) -> float:
    """Return the anisotropy threshold above which the coarse axis is resampled separately."""
    forced = settings.get("force_separate_z", False)
    _check(forced is not True, "force_separate_z", forced)
    if forced is False:
        return NEVER
    threshold = settings.get("separate_z_anisotropy_threshold", 3.0)
    _check(isinstance(threshold, int | float), "separate_z_anisotropy_threshold", threshold)
    return float(threshold)


def _memory_gib(network: Architecture, batch_size: int) -> float:
    axes = network.topology.num_axes
    reference = type(network).memory_references[axes][0]
    return reference.needed_gib(network.activation_count(), batch_size)


def _decision(plans: NnunetPlans) -> Decision:
    return Decision(
        field="configurations",
        value=printable(plans.plans_name),
        rule="imported_plan",
        reason="the model was planned and trained by nnU-Net, and its settings were kept.",
        source="nnU-Net (Isensee et al. 2021)",
    )


def _check(is_supported: bool, field: str, value: object) -> None:  # noqa: FBT001  (like assert)
    """Raise a ModelError for an unsupported setting."""
    if not is_supported:
        msg = (
            f"plans.json has {field} {value!a}, which autoseg does not support. Predict with "
            "nnU-Net, or train a new model with `autoseg train`."
        )
        raise ModelError(msg)
