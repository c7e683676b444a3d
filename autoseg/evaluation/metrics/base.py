"""Base class of metrics, which compare a predicted mask with its reference mask.

A value that is undefined for empty masks is None and excluded from means; the report counts such
cases. An infinite distance would make every mean infinite, and any finite substitute would be
arbitrary. No metric is defined for two empty masks.

Source: Maier-Hein, Reinke et al., "Metrics reloaded", Nature Methods 21 (2024), which recommends
to report such cases separately. MONAI returns NaN for the same distances, nnU-Net for the Dice of
two empty masks.
"""

from abc import abstractmethod
from typing import ClassVar, Literal, TypeAlias, get_args

from autoseg.core.registry import Component, Family
from autoseg.evaluation.comparison import Comparison

Unit: TypeAlias = Literal["none", "length", "volume"]
Direction: TypeAlias = Literal["higher", "lower", "nearest zero"]
Cost: TypeAlias = Literal["cheap", "distances", "expensive"]


class Metric(Component):
    """A metric of one class of one case; `kind` is its name in reports and on the command line.

    Attributes:
        title: Title of table columns, without the unit.
        unit: Unit of the values: lengths are in mm, volumes in mL.
        better: Which values are better. The best value is 1 for "higher", else 0.
        cost: "cheap" counts voxels, "distances" uses `Comparison.distances`, and "expensive"
            metrics are computed only on request.
        needs_probabilities: Whether label maps alone are not sufficient.
        is_symmetric: Whether swapping prediction and reference keeps the value.
        depends_on_spacing: Whether the voxel size changes values that have no unit.
        in_table: Whether tables show the metric by default.
        in_model_card: Whether model cards show the metric.
    """

    title: ClassVar[str]
    unit: ClassVar[Unit] = "none"
    better: ClassVar[Direction] = "higher"
    cost: ClassVar[Cost] = "cheap"
    needs_probabilities: ClassVar[bool] = False
    is_symmetric: ClassVar[bool] = True
    depends_on_spacing: ClassVar[bool] = False
    in_table: ClassVar[bool] = False
    in_model_card: ClassVar[bool] = False

    @abstractmethod
    def compute(self, pair: Comparison) -> float | None:
        """Compute the finite value of two masks, of which at most one is empty.

        None if it is undefined.
        """

    @classmethod
    def sort_key(cls) -> tuple[bool, bool, int, str]:
        """Return the sort key: the default table's metrics first, then by needs, cost and name."""
        cost, name = get_args(Cost).index(cls.cost), cls.model_fields["kind"].default
        return not cls.in_table, cls.needs_probabilities, cost, name


METRICS: Family[Metric] = Family("metric")
