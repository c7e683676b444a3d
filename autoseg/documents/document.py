"""Base class of the documents that have a file of their own."""

from typing import ClassVar

from autoseg.core.frozen import Frozen


class Document(Frozen):
    """A JSON file.

    Attributes:
        FILE_NAME: Name of the file, wherever it is stored; not set if it depends on the content.
        MADE_BY: Command that writes the file, for error messages.
    """

    FILE_NAME: ClassVar[str]
    MADE_BY: ClassVar[str]
