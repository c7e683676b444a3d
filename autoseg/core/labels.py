"""Label values of a dataset, their names, and their mapping to class indices."""

from collections import Counter
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from autoseg.core.arrays import looked_up
from autoseg.core.errors import DatasetError
from autoseg.core.frozen import Frozen, NonNegativeInt

LARGEST_TABLE = 2**20
"""Label values below this are mapped with a lookup table, which needs no temporary arrays."""


def default_label_name(value: int) -> str:
    """Return the name of a label value that has no declared name."""
    return f"label_{value}"


class Region(Frozen):
    """A union of label values that networks predict as one target; regions may overlap.

    Attributes:
        name: Name of the region, e.g. "whole tumour".
        values: Label values in the region.
        written_as: Value of its voxels in predictions, unless a later region covers them.
    """

    name: str
    values: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    written_as: NonNegativeInt


class LabelScheme(Frozen):
    """The classes of a dataset, in class-index order; index 0 is the background.

    Values need not be consecutive: networks use class indices, files keep the values. With regions,
    networks output one sigmoid channel per region; otherwise one softmax channel per class.

    Attributes:
        names: Name of each class.
        values: Value of each class in label files.
        regions: Regions that are predicted instead of the classes, in the order in which they are
            written: later regions cover earlier ones. If empty, the classes are predicted.
        ignore: Value of unannotated voxels in label files, which are neither trained on nor scored.
            Their class index is `num_classes`.
    """

    names: tuple[str, ...]
    values: tuple[NonNegativeInt, ...]
    regions: tuple[Region, ...] = ()
    ignore: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _check(self) -> "LabelScheme":
        if len(self.names) != len(self.values) or len(set(self.values)) != len(self.values):
            raise ValueError(
                f"labels need one distinct value per name; found {len(self.names)} names "
                f"{list(self.names)} and values {list(self.values)}."
            )
        if len(self.names) < 2:
            msg = f"labels need a background and at least one class; found {list(self.names)}."
            raise ValueError(msg)
        repeated = sorted(name for name, count in Counter(self.names).items() if count > 1)
        if repeated:
            msg = f"labels need distinct names; found {repeated[0]!r} twice."
            raise ValueError(msg)
        if self.ignore in self.values:
            msg = f"the ignore value {self.ignore} is also a class value: {list(self.values)}."
            raise ValueError(msg)
        self._check_regions()
        return self

    def _check_regions(self) -> None:
        foreground = set(self.values[1:])
        for region in self.regions:
            if not {*region.values, region.written_as} <= foreground:
                raise ValueError(
                    f"the region {region.name!r} has the values {list(region.values)} and is "
                    f"written as {region.written_as}; expected values from {sorted(foreground)}."
                )
        names = [region.name for region in self.regions]
        if len(set(names)) != len(names):
            raise ValueError(f"regions need distinct names; found {names}.")

    @property
    def num_classes(self) -> int:
        """Number of classes, including background but not the ignore label."""
        return len(self.values)

    @property
    def num_outputs(self) -> int:
        """Number of output channels of a network: one per region, or one per class."""
        return len(self.regions) or self.num_classes

    @property
    def ignored_index(self) -> int | None:
        """Class index of unannotated voxels; None without an ignore label."""
        return None if self.ignore is None else self.num_classes

    @property
    def targets(self) -> tuple[Region, ...]:
        """Segmentation targets: the regions, or each foreground class as a region."""
        pairs = list(zip(self.names, self.values, strict=True))[1:]
        return self.regions or tuple(
            Region(name=name, values=(value,), written_as=value) for name, value in pairs
        )

    @property
    def target_classes(self) -> tuple[tuple[int, ...], ...]:
        """Class indices of each target, ascending."""
        index = {value: position for position, value in enumerate(self.values)}
        return tuple(
            tuple(sorted(index[value] for value in set(target.values))) for target in self.targets
        )

    def encode(self, values: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
        """Convert label values to class indices; unannotated voxels become `ignored_index`.

        Returns the array itself if its values are already the class indices.

        Raises:
            DatasetError: If a value is not in the scheme.
        """
        known = self.values if self.ignore is None else (*self.values, self.ignore)
        index_type = np.min_scalar_type(len(known) - 1)
        if (
            known == tuple(range(len(known)))
            and values.dtype == index_type
            and values.max(initial=0) < len(known)
        ):  # already class indices; for an unsigned type, checking the largest is enough
            return np.asarray(values)
        unexpected = sorted(set(np.unique(values).tolist()) - set(known))
        if unexpected:
            raise DatasetError(
                f"found label values {unexpected[:10]}, expected only {list(known)}. "
                f"Correct the label file, or add the values to the labels of the dataset."
            )
        if max(known) >= LARGEST_TABLE:
            positions = np.searchsorted(np.sort(known), values)
            return np.asarray(np.argsort(known).astype(index_type)[positions])
        table = np.zeros(max(known) + 1, dtype=index_type)
        table[list(known)] = np.arange(len(known))
        return looked_up(table, values)

    def decode(self, indices: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
        """Convert predicted indices to label values, in the smallest unsigned type that fits.

        Index 0 is the background; index `k` is `targets[k - 1]`, which is class `k` without
        regions.
        """
        table = np.asarray([self.values[0], *(target.written_as for target in self.targets)])
        return looked_up(table.astype(np.min_scalar_type(int(table.max()))), indices)
