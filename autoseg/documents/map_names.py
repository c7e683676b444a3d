"""Classes of the probabilities in a folder."""

from typing import ClassVar, Literal

from autoseg.documents.document import Document


class MapNames(Document):
    """Names of the maps in each file of probabilities.

    Attributes:
        names: Classes, background first, or regions, in the order of the maps.
    """

    FILE_NAME: ClassVar[str] = "classes.json"
    MADE_BY: ClassVar[str] = "autoseg predict --probabilities"
    schema_version: Literal[1] = 1
    names: tuple[str, ...]
