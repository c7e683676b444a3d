"""The cases that the viewer shows."""

from dataclasses import dataclass, field
from pathlib import Path

from autoseg.core.labels import LabelScheme


@dataclass(frozen=True)
class LabelFile:
    """A label map to draw over an image.

    Attributes:
        name: Name on the page, such as that of a configuration.
        path: The file.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class ViewerCase:
    """A case of the viewer.

    Attributes:
        name: Name of the case.
        images: One file with all channels, or one file per channel.
        reference: The reference; None if there is none.
        predictions: Predictions of the case.
        dice: Mean Dice of the first prediction; None if it is unknown.
        class_dice: Dice of each class by its name, where it is defined.
        issue: Reason why the case cannot be shown, or was not scored; empty without one.
    """

    name: str
    images: tuple[Path, ...]
    reference: Path | None = None
    predictions: tuple[LabelFile, ...] = ()
    dice: float | None = None
    class_dice: dict[str, float] = field(default_factory=dict)
    issue: str = ""


@dataclass(frozen=True)
class Viewing:
    """All cases of the viewer.

    Attributes:
        title: Title of the page: the folder or the dataset.
        cases: The cases in the order of the page: the worst first, then those without a score.
        labels: The classes; None to show every value except 0.
        channel_names: Names of the image channels; empty if they are unknown.
        start: Number of the case to show first.
    """

    title: str
    cases: tuple[ViewerCase, ...]
    labels: LabelScheme | None = None
    channel_names: tuple[str, ...] = ()
    start: int = 0


def worst_first(cases: list[ViewerCase]) -> tuple[ViewerCase, ...]:
    """Sort cases by their mean Dice, then by name; cases without a score are last."""

    def key(case: ViewerCase) -> tuple[bool, float, str]:
        return case.dice is None, case.dice or 0.0, case.name

    return tuple(sorted(cases, key=key))
