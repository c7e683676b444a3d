"""Layout of the work folder of a dataset."""

from dataclasses import dataclass
from pathlib import Path

from autoseg.documents.bench import Bench
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.preparation import PlannedPreparation
from autoseg.documents.run_schedule import RunSchedule
from autoseg.documents.selection import CROSS_VALIDATION_NAME, Selection
from autoseg.documents.splits import FoldName, Splits


@dataclass(frozen=True)
class Workspace:
    """Paths in the work folder of one dataset; autoseg never writes into the dataset's folder.

    Attributes:
        root: The work folder (`--work DIR`), by default `./autoseg_work/<dataset name>/`.
    """

    root: Path

    @property
    def dataset(self) -> Path:
        """Description of the dataset."""
        return self.root / DatasetSpec.FILE_NAME

    @property
    def fingerprint(self) -> Path:
        """Fingerprint of the dataset."""
        return self.root / Fingerprint.FILE_NAME

    @property
    def partial_fingerprint(self) -> Path:
        """Fingerprint of the cases measured before an error or Ctrl-C; deleted once complete."""
        return self.root / "fingerprint.partial.json"

    @property
    def plan(self) -> Path:
        """The plan."""
        return self.root / PlannedPreparation.FILE_NAME

    @property
    def splits(self) -> Path:
        """Cross-validation splits."""
        return self.root / Splits.FILE_NAME

    @property
    def schedule(self) -> Path:
        """Schedule of `autoseg run`."""
        return self.root / RunSchedule.FILE_NAME

    @property
    def test(self) -> Path:
        """Folder of the test cases' predictions and scores."""
        return self.root / "test"

    @property
    def models(self) -> Path:
        """Folder with one model folder per trained configuration."""
        return self.root / "models"

    @property
    def selection(self) -> Path:
        """Selected configurations for prediction."""
        return self.root / Selection.FILE_NAME

    @property
    def cross_validation(self) -> Path:
        """Report of the selected candidate over all held-out cases."""
        return self.root / CROSS_VALIDATION_NAME

    @property
    def leaderboard(self) -> Path:
        """Figure of the leaderboard."""
        return self.root / "leaderboard.png"

    @property
    def bench(self) -> Path:
        """Benchmark of the machine."""
        return self.root / Bench.FILE_NAME

    @property
    def ensembles(self) -> Path:
        """Folder of held-out predictions that were created for the selection; may be deleted."""
        return self.root / "selection"

    def preprocessed(self, data_name: str) -> Path:
        """Return the folder of prepared cases that configurations with this `data_name` share."""
        return self.root / "preprocessed" / data_name

    def cascade_inputs(self, stage: str, data_name: str) -> Path:
        """Return the folder of a stage's predictions for the prepared cases of the next stage."""
        return self.root / "cascade_inputs" / stage / data_name

    def fold(self, configuration: str, fold: FoldName) -> Path:
        """Return the folder of one trained fold."""
        return self.models / configuration / f"fold_{fold}"
