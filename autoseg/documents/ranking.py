"""Order in which unlabelled images are best annotated."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from autoseg.core.frozen import Fraction, Frozen, PositiveInt
from autoseg.documents.document import Document


class RankedImage(Frozen):
    """One image, and why it has its place.

    Attributes:
        rank: Place, from 1.
        name: Name of the image.
        gain: Product of uncertainty and novelty when the image was chosen; images before it in the
            order are known by then.
        uncertainty: Mean of the two kinds of disagreement, or the one that is known.
        fold_disagreement: One minus the mean Dice of the predictions of two folds; None with a
            single fold.
        flip_disagreement: One minus the mean TTA consistency; None without mirroring.
        novelty: Smallest difference to an image that is labelled or earlier in the order: one minus
            the correlation at a coarse resolution, at most 1.
    """

    rank: PositiveInt
    name: str
    gain: NonNegativeFloat
    uncertainty: Fraction
    fold_disagreement: Fraction | None
    flip_disagreement: Fraction | None
    novelty: Annotated[float, Field(ge=0, le=1)]


class Ranking(Document):
    """Images in the order of the expected gain of annotating them.

    Attributes:
        model: Path of the model.
        num_labelled: Number of labelled images that novelty was compared with.
        images: The images, most useful first.
    """

    FILE_NAME: ClassVar[str] = "ranking.json"
    MADE_BY: ClassVar[str] = "autoseg rank"
    TABLE_NAME: ClassVar[str] = "ranking.csv"
    schema_version: Literal[1] = 1
    model: str
    num_labelled: int
    images: tuple[RankedImage, ...]
