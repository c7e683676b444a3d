"""Tensor types of networks' inputs and outputs; `core.arrays` describes the axes.

They are in a separate module because importing torch takes seconds, and scoring, measuring and
preparing images do not need it.
"""

from jaxtyping import Bool, Float, Integer
from torch import Tensor

ImageBatch = Float[Tensor, "batch channels *space"]
LogitsBatch = Float[Tensor, "batch classes *space"]
LabelBatch = Integer[Tensor, "batch *space"]
ScoredLogits = Float[Tensor, "batch classes *scored"]
ScoredLabels = Integer[Tensor, "batch *scored"]
RegionBatch = Bool[Tensor, "batch classes *space"] | Float[Tensor, "batch classes *space"]
ValidMask = Bool[Tensor, "batch *space"]
Scalar = Float[Tensor, ""]
