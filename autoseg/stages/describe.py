"""`autoseg describe`: the card of a model file, which needs neither networks nor torch."""

from pathlib import Path

from autoseg.core.errors import ModelError
from autoseg.core.text import printable
from autoseg.inference.archive.contents import SUFFIX
from autoseg.inference.archive.reading import ModelArchive


def describe(file: Path) -> str:
    """Return the model card of a model file, in Markdown; no weights are read.

    Signs that would steer a terminal are left out: the card is a stranger's text.

    Raises:
        ModelError: If it is not a valid model file.
    """
    if not file.is_file():
        msg = f"{file} is not a file. Name a model file (*{SUFFIX}), as `autoseg export` writes it."
        raise ModelError(msg)
    return printable(ModelArchive(file).read_card_page())
