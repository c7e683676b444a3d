"""Choose the normaliser of a channel by its name, or else by its intensities."""

import re

from autoseg.core.formatting import format_number, format_percent
from autoseg.documents.fingerprint import ChannelIntensities, Fingerprint
from autoseg.normalizers import NORMALIZERS, Normalizer
from autoseg.planning.planned_value import OWN, PlannedValue

UNNAMED = re.compile(r"(channel|image|unknown)?[ _-]?\d*", re.IGNORECASE)
"""Channel names without information about the modality."""

MASK_THRESHOLD = 0.75
"""Median share of a case left by the nonzero crop, below which normalisation is masked.

Source: nnU-Net 2.8.1.
"""

FAT_HU = -100.0
"""Radiodensity of fat; integer intensities below it are Hounsfield units."""

LOWEST_HU = -3100.0
"""Lower bound of Hounsfield units: scanners pad with values down to -3024; air is -1000."""

RULE = "normalizers"


def normalizers(fingerprint: Fingerprint) -> tuple[PlannedValue[Normalizer], ...]:
    """Return the normaliser of each channel."""
    left = fingerprint.median_relative_size_after_crop
    channels = zip(fingerprint.channel_names, fingerprint.channels, strict=True)
    return tuple(
        _built(
            kind_by_intensities(fingerprint, intensities)
            if UNNAMED.fullmatch(name.strip())
            else kind_by_name(name),
            intensities,
            left,
        )
        for name, intensities in channels
    )


def kind_by_name(name: str) -> PlannedValue[str]:
    """Return the normaliser registered for a channel name, or the z-score."""
    key = name.strip().casefold()
    for kind in NORMALIZERS:
        if key == kind or key in NORMALIZERS[kind].channel_name_marks:
            return PlannedValue(kind, RULE, f"the channel is called {name!r}")
    reason = f"the channel is called {name!r}, which selects no other normaliser"
    return PlannedValue("zscore", RULE, reason)


def kind_by_intensities(
    fingerprint: Fingerprint, intensities: ChannelIntensities
) -> PlannedValue[str]:
    """Return the normaliser for the intensities of a channel without a meaningful name."""
    low, high = intensities.minimum, intensities.maximum
    is_integer = all(case.is_integer for case in fingerprint.cases)
    values = (
        f"the channel has no name; its foreground has {'whole' if is_integer else 'fractional'} "
        f"numbers from {format_number(low)} to {format_number(high)}"
    )
    if is_integer and LOWEST_HU <= low <= FAT_HU:
        return PlannedValue("ct", RULE, f"{values}, as in Hounsfield units", OWN)
    is_photograph = fingerprint.num_axes == 2 and len(fingerprint.channel_names) == 3
    if is_photograph and all(case.fits_8_bits for case in fingerprint.cases):
        reason = f"{values}, in one of three channels, as in 8-bit colour images"
        return PlannedValue("rgb", RULE, reason, OWN)
    return PlannedValue("zscore", RULE, f"{values}, a scale without a unit")


def _built(
    kind: PlannedValue[str], intensities: ChannelIntensities, left: float
) -> PlannedValue[Normalizer]:
    """Build the normaliser with its statistics of the dataset."""
    masked = left < MASK_THRESHOLD
    reason, settings = kind.reason, dict[str, object]()
    if kind.value == "ct":
        fields = ("mean", "std", "percentile_00_5", "percentile_99_5")
        settings = {field: getattr(intensities, field) for field in fields}
    elif kind.value == "zscore":
        settings = {"masked": masked}
        reason += (
            f"; the nonzero crop leaves {format_percent(left, 4)} of a case, "
            f"{'under' if masked else 'not under'} {format_percent(MASK_THRESHOLD)}, so "
            f"{'only nonzero' if masked else 'all'} voxels are used"
        )
    return PlannedValue(NORMALIZERS[kind.value].model_validate(settings), RULE, reason, kind.source)
