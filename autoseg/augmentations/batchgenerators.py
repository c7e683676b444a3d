"""Transforms of batchgenerators, by name, with parameters as in its documentation.

batchgenerators draws from the global generators of NumPy and Python. Each patch is transformed with
both of them seeded for it, and their state is restored afterwards.

Source: Isensee et al., batchgenerators, doi:10.5281/zenodo.3632567.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from inspect import Parameter, signature
from threading import Lock
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int16
from pydantic import Field, JsonValue, model_validator
from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    PatchContext,
    Patches,
    RandomGenerators,
)
from autoseg.augmentations.spatial import Spatial
from autoseg.core.errors import TrainingError, case_error_message
from autoseg.core.formatting import format_shape

Region = Float32[np.ndarray, "channels *region"]
RegionLayers = Int16[np.ndarray, "layers *region"]
Patch = Float32[np.ndarray, "channels *patch"]
PatchLayers = Int16[np.ndarray, "layers *patch"]

SPATIAL = ("SpatialTransform", "SpatialTransform_2")
"""Transforms that cut a patch from a larger region; with `in_plane_only`, they transform planes."""

MODULES = MappingProxyType(
    {
        "color_transforms": (
            *("BrightnessMultiplicativeTransform", "BrightnessTransform", "ClipValueRange"),
            *("ContrastAugmentationTransform", "GammaTransform", "NormalizeTransform"),
        ),
        "local_transforms": (
            *("BrightnessGradientAdditiveTransform", "LocalContrastTransform"),
            *("LocalGammaTransform", "LocalSmoothingTransform"),
        ),
        "noise_transforms": (
            *("BlankRectangleTransform", "BlankSquareNoiseTransform", "GaussianBlurTransform"),
            *("GaussianNoiseTransform", "MedianFilterTransform", "RicianNoiseTransform"),
            "SharpeningTransform",
        ),
        "resample_transforms": ("SimulateLowResolutionTransform",),
        "sample_normalization_transforms": (
            *("CutOffOutliersTransform", "MeanStdNormalizationTransform", "RangeTransform"),
            "ZeroMeanUnitVarianceTransform",
        ),
        "spatial_transforms": (
            *("MirrorTransform", "Rot90Transform", "TransposeAxesTransform"),
            *SPATIAL,
        ),
    }
)
"""Available transforms by their module: those that keep the shape of a patch and its classes, treat
all layers of labels alike, and run with NumPy 2."""

TRANSFORMS = MappingProxyType(
    {name: module for module, names in sorted(MODULES.items()) for name in names}
)
"""Module of each available transform."""

FIXED: Mapping[str, object] = MappingProxyType(
    {
        "p_per_sample": 1.0,  # patches are selected by `probability`
        "random_crop": False,
        "patch_center_dist_from_border": 0,
        "border_cval_seg": 0,  # background, or ignored if the dataset has ignored voxels
    }
)
"""Parameters with values that autoseg requires."""

MANAGED = frozenset({"data_key", "label_key", "apply_to_keys", "patch_size", *FIXED})
"""Parameters that a recipe cannot set."""

_GLOBAL_GENERATORS = Lock()
"""Held while the global random generators are in use: they belong to all threads of a process."""


@AUGMENTATIONS.register
class Batchgenerators(Augmentation):
    """A transform of batchgenerators, applied to one patch at a time, on the CPU.

    Attributes:
        probability: Probability that a patch is augmented.
        transform: Name of the class; one of `TRANSFORMS`.
        parameters: Arguments of the class. Lists become tuples.
    """

    needs_cpu: ClassVar[bool] = True

    kind: Literal["batchgenerators"] = "batchgenerators"
    transform: str
    parameters: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "Batchgenerators":
        """Check the names of the transform and of its parameters."""
        if self.transform not in TRANSFORMS:
            msg = (
                f"batchgenerators has no transform called {self.transform!r} that works on "
                f"patches. Choose one of: {', '.join(sorted(TRANSFORMS))}."
            )
            raise ValueError(msg)
        known = self._signature
        settable = [name for name in known if name not in MANAGED]
        if unknown := [name for name in self.parameters if name not in settable]:
            advice = "; set probability instead" if "p_per_sample" in unknown else ""
            msg = (
                f"{self.transform} has no parameter {', '.join(unknown)} that a recipe can "
                f"set{advice}. Choose from: {', '.join(settable)}."
            )
            raise ValueError(msg)
        given = {*self.parameters, *PATCH_DEFAULTS}
        if missing := [name for name in settable if is_required(known[name]) and name not in given]:
            msg = f"{self.transform} needs the parameters {', '.join(missing)}; add them."
            raise ValueError(msg)
        return self

    @property
    def _class(self) -> Callable[..., Any]:
        module = import_module(f"batchgenerators.transforms.{TRANSFORMS[self.transform]}")
        found: Callable[..., Any] = getattr(module, self.transform)
        return found

    @property
    def _signature(self) -> Mapping[str, Parameter]:
        return signature(self._class).parameters

    @override
    def loaded_shape(self, context: PatchContext) -> tuple[int, ...]:
        """Return the size of the region that `Spatial` loads for transforms that move voxels."""
        is_spatial = self.transform in SPATIAL
        return Spatial().loaded_shape(context) if is_spatial else context.patch_shape

    @override
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        device = patches.images.device
        seeds = generators.per_patch.integers(2**32, size=len(patches.images)).tolist()
        pairs = [
            self._apply_to_one(image, layers, seed, context)
            for image, layers, seed in zip(
                patches.images.cpu().numpy(), patches.layers.cpu().numpy(), seeds, strict=True
            )
        ]
        images, layers = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
        return Patches(images.to(device), layers.to(device))

    def _apply_to_one(
        self, image: Region, layers: RegionLayers, seed: int, context: PatchContext
    ) -> tuple[Patch, PatchLayers]:
        """Transform one patch; it is kept as it is if the result would have infinite values.

        Raises:
            TrainingError: If the transform fails with these parameters and patches.
        """
        as_planes = context.in_plane_only and self.transform in SPATIAL
        fixed = 2 if as_planes else 1  # axes in front of those that are transformed
        shape = context.patch_shape
        arrays = {
            "data": image.reshape(1, -1, *image.shape[fixed:]).copy(),
            "seg": layers.reshape(1, -1, *layers.shape[fixed:]).copy(),
        }
        try:
            with seeded_global_generators(seed):
                changed = self._class(**self._arguments(context, as_planes=as_planes))(**arrays)
            new_image = np.asarray(changed["data"], np.float32).reshape(len(image), *shape)
            new_layers = np.asarray(changed["seg"], np.int16).reshape(len(layers), *shape)
        except Exception as error:
            msg = (
                f"{self.transform} of batchgenerators cannot transform patches of "
                f"{format_shape(shape)} voxels and {len(image)} channels: "
                f"{case_error_message(error)}. Its parameters in the plan's recipe are "
                f"{self.parameters}; correct them or remove the entry."
            )
            raise TrainingError(msg) from error
        if not np.isfinite(new_image).all() and new_image.shape == image.shape:
            return image, layers
        return new_image, new_layers

    def _arguments(self, context: PatchContext, *, as_planes: bool) -> dict[str, Any]:
        """Return the arguments of the class for patches of this size."""
        shape = context.patch_shape[1:] if as_planes else context.patch_shape
        known = self._signature
        automatic = {
            name: value(shape)
            for name, value in PATCH_DEFAULTS.items()
            if name in known and is_required(known[name])
        }
        equal_axes = axes_of_equal_edges(shape)  # exchanging others would change the shape
        arguments = {
            **automatic,
            **({"axes": equal_axes} if self.transform == "Rot90Transform" else {}),
            "transpose_any_of_these": equal_axes,
            "border_mode_data": "constant",  # like the labels
            "ignore_axes": (0,) if context.in_plane_only else None,
            **{name: as_tuple(value) for name, value in self.parameters.items()},
            **FIXED,
            "patch_size": shape,
        }
        return {name: value for name, value in arguments.items() if name in known}


@contextmanager
def seeded_global_generators(seed: int) -> Iterator[None]:
    """Seed the global generators of NumPy and Python in a block, then restore their state.

    One thread at a time runs such a block.
    """
    with _GLOBAL_GENERATORS:
        numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def is_required(parameter: Parameter) -> bool:
    """Return True if a parameter has no default."""
    return parameter.default is Parameter.empty


def as_tuple(value: object) -> object:
    """Convert lists, at any depth, to tuples."""
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value


def axes_of_equal_edges(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the axes whose edge is the most common one of a patch."""
    most_common = max(shape, key=lambda edge: (shape.count(edge), edge))
    return tuple(axis for axis, edge in enumerate(shape) if edge == most_common)


def draw_scale(shape: Sequence[int], axis: int) -> float:
    """Draw a standard deviation between a sixth of an edge and the edge, log-uniformly, voxels."""
    low, high = np.log(max(1, shape[axis] // 6)), np.log(shape[axis])
    return float(np.exp(np.random.uniform(low, high)))  # noqa: NPY002


PATCH_DEFAULTS: Mapping[str, Callable[[tuple[int, ...]], object]] = MappingProxyType(
    {
        "scale": lambda _: draw_scale,
        "rectangle_size": lambda shape: tuple(
            (max(1, edge // 10), max(1, edge // 3)) for edge in shape
        ),
        "rectangle_value": lambda _: np.mean,
    }
)
"""Defaults of parameters without one, which depend on the patch: the size of local gradients, and
the size and value of rectangles. Source: nnU-Net 2.8.1, nnUNetTrainerDA5."""
