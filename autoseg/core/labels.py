"""Which label values a dataset uses, what they are called, and how they map to class indices."""

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, model_validator

from autoseg.core.errors import DatasetError
from autoseg.core.frozen import Frozen

LARGEST_TABLE = 2**20
"""Label values up to here are looked up in a table, which takes no memory beyond the result."""


class LabelScheme(Frozen):
    """The classes of a dataset, in class-index order; index 0 is the background.

    Values need not be consecutive: networks work on indices, files keep their values.

    Attributes:
        names: Name of each class.
        values: Value of each class in label files.
    """

    names: tuple[str, ...]
    values: tuple[NonNegativeInt, ...]

    @model_validator(mode="after")
    def _check(self) -> "LabelScheme":
        if len(self.names) != len(self.values) or len(set(self.values)) != len(self.values):
            msg = (
                f"labels need one distinct value per name; found {len(self.names)} names "
                f"{list(self.names)} and values {list(self.values)}."
            )
            raise ValueError(msg)
        if len(self.names) < 2:
            msg = f"labels need a background and at least one class; found {list(self.names)}."
            raise ValueError(msg)
        return self

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.values)

    def encode(self, values: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
        """Return the class index of every voxel.

        Raises:
            DatasetError: If a value occurs that the scheme does not name.
        """
        unexpected = sorted(set(np.unique(values).tolist()) - set(self.values))
        if unexpected:
            msg = (
                f"found label values {unexpected[:10]}, expected only {list(self.values)}. "
                f"Correct the label file, or add the values to the dataset's labels."
            )
            raise DatasetError(msg)
        index_type = _index_type(self.num_classes)
        if max(self.values) >= LARGEST_TABLE:
            positions = np.searchsorted(np.sort(self.values), values)
            return np.asarray(np.argsort(self.values).astype(index_type)[positions])
        table = np.zeros(max(self.values) + 1, dtype=index_type)
        table[list(self.values)] = np.arange(self.num_classes)
        return np.asarray(table[values])

    def decode(self, indices: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
        """Return the file value of every class index, in the smallest unsigned type that fits."""
        table = np.asarray(self.values)
        smallest = np.min_scalar_type(int(table.max()))
        values: NDArray[np.unsignedinteger] = table.astype(smallest)[indices]
        return values


def _index_type(count: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if count <= 256 else np.uint16
