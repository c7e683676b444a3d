"""Base classes of the losses that compare the overlap of prediction and reference."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from pydantic import PositiveFloat, model_serializer
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import ForegroundBatch, Loss, Targets, Valid
from autoseg.losses.soft_counts import Counts, Pool, masked, probabilities_and_truth, soft_counts


class PooledLoss(Loss):
    """Loss with an overlap term, whose counts are summed per sample or over the batch.

    Attributes:
        written_last: Fields at the end of the JSON text, which identifies a training in its
            checkpoint and must therefore not change.
        pool: Whether counts are summed per sample, or over the batch ("batch Dice" in nnU-Net).
        smooth: Added to numerator and denominator of the overlap, in voxels; avoids 0 / 0 for
            empty classes.
    """

    written_last: ClassVar[tuple[str, ...]] = ("pool", "smooth")

    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    def tversky_index(
        self,
        probabilities: ForegroundBatch,
        truth: ForegroundBatch,
        *,
        fp_weight: float,
        fn_weight: float,
    ) -> Counts:
        """Compute the Tversky index per pooled sample and channel, in [0, 1].

        Args:
            probabilities: Probabilities, 0 in ignored voxels, `batch channels *space`.
            truth: Masks of the reference, 0 in ignored voxels, `batch channels *space`.
            fp_weight: Weight of false positives.
            fn_weight: Weight of false negatives.
        """
        counts = soft_counts(probabilities, truth, self.pool)
        overlap = counts.true_positives + self.smooth
        errors = fp_weight * counts.false_positives + fn_weight * counts.false_negatives
        return overlap / (overlap + errors)

    @model_serializer(mode="wrap")
    def _in_written_order(self, dump: Callable[[object], dict[str, object]]) -> dict[str, object]:
        return dict(sorted(dump(self).items(), key=lambda field: field[0] in self.written_last))


class OverlapLoss(PooledLoss):
    """Loss that depends only on the overlap, averaged over classes or regions, then samples.

    Attributes:
        with_background: Whether the background class is included.
    """

    with_background: ClassVar[bool] = False

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        pair = probabilities_and_truth(logits, labels, with_background=self.with_background)
        return self.of_probabilities(*masked(*pair, valid))

    @abstractmethod
    def of_probabilities(self, probabilities: ForegroundBatch, truth: ForegroundBatch) -> Scalar:
        """Compute the loss from probabilities and masks of the reference.

        Both are `batch channels *space`, and 0 in ignored voxels.
        """
