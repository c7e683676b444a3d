"""Format the values of a plan as text, for its decisions and its table."""

from pydantic import BaseModel

from autoseg.architectures import Architecture
from autoseg.core.formatting import format_number, format_shape, format_stages
from autoseg.core.geometry import LengthUnit
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import Recipe
from autoseg.planning.augmentation import augmentation_name
from autoseg.planning.step_memory import step_memory_gib

PLANNED_LOSS_FIELDS = ("pool", "class_weights", "class_frequencies")
"""Fields that the planner sets on every loss that has them."""

FORECASTS = ("predicted_time", "predicted_steps", "predicted_coverage", "predicted_resolution")
"""Decisions that depend on machine and dataset and are not fields of the configuration."""


def plan_values(plan: Plan) -> dict[str, str]:
    """Return every planned value as text, by field, prefixed with the configuration's name."""
    return {
        "axis_order": _text(plan.axis_order),
        "default_configuration": plan.default_configuration,
        **{
            f"{configuration.name}.{field}": text
            for configuration in plan.configurations
            for field, text in configuration_values(configuration, plan.unit).items()
        },
    }


def configuration_values(configuration: Configuration, unit: LengthUnit) -> dict[str, str]:
    """Return every value of one configuration as text, by field, with the spacing in `unit`."""
    topology = configuration.topology
    memory = step_memory_gib(
        configuration.architecture, configuration.batch_size, configuration.recipe
    )
    normalizers = [_settings(normalizer) for normalizer in configuration.normalizers]
    return {
        **({"previous_stage": stage} if (stage := configuration.previous_stage) else {}),
        "spacing": f"{format_shape(configuration.spacing)} {unit}",
        "median_shape": f"{format_shape(configuration.median_shape)} voxels",
        **{f"normalizers.{channel}": text for channel, text in enumerate(normalizers)},
        "resampling": _settings(configuration.resampling),
        "patch_shape": f"{format_shape(topology.patch_shape)} voxels",
        "depth": f"{len(topology.strides)} stages",
        "strides": format_stages(topology.strides),
        "kernels": format_stages(topology.kernels),
        "architecture": _settings(configuration.architecture, without=Architecture),
        "batch_size": str(configuration.batch_size),
        "loss": configuration.loss.kind,
        **{
            f"loss.{field}": _text(getattr(configuration.loss, field))
            for field in PLANNED_LOSS_FIELDS
            if hasattr(configuration.loss, field)
        },
        "recipe": _recipe(configuration.recipe),
        "augmentation": augmentation_name(configuration.recipe.augmentations),
        "mirroring": f"patch axes {_text(axes)}" if (axes := configuration.mirror_axes) else "none",
        "predicted_memory": f"{format_number(memory)} GiB",
    }


def _recipe(recipe: Recipe) -> str:
    """Return the recipe as text, without augmentations."""
    return ", ".join(
        (
            _settings(recipe.optimizer),
            _settings(recipe.schedule),
            f"head_prior {_text(recipe.head_prior)}",
            f"foreground_fraction {format_number(recipe.foreground_fraction)}",
        )
    )


def _settings(value: BaseModel, *, without: type[BaseModel] = BaseModel) -> str:
    """Return a component's kind and settings, e.g. `zscore, masked false`."""
    fields = {
        field: getattr(value, field)
        for field in type(value).model_fields
        if field == "kind" or field not in without.model_fields
    }
    kind = fields.pop("kind", None)
    parts = [f"{field} {_text(setting)}" for field, setting in fields.items()]
    return ", ".join([str(kind), *parts] if kind else parts)


def _text(setting: object) -> str:
    match setting:
        case None:
            return "none"
        case bool():
            return str(setting).lower()
        case float():
            return format_number(setting)
        case tuple():
            return " ".join(_text(entry) for entry in setting)
        case _:
            return str(setting)
