"""What a model file holds: the first thing that is read of it."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from autoseg.core.frozen import Frozen

MANIFEST_VERSION = 1
"""The one version that this autoseg writes and reads."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal digits."""


class Part(Frozen):
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
        configuration: Which configuration the networks are, and the folder of their parts.
        precision: How the weights are stored; they always compute as float32 weights.
        parts: Every part but the manifest.
    """

    schema_version: Literal[1] = 1
    autoseg: str
    configuration: str
    precision: Literal["float32", "float16"]
    parts: tuple[Part, ...]
