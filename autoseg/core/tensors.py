"""Types of what networks take and give; `core.arrays` says what the axes mean.

They are apart from those because torch takes seconds to load, which scoring, measuring and
preparing images need not wait for.
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
