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


class _Entry:
    """A file or folder in the work folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, workspace: "Workspace", _owner: type) -> Path:
        return workspace.root / self.name


@dataclass(frozen=True)
class Workspace:
    """Paths in the work folder of one dataset; autoseg never writes into the dataset's folder.

    Attributes:
        root: The work folder (`--work DIR`), by default `./autoseg_work/<dataset name>/`.
        dataset: Description of the dataset.
        fingerprint: Fingerprint of the dataset.
        partial_fingerprint: Fingerprint of the cases measured before an error or Ctrl-C;
            deleted once complete.
        plan: The plan.
        splits: Cross-validation splits.
        schedule: Schedule of `autoseg run`.
        test: Folder of the test cases' predictions and scores.
        models: Folder with one model folder per trained configuration.
        selection: Selected configurations for prediction.
        cross_validation: Report of the selected candidate over all held-out cases.
        leaderboard: Figure of the leaderboard.
        bench: Benchmark of the machine.
        label_maps: Folder of label maps made from label files of other forms, such as colours.
        ensembles: Folder of held-out predictions that were created for the selection; may be
            deleted.
    """

    root: Path
    dataset = _Entry(DatasetSpec.FILE_NAME)
    fingerprint = _Entry(Fingerprint.FILE_NAME)
    partial_fingerprint = _Entry("fingerprint.partial.json")
    plan = _Entry(PlannedPreparation.FILE_NAME)
    splits = _Entry(Splits.FILE_NAME)
    schedule = _Entry(RunSchedule.FILE_NAME)
    test = _Entry("test")
    models = _Entry("models")
    selection = _Entry(Selection.FILE_NAME)
    cross_validation = _Entry(CROSS_VALIDATION_NAME)
    leaderboard = _Entry("leaderboard.png")
    bench = _Entry(Bench.FILE_NAME)
    label_maps = _Entry("label_maps")
    ensembles = _Entry("selection")

    def preprocessed(self, data_name: str) -> Path:
        """Return the folder of prepared cases that configurations with this `data_name` share."""
        return self.root / "preprocessed" / data_name

    def cascade_inputs(self, stage: str, data_name: str) -> Path:
        """Return the folder of a stage's predictions for the prepared cases of the next stage."""
        return self.root / "cascade_inputs" / stage / data_name

    def fold(self, configuration: str, fold: FoldName) -> Path:
        """Return the folder of one trained fold."""
        return self.models / configuration / f"fold_{fold}"
