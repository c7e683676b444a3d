"""Models that are ready to predict: the networks of each configuration form an ensemble."""

from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.core.arrays import LabelArray
from autoseg.documents.plan import Plan
from autoseg.documents.quality import mean_tta_consistency
from autoseg.documents.selection import LargestComponent
from autoseg.inference.ensemble import Ensemble, build_ensemble
from autoseg.inference.postprocessing import postprocess
from autoseg.inference.tta_consistency import TtaConsistency
from autoseg.models.loader import LoadedModel, LoadOptions
from autoseg.models.model_selection import StoredSelection, load_members


@dataclass(frozen=True)
class ReadyModel:
    """One trained configuration that is ready to predict.

    Attributes:
        loaded: The model with its plan and its bare networks.
        ensemble: The same networks as an ensemble.
        previous: Previous stage of the cascade; None if the configuration has none.
    """

    loaded: LoadedModel
    ensemble: Ensemble
    previous: "ReadyModel | None" = None

    @classmethod
    def of(cls, loaded: LoadedModel) -> "ReadyModel":
        """Wrap the networks of a model and of its previous stages."""
        ensemble = build_ensemble(
            loaded.networks,
            loaded.configuration,
            device=loaded.device,
            dtype=loaded.dtype,
            mirror_axes=loaded.mirror_axes,
        )
        previous = None if loaded.previous is None else cls.of(loaded.previous)
        return cls(loaded, ensemble, previous)

    def with_tta_consistency(self) -> "ReadyModel":
        """Return a copy of the model that measures TTA consistency on the next image."""
        labels = self.loaded.plan.labels
        consistency = TtaConsistency(labels.num_outputs, is_regional=bool(labels.regions))
        return replace(self, ensemble=replace(self.ensemble, tta_consistency=consistency))

    def with_step(self, step: float) -> "ReadyModel":
        """Return a copy whose tiles, and those of previous stages, have another distance.

        Args:
            step: Largest distance between tiles, as a fraction of the patch; 0 < step <= 1.
        """
        previous = None if self.previous is None else self.previous.with_step(step)
        return replace(self, ensemble=replace(self.ensemble, step=step), previous=previous)


@dataclass(frozen=True)
class SelectedModel:
    """Trained configurations that predict together.

    Attributes:
        path: Path of the model file, work folder, model folder or fold folder.
        members: One configuration, or several whose probabilities are averaged.
        postprocessing: Post-processing steps, in order.
    """

    path: Path
    members: tuple[ReadyModel, ...]
    postprocessing: tuple[LargestComponent, ...] = ()

    @property
    def plan(self) -> Plan:
        """Plan of the first member; all members have the same channels, labels and axes."""
        return self.members[0].loaded.plan

    def with_tta_consistency(self) -> "SelectedModel":
        """Return a copy of the model that measures TTA consistency on the next image."""
        members = tuple(member.with_tta_consistency() for member in self.members)
        return replace(self, members=members)

    def with_step(self, step: float) -> "SelectedModel":
        """Return a copy whose tiles have another distance; see `ReadyModel.with_step`."""
        return replace(self, members=tuple(member.with_step(step) for member in self.members))

    def tta_consistency(self) -> tuple[float | None, ...]:
        """Return the measured TTA consistency per target, averaged over members."""
        measured = (member.ensemble.tta_consistency for member in self.members)
        return mean_tta_consistency([entry.dice() for entry in measured if entry])

    def values(self, indices: LabelArray) -> LabelArray:
        """Convert a predicted index map to label values and apply the post-processing."""
        labels = self.plan.labels
        return postprocess(labels.decode(indices), self.postprocessing, labels.values[0])


def as_selected_model(model: LoadedModel) -> SelectedModel:
    """Wrap a single loaded configuration as a selected model."""
    return SelectedModel(path=model.path, members=(ReadyModel.of(model),))


def load_selection(stored: StoredSelection, options: LoadOptions) -> SelectedModel:
    """Load the members of a stored selection to the device, ready to predict.

    Raises:
        ModelError: If weights are missing or damaged, or the members' plans are incompatible.
        DocumentError: If `model.json` or `plan.json` of a folder is missing or damaged.
    """
    members = tuple(map(ReadyModel.of, load_members(stored, options)))
    steps = () if stored.selection is None else stored.selection.postprocessing
    return SelectedModel(path=stored.path, members=members, postprocessing=steps)
