"""Base class of the losses that contain the Dice loss."""

from autoseg.losses.dice import Dice
from autoseg.losses.overlap_loss import PooledLoss


class CompoundLoss(PooledLoss):
    """Loss that contains the Dice loss; `pool` and `smooth` are those of Dice."""

    @property
    def dice(self) -> Dice:
        """The Dice term."""
        return Dice(pool=self.pool, smooth=self.smooth)
