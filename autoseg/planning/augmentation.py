"""Sets of augmentations that a plan can use, and the choice of one of them."""

from collections.abc import Iterable
from typing import Literal

from autoseg.augmentations import AnyAugmentation
from autoseg.augmentations.batchgenerators import Batchgenerators
from autoseg.augmentations.mirroring import Mirroring
from autoseg.core.formatting import format_count, format_duration
from autoseg.documents.recipe import REFERENCE_AUGMENTATIONS
from autoseg.planning.planned_value import OWN, PlannedValue

AugmentationName = Literal["standard", "strong", "none"]
Augmentations = tuple[AnyAugmentation, ...]


def augmentation(
    num_cases: int, seconds: float | None = None, requested: AugmentationName | None = None
) -> PlannedValue[AugmentationName]:
    """Return the name of the set of augmentations to train with.

    Args:
        num_cases: Number of cases of the dataset, all folds together.
        seconds: Time budget of one training; None for no limit.
        requested: Set that the user requested, if any.
    """
    if requested is not None:
        return PlannedValue(requested, "augmentation", "requested", OWN)
    time = "no time limit" if seconds is None else format_duration(seconds)
    reason = (
        f"{format_count(num_cases, 'case')}, {time}: strong is only used if requested, because its "
        "gain is small: 0.002 Dice with 10 training cases, -0.001 with 100 (see the experiments)"
    )
    return PlannedValue("standard", "augmentation", reason, OWN)


def augmentations_of(name: AugmentationName, mirror_axes: tuple[int, ...]) -> Augmentations:
    """Return the augmentations of a set, mirroring only along some patch axes."""
    if name == "none":
        return ()
    return tuple(
        entry.model_copy(update={"axes": mirror_axes}) if isinstance(entry, Mirroring) else entry
        for entry in (strong_augmentations() if name == "strong" else REFERENCE_AUGMENTATIONS)
    )


def augmentation_name(augmentations: Iterable[AnyAugmentation]) -> str:
    """Return the name of the set that augmentations of images belong to, or `own`."""
    augmentations = tuple(augmentations)
    entries = _without_planned_axes(augmentations)
    if not entries:
        mirrors = any(isinstance(entry, Mirroring) and entry.axes for entry in augmentations)
        return "own" if mirrors else "none"
    if entries == _without_planned_axes(REFERENCE_AUGMENTATIONS):
        return "standard"
    uses_batchgenerators = any(isinstance(entry, Batchgenerators) for entry in entries)
    is_strong = uses_batchgenerators and entries == _without_planned_axes(strong_augmentations())
    return "strong" if is_strong else "own"


def _without_planned_axes(augmentations: Iterable[AnyAugmentation]) -> Augmentations:
    """Leave out mirroring, whose axes depend on the dataset, and augmentations of cascades."""
    return tuple(
        entry
        for entry in augmentations
        if not isinstance(entry, Mirroring) and not entry.changes_cascade_input
    )


def strong_augmentations() -> Augmentations:
    """Return the standard augmentations with further ones of batchgenerators between them.

    Order, probabilities and ranges of the additions are those of nnUNetTrainerDA5. It draws one
    gradient of either sign with probability 0.3; here, each sign is drawn with 0.15, and so are
    gammas below and above 1. Elastic deformation (with the probability of the first nnU-Net and the
    default strength of batchgenerators) and Rician noise (like the Gaussian noise) are not part of
    it. Its rotations by 90° and its exchange of axes are left out: they confuse classes that differ
    in orientation.

    Source: nnU-Net 2.8.1, nnUNetTrainerDA5; Ronneberger et al., MICCAI 2015, section 3.1 (elastic
    deformation); Gudbjartsson & Patz, Magnetic Resonance in Medicine 34 (1995) (Rician noise).
    """
    spatial, noise, *others, mirroring = REFERENCE_AUGMENTATIONS
    local = {"loc": [-0.5, 1.5], "same_for_all_channels": False, "p_per_channel": 0.5}
    gradient = {**local, "mean_centered": False}
    return (
        spatial,
        _transform("SpatialTransform_2", 0.2, do_rotation=False, do_scale=False, order_data=1),
        _transform("MedianFilterTransform", 0.1, filter_size=[2, 8], p_per_channel=0.5),
        noise,
        _transform("RicianNoiseTransform", 0.1, noise_variance=[0.0, 0.1]),
        *others,
        mirroring,
        _transform("BlankRectangleTransform", 0.4, num_rectangles=[1, 4], p_per_channel=0.5),
        _transform("BrightnessGradientAdditiveTransform", 0.15, max_strength=[-5, -1], **gradient),
        _transform("BrightnessGradientAdditiveTransform", 0.15, max_strength=[1, 5], **gradient),
        _transform("LocalGammaTransform", 0.15, gamma=[0.01, 0.8], **local),
        _transform("LocalGammaTransform", 0.15, gamma=[1.5, 4], **local),
        _transform("SharpeningTransform", 0.2, strength=[0.1, 1.0], p_per_channel=0.5),
    )


def _transform(transform: str, probability: float, **parameters: object) -> Batchgenerators:
    return Batchgenerators.model_validate(
        {"transform": transform, "probability": probability, "parameters": parameters}
    )
