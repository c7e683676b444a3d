"""Where everything that autoseg makes for one dataset lies."""

import re
from dataclasses import dataclass
from pathlib import Path

from autoseg.documents.selection import CROSS_VALIDATION_NAME, SELECTION_NAME
from autoseg.documents.splits import FoldName

NAME = re.compile(r"[^./\\][^/\\]*")
"""What cases and configurations may be called: their folders have these names."""


def names_a_folder(name: str) -> bool:
    """Return whether a name can be that of a visible folder: no slashes, no dot in front."""
    return NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class Workspace:
    """The work folder of one dataset; nothing is ever written into the dataset itself.

    Attributes:
        root: `--work DIR`, by default `./autoseg_work/<dataset name>/`.
    """

    root: Path

    @property
    def dataset(self) -> Path:
        """The description of the dataset's files."""
        return self.root / "dataset.json"

    @property
    def fingerprint(self) -> Path:
        """What was measured."""
        return self.root / "fingerprint.json"

    @property
    def partial_fingerprint(self) -> Path:
        """What was measured until issues or Ctrl-C ended it; gone once the fingerprint is whole."""
        return self.root / "fingerprint.partial.json"

    @property
    def plan(self) -> Path:
        """What was decided."""
        return self.root / "plan.json"

    @property
    def splits(self) -> Path:
        """Which cases each fold holds out."""
        return self.root / "splits.json"

    @property
    def schedule(self) -> Path:
        """What `autoseg run` has begun."""
        return self.root / "schedule.json"

    @property
    def test(self) -> Path:
        """Label maps of the test cases, and their scores."""
        return self.root / "test"

    @property
    def models(self) -> Path:
        """One folder per trained configuration."""
        return self.root / "models"

    @property
    def selection(self) -> Path:
        """Which trained configurations to predict with."""
        return self.root / SELECTION_NAME

    @property
    def cross_validation(self) -> Path:
        """How good the choice is on the held-out cases."""
        return self.root / CROSS_VALIDATION_NAME

    @property
    def leaderboard(self) -> Path:
        """Picture of what was chosen from."""
        return self.root / "leaderboard.png"

    @property
    def bench(self) -> Path:
        """How fast each stage was found to be."""
        return self.root / "bench.json"

    @property
    def ensembles(self) -> Path:
        """Label maps of the held-out cases that were made to choose by; may be deleted."""
        return self.root / "selection"

    def preprocessed(self, data_name: str) -> Path:
        """Return the folder of prepared cases that configurations named `data_name` share."""
        return self.root / "preprocessed" / data_name

    def cascade_inputs(self, stage: str, data_name: str) -> Path:
        """Return the folder of what a stage predicted for the prepared cases of the next one."""
        return self.root / "cascade_inputs" / stage / data_name

    def fold(self, configuration: str, fold: FoldName) -> Path:
        """Return the folder of one trained fold."""
        return self.models / configuration / f"fold_{fold}"
