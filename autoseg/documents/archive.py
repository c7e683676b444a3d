"""What a model file holds: the first thing that is read of it."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from autoseg.core.frozen import Frozen

MANIFEST_VERSION = 1
"""The one version that this autoseg writes and reads."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal digits."""


CONFIGURATION = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""What configurations in a model file are called: their parts lie in folders of these names."""

ConfigurationName = Annotated[str, Field(pattern=f"^{CONFIGURATION}$")]
"""The name of a configuration in a model file."""


class ArchivePart(Frozen):
    """One file inside a model file.

    Attributes:
        name: Its name, with `/` between folders.
        size: Bytes.
        sha256: Of its bytes.
    """

    name: str
    size: NonNegativeInt
    sha256: Sha256


class Manifest(Frozen):
    """The parts of a model file; anything else in it is refused.

    Attributes:
        autoseg: Version of autoseg that wrote it.
        members: Configurations that predict, their probabilities averaged if there are several.
        stages: Further configurations: previous stages of cascades among the members.
        precision: How the weights are stored; they always compute as float32 weights.
        parts: Every part but the manifest.
    """

    schema_version: Literal[1] = 1
    autoseg: str
    members: Annotated[tuple[ConfigurationName, ...], Field(min_length=1)]
    stages: tuple[ConfigurationName, ...] = ()
    precision: Literal["float32", "float16"]
    parts: tuple[ArchivePart, ...]

    @property
    def configurations(self) -> tuple[str, ...]:
        """All configurations; each is the folder of its parts."""
        return (*self.members, *self.stages)
