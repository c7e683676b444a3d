"""Load one configuration of a model file."""

from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from typing_extensions import override

from autoseg.core.errors import first_line
from autoseg.documents.model import WEIGHTS_NAME, TrainedModel
from autoseg.documents.model_card import DataSummary
from autoseg.documents.plan import Plan
from autoseg.documents.splits import FoldName
from autoseg.models.archive.contents import fold_part
from autoseg.models.archive.reader import ModelArchive
from autoseg.models.archive.validation import invalid_file_error
from autoseg.models.folder import StoredModel, Tensors

PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
"""First bytes of a pickle: a bare one, or the zip that `torch.save` writes."""


class ArchivedModel(StoredModel):
    """One configuration of a model file.

    Attributes:
        archive: The model file.
        configuration: Name of the configuration.
    """

    def __init__(self, archive: ModelArchive, configuration: str) -> None:
        super().__init__(archive.path)
        self.archive = archive
        self.configuration = configuration

    @override
    def folds(self) -> tuple[FoldName, ...]:
        return self.archive.folds(self.configuration)

    @override
    def read_trained(self) -> TrainedModel:
        name = f"{self.configuration}/{TrainedModel.FILE_NAME}"
        trained = self.archive.read_document(TrainedModel, name)
        if trained.configuration != self.configuration:
            raise invalid_file_error(self.path, f"its {name} describes {trained.configuration!a}")
        return trained

    @override
    def read_plan(self) -> Plan:
        return self.archive.read_document(Plan, f"{self.configuration}/{Plan.FILE_NAME}")

    @override
    def read_summary(self) -> DataSummary | None:
        return self.archive.read_card().data

    @override
    def read_weights(self, fold: FoldName, *, largest_bytes: int) -> Tensors:
        name = fold_part(self.configuration, fold, WEIGHTS_NAME)
        if self.archive.size(name) > largest_bytes:
            raise invalid_file_error(
                self.path,
                f"{name} has {self.archive.size(name)} bytes, but the plan's network needs at most "
                f"{largest_bytes}",
            )
        content = self.archive.read(name)
        try:
            return load_safetensors(content)
        except (SafetensorError, KeyError, ValueError, OverflowError) as error:
            if content.startswith(PICKLE_STARTS):
                found = f"{name} is a pickle, which can run code; weights must be safetensors"
            else:
                found = f"{name} is not in safetensors format ({first_line(error)})"
            raise invalid_file_error(self.path, found) from error

    @override
    def sibling(self, configuration: str) -> "ArchivedModel":
        return archived_model(self.archive, configuration)

    @override
    def weights_name(self, fold: FoldName) -> str:
        return f"{fold_part(self.configuration, fold, WEIGHTS_NAME)} in {self.path}"


def archived_model(archive: ModelArchive, configuration: str | None = None) -> ArchivedModel:
    """Return one configuration of a model file, or its first member for None.

    Raises:
        ModelError: If the file does not contain the configuration.
    """
    wanted = configuration or archive.manifest.members[0]
    if wanted not in archive.manifest.configurations:
        known = ", ".join(archive.manifest.configurations)
        raise invalid_file_error(archive.path, f"it needs {wanted!a}, but contains only {known}")
    return ArchivedModel(archive, wanted)
