"""From measured paces to how long a dataset takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from statistics import median

from autoseg.benchmarking.predicting import num_tiles
from autoseg.core.parallel import default_workers
from autoseg.documents.bench import ConfigurationForecast, Throughput
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Configuration, Plan
from autoseg.planning.forecast import FORWARD_SHARE, Machine, step_seconds
from autoseg.stages.training_duration import REFERENCE_EPOCHS


@dataclass(frozen=True)
class MeasuredSpeed:
    """How fast one configuration is.

    Attributes:
        step_seconds: One training step.
        tile_seconds: One tile of prediction with all its mirrored views.
        preparation_seconds: Reading, preparing and storing a case of mean size, by one process.
        export_rate: Millions of logits (voxels of the label map times classes) per second.
    """

    step_seconds: float
    tile_seconds: float
    preparation_seconds: float
    export_rate: float


@dataclass(frozen=True)
class Scale:
    """What the forecast is for.

    Attributes:
        plan: All configurations.
        num_cases: Of the dataset.
        median_shape: Of the images after the crop, voxels, planned axis order.
        median_spacing: Of the images, mm, planned axis order.
        machine: What trains.
    """

    plan: Plan
    num_cases: int
    median_shape: tuple[float, ...]
    median_spacing: tuple[float, ...]
    machine: Machine


def scale_of(plan: Plan, fingerprint: Fingerprint, num_cases: int, machine: Machine) -> Scale:
    """Return what a forecast is for, from the cases that are known."""
    axes = plan.axis_order
    cases = fingerprint.cases
    return Scale(
        plan=plan,
        num_cases=num_cases,
        median_shape=tuple(
            float(median(case.shape_after_crop[axis] for case in cases)) for axis in axes
        ),
        median_spacing=tuple(median(case.spacing[axis] for case in cases) for axis in axes),
        machine=machine,
    )


def pace_of(rows: Mapping[str, Throughput], *, case_scale: float) -> MeasuredSpeed:
    """Return the pace of a configuration from its rows.

    Args:
        rows: By stage.
        case_scale: Size of a mean case of the dataset over that of a mean case measured.
    """
    return MeasuredSpeed(
        step_seconds=1 / rows["training step"].value,
        tile_seconds=1 / rows["prediction"].value,
        preparation_seconds=case_scale / rows["preprocess"].value,
        export_rate=rows["export"].value,
    )


def forecasts(
    scale: Scale, paces: Mapping[str, MeasuredSpeed]
) -> tuple[ConfigurationForecast, ...]:
    """Return what each configuration of a plan will take.

    Args:
        scale: Plan, cases and machine.
        paces: Of the configurations that were measured, by name; at least one.
    """
    made: dict[str, ConfigurationForecast] = {}
    waiting = list(scale.plan.configurations)
    while waiting:  # a cascade after its previous stage, of which its prediction is a part
        configuration = waiting.pop(0)
        previous = configuration.previous_stage
        if previous is not None and previous not in made:
            waiting.append(configuration)
            continue
        before = 0.0 if previous is None else made[previous].prediction_seconds
        pace = paces.get(configuration.name) or scaled_pace(configuration, scale, paces)
        made[configuration.name] = _forecast(
            configuration, scale, pace, is_measured=configuration.name in paces, before=before
        )
    return tuple(made[entry.name] for entry in scale.plan.configurations)


def _forecast(
    configuration: Configuration,
    scale: Scale,
    pace: MeasuredSpeed,
    *,
    is_measured: bool,
    before: float,
) -> ConfigurationForecast:
    per_step = pace.step_seconds * (1 + FORWARD_SHARE * configuration.recipe.validation_share)
    steps = planned_steps(configuration, scale.plan, per_step)
    preparing = pace.preparation_seconds * scale.num_cases / default_workers()
    return ConfigurationForecast(
        configuration=configuration.name,
        is_measured=is_measured,
        preparation_seconds=preparing,
        seconds_per_step=pace.step_seconds,
        steps=steps,
        hours_per_fold=steps * per_step / 3600,
        prediction_seconds=before + prediction_seconds(configuration, scale, pace),
    )


def planned_steps(configuration: Configuration, plan: Plan, per_step: float) -> int:
    """Return the optimiser steps of a training of the planned length, at least 1.

    Args:
        configuration: Which one.
        plan: What it is of; the time that it was sized to sets the length, else the reference does.
        per_step: Time of a step with its part of the online validation, seconds.
    """
    seconds = plan.training_seconds(configuration)
    if seconds is not None:
        return max(1, int(seconds / per_step))
    return REFERENCE_EPOCHS * configuration.recipe.iterations_per_epoch


def prediction_seconds(configuration: Configuration, scale: Scale, pace: MeasuredSpeed) -> float:
    """Return the time of one image of median size: prepare it, tile by tile, and back to its grid.

    As if none of the three went on beside another, which is so where they share a processor.
    """
    shape = prepared_shape(configuration, scale)
    tiles = num_tiles(shape, configuration.topology.patch_shape)
    classes = configuration.architecture.num_classes
    exported = classes * prod(scale.median_shape) / 1e6
    return pace.preparation_seconds + tiles * pace.tile_seconds + exported / pace.export_rate


def prepared_shape(configuration: Configuration, scale: Scale) -> tuple[int, ...]:
    """Return the size of an image of median size after preparation, voxels."""
    kept = len(scale.median_shape) - len(configuration.spacing)
    spacing = (*scale.median_spacing[:kept], *configuration.spacing)
    triples = zip(scale.median_shape, scale.median_spacing, spacing, strict=True)
    return tuple(max(1, round(size * old / new)) for size, old, new in triples)


def scaled_pace(
    configuration: Configuration, scale: Scale, paces: Mapping[str, MeasuredSpeed]
) -> MeasuredSpeed:
    """Return the pace of a configuration that was not measured.

    That of a measured one, of as many axes if there is one, times what the planner's model of step
    times says of the two.
    """
    known = [scale.plan.configuration(name) for name in paces]
    axes = configuration.topology.num_axes
    alike = [entry for entry in known if entry.topology.num_axes == axes]
    source = (alike or known)[0]
    pace = paces[source.name]
    step = _modelled(configuration, scale) / _modelled(source, scale)
    tile = step * source.batch_size / configuration.batch_size
    flips = 2.0 ** (len(configuration.mirror_axes) - len(source.mirror_axes))
    return MeasuredSpeed(
        step_seconds=pace.step_seconds * step,
        tile_seconds=pace.tile_seconds * tile * flips,
        preparation_seconds=pace.preparation_seconds,
        export_rate=pace.export_rate,
    )


def _modelled(configuration: Configuration, scale: Scale) -> float:
    return step_seconds(configuration.architecture, configuration.batch_size, scale.machine)
