"""Forecast the time for a dataset from measured speeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from statistics import median

from autoseg.benchmarking.predicting import num_tiles
from autoseg.core.parallel import default_workers
from autoseg.documents.bench import ConfigurationForecast, Throughput
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Configuration, Plan
from autoseg.planning.forecast import FORWARD_SHARE, Machine, step_seconds
from autoseg.stages.train.duration import REFERENCE_EPOCHS


@dataclass(frozen=True)
class MeasuredSpeed:
    """Measured or predicted speed of one configuration.

    Attributes:
        step_seconds: Seconds per training step.
        tile_seconds: Seconds per predicted tile, including all mirrored views.
        preparation_seconds: Seconds to read, prepare and store a case of mean size, one process.
        export_rate: Millions of exported logits (voxels of the label map × classes) per second.
    """

    step_seconds: float
    tile_seconds: float
    preparation_seconds: float
    export_rate: float


@dataclass(frozen=True)
class ForecastInputs:
    """Properties of dataset and machine that a forecast depends on.

    Attributes:
        plan: The plan.
        fingerprint: Fingerprint of some or all cases; shapes and spacings are taken from it.
        num_cases: Number of cases of the dataset.
        machine: The training machine.
    """

    plan: Plan
    fingerprint: Fingerprint
    num_cases: int
    machine: Machine

    @property
    def median_shape(self) -> tuple[float, ...]:
        """Median shape of the images after the nonzero crop, voxels, planned axis order."""
        return self._medians([case.shape_after_crop for case in self.fingerprint.cases])

    @property
    def median_spacing(self) -> tuple[float, ...]:
        """Median spacing of the images, mm, planned axis order."""
        return self._medians([case.spacing for case in self.fingerprint.cases])

    def _medians(self, rows: Sequence[tuple[float | int, ...]]) -> tuple[float, ...]:
        return tuple(float(median(row[axis] for row in rows)) for axis in self.plan.axis_order)


def speed_from_rows(rows: Mapping[str, Throughput], *, case_scale: float) -> MeasuredSpeed:
    """Compute the speed of a configuration from its rows.

    Args:
        rows: Rows of the configuration by stage.
        case_scale: Ratio of the mean case size in the dataset to that of the measured cases.
    """
    return MeasuredSpeed(
        step_seconds=1 / rows["training step"].value,
        tile_seconds=1 / rows["prediction"].value,
        preparation_seconds=case_scale / rows["preprocess"].value,
        export_rate=rows["export"].value,
    )


def forecasts(
    inputs: ForecastInputs, speeds: Mapping[str, MeasuredSpeed]
) -> tuple[ConfigurationForecast, ...]:
    """Forecast the times of all configurations of a plan.

    Args:
        inputs: Plan, cases and machine.
        speeds: Speeds of the measured configurations by name, at least one.
    """
    results: dict[str, ConfigurationForecast] = {}
    waiting = list(inputs.plan.configurations)
    while waiting:  # previous stages first: cascades include their prediction time
        configuration = waiting.pop(0)
        previous = configuration.previous_stage
        if previous is not None and previous not in results:
            waiting.append(configuration)
            continue
        before = 0.0 if previous is None else results[previous].prediction_seconds
        speed = speeds.get(configuration.name) or scaled_speed(configuration, inputs, speeds)
        results[configuration.name] = _forecast(
            configuration, inputs, speed, is_measured=configuration.name in speeds, before=before
        )
    return tuple(results[entry.name] for entry in inputs.plan.configurations)


def _forecast(
    configuration: Configuration,
    inputs: ForecastInputs,
    speed: MeasuredSpeed,
    *,
    is_measured: bool,
    before: float,
) -> ConfigurationForecast:
    per_step = speed.step_seconds * (1 + FORWARD_SHARE * configuration.recipe.validation_share)
    steps = planned_steps(configuration, inputs.plan, per_step)
    preparing = speed.preparation_seconds * inputs.num_cases / default_workers()
    return ConfigurationForecast(
        configuration=configuration.name,
        is_measured=is_measured,
        preparation_seconds=preparing,
        seconds_per_step=speed.step_seconds,
        steps=steps,
        hours_per_fold=steps * per_step / 3600,
        prediction_seconds=before + prediction_seconds(configuration, inputs, speed),
    )


def planned_steps(configuration: Configuration, plan: Plan, per_step: float) -> int:
    """Compute the number of optimiser steps of a training of the planned length, at least 1.

    Args:
        configuration: The configuration.
        plan: Its plan. If the configuration was sized to a time budget, the budget sets the length;
            otherwise it is the reference length.
        per_step: Seconds per step, including the step's share of the online validation.
    """
    seconds = plan.training_seconds(configuration)
    if seconds is None:
        return REFERENCE_EPOCHS * configuration.recipe.iterations_per_epoch
    return max(1, int(seconds / per_step))


def prediction_seconds(
    configuration: Configuration, inputs: ForecastInputs, speed: MeasuredSpeed
) -> float:
    """Predict the time to segment one image of median size: preparation, all tiles, and export.

    The three parts are added as if they did not overlap, which is true if they share a processor.

    Args:
        configuration: The configuration.
        inputs: Plan, cases and machine.
        speed: Speed of the configuration.
    """
    shape = prepared_shape(configuration, inputs)
    tiles = num_tiles(shape, configuration.topology.patch_shape)
    classes = configuration.architecture.num_classes
    exported = classes * prod(inputs.median_shape) / 1e6
    return speed.preparation_seconds + tiles * speed.tile_seconds + exported / speed.export_rate


def prepared_shape(configuration: Configuration, inputs: ForecastInputs) -> tuple[int, ...]:
    """Return the shape of an image of median size after preparation, voxels."""
    kept = len(inputs.median_shape) - len(configuration.spacing)
    spacing = (*inputs.median_spacing[:kept], *configuration.spacing)
    triples = zip(inputs.median_shape, inputs.median_spacing, spacing, strict=True)
    return tuple(max(1, round(size * old / new)) for size, old, new in triples)


def scaled_speed(
    configuration: Configuration, inputs: ForecastInputs, speeds: Mapping[str, MeasuredSpeed]
) -> MeasuredSpeed:
    """Predict the speed of a configuration that was not measured.

    The speed of a measured configuration, preferably with the same number of axes, is scaled by the
    ratio of the step times that the planner's model predicts for both.

    Args:
        configuration: The configuration.
        inputs: Plan, cases and machine.
        speeds: Speeds of the measured configurations by name, at least one.
    """
    known = [inputs.plan.configuration(name) for name in speeds]
    axes = configuration.topology.num_axes
    same_axes = [entry for entry in known if entry.topology.num_axes == axes]
    source = (same_axes or known)[0]
    speed = speeds[source.name]
    step = _modelled_step_seconds(configuration, inputs) / _modelled_step_seconds(source, inputs)
    tile = step * source.batch_size / configuration.batch_size
    flips = 2.0 ** (len(configuration.mirror_axes) - len(source.mirror_axes))
    return replace(
        speed,
        step_seconds=speed.step_seconds * step,
        tile_seconds=speed.tile_seconds * tile * flips,
    )


def _modelled_step_seconds(configuration: Configuration, inputs: ForecastInputs) -> float:
    return step_seconds(configuration.architecture, configuration.batch_size, inputs.machine)
