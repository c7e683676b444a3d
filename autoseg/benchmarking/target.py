"""A configuration that is measured on the cases of a sample."""

from dataclasses import dataclass
from math import prod

from autoseg.benchmarking.sample import Sample
from autoseg.benchmarking.timing import RowLabel, TimeLimit
from autoseg.core.compute import Compute
from autoseg.documents.plan import Configuration
from autoseg.documents.splits import ALL, Fold
from autoseg.preprocessing.storage import StoredCase, open_case
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest, training_task
from autoseg.training.reading import KEPT_BYTES
from autoseg.training.task import TrainingTask

BYTES_PER_INTENSITY = 4


@dataclass(frozen=True)
class Target:
    """A configuration, and how it is measured; all but preprocessing need the prepared cases.

    Attributes:
        sample: The sample.
        configuration: The configuration.
        time_limit: Time limit of each row.
        compute: Device, precision, and number of processes that prepare training batches.
    """

    sample: Sample
    configuration: Configuration
    time_limit: TimeLimit
    compute: Compute

    @property
    def cases(self) -> tuple[StoredCase, ...]:
        """The prepared cases of the sample."""
        folder = self.sample.project.workspace.preprocessed(self.configuration.data_name)
        return tuple(open_case(folder / name) for name in self.sample.names)

    @property
    def largest_case(self) -> StoredCase:
        """The prepared case with the most voxels."""
        return max(self.cases, key=lambda case: prod(case.shape))

    def stored_bytes(self, case: StoredCase) -> int:
        """Return the uncompressed size of a prepared case's image and labels, bytes."""
        num_channels = len(self.sample.project.plan.channel_names)
        return prod(case.shape) * (BYTES_PER_INTENSITY * num_channels + 1)

    def label(self, stage: str, unit: str, *, measured_is: str, floor_is: str) -> RowLabel:
        """Return the description of a row of this configuration.

        Args:
            stage: See `RowLabel`.
            unit: See `RowLabel`.
            measured_is: See `RowLabel`.
            floor_is: See `RowLabel`.
        """
        return RowLabel(stage, unit, measured_is, floor_is, self.configuration.name)

    def task(self) -> TrainingTask:
        """Build a training task on the sample's cases."""
        sample = self.sample
        request = TrainRequest(
            fold=ALL,
            configuration=self.configuration.name,
            length=TrainingDuration(iterations=1),
            compute=self.compute,
        )
        cases = {case.record.name: case for case in self.cases}
        total_bytes = sum(self.stored_bytes(case) for case in cases.values())
        names = names_like_a_fold(sample.names, total_bytes, sample.num_cases)
        fold = Fold(train=names, validation=sample.names)
        return training_task(sample.project, fold, cases, request)


def names_like_a_fold(names: tuple[str, ...], total_bytes: int, num_cases: int) -> tuple[str, ...]:
    """Repeat case names until the cases fit into the loader's memory only if a whole fold would.

    Args:
        names: Names of the measured cases.
        total_bytes: Bytes of their prepared images and labels.
        num_cases: Number of cases of the dataset.
    """
    if total_bytes / len(names) * num_cases <= KEPT_BYTES:
        return names
    return names * (KEPT_BYTES // total_bytes + 1)
