"""Manifest of a model file, which is read before its other parts."""

from typing import Annotated, Literal

from pydantic import Field

from autoseg.core.frozen import Frozen, NonNegativeInt

MANIFEST_VERSION = 1
"""Manifest version that this version of autoseg writes and reads."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 hash in hexadecimal digits."""

CONFIGURATION = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""Pattern of configuration names in a model file; their parts are stored in folders so named."""

ConfigurationName = Annotated[str, Field(pattern=f"^{CONFIGURATION}$")]
"""The name of a configuration in a model file."""


class ArchivePart(Frozen):
    """One file inside a model file.

    Attributes:
        name: Path inside the model file, with `/` between folders.
        size: Size in bytes.
        sha256: SHA-256 of its content.
    """

    name: str
    size: NonNegativeInt
    sha256: Sha256


class Manifest(Frozen):
    """List of the parts of a model file; unlisted parts are rejected.

    Attributes:
        autoseg: Version of autoseg that wrote the file.
        members: Configurations that predict; if several, their probabilities are averaged.
        stages: Other configurations: previous stages of members that are cascades.
        precision: Data type of the stored weights; they are always loaded as float32.
        parts: All parts except the manifest.
    """

    schema_version: Literal[1] = 1
    autoseg: str
    members: Annotated[tuple[ConfigurationName, ...], Field(min_length=1)]
    stages: tuple[ConfigurationName, ...] = ()
    precision: Literal["float32", "float16"]
    parts: tuple[ArchivePart, ...]

    @property
    def configurations(self) -> tuple[str, ...]:
        """All configurations; the parts of each are in a folder of its name."""
        return (*self.members, *self.stages)
