"""`autoseg describe`: print the model card of a model file; torch is not imported."""

from pathlib import Path

from autoseg.core.errors import ModelError
from autoseg.core.formatting import printable
from autoseg.inference.archive.contents import SUFFIX
from autoseg.inference.archive.reading import ModelArchive


def describe(file: Path) -> str:
    """Read the model card of a model file as Markdown, without reading the weights.

    Terminal control characters are removed, because the text may come from an untrusted source.

    Raises:
        ModelError: If it is not a valid model file.
    """
    if not file.is_file():
        msg = f"{file} is not a file. Pass a model file (*{SUFFIX}) written by `autoseg export`."
        raise ModelError(msg)
    return printable(ModelArchive(file).read_card_page())
