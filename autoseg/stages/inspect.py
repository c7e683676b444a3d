"""Show what is recognised in a folder: `autoseg inspect`."""

import json
from pathlib import Path

from autoseg.core.atomic_write import atomic_write
from autoseg.core.errors import DatasetError
from autoseg.datasets.layouts import Recognition, recognise
from autoseg.datasets.layouts.choices import layout_content
from autoseg.datasets.layouts.decathlon import written_description
from autoseg.documents.dataset import AUTOMATIC, LayoutOptions
from autoseg.documents.store import format_json

SAMPLED_LABELS = 20
"""Number of label files that are read to find the classes, so that large datasets take seconds."""


def inspect(
    dataset: Path,
    options: LayoutOptions = AUTOMATIC,
    *,
    write: Path | None = None,
    workers: int,
) -> Recognition:
    """Recognise a dataset from the names of its files and the content of a few.

    Args:
        dataset: Folder of the dataset.
        options: Choices of the user for its layout.
        write: File for a description in the format of the Decathlon, which lists the cases; all
            label files are read for its classes.
        workers: Number of processes that read label files.

    Raises:
        DatasetError: If the folder is not a dataset, or its description cannot be written.
    """
    if write is not None and write.exists():
        raise DatasetError(f"{write} exists and is not replaced. Choose another name with --write.")
    found = recognise(dataset, options, workers=workers, sample=SAMPLED_LABELS)
    if write is None:
        return found
    if found.are_converted:
        layout = json.dumps(layout_content(options), ensure_ascii=False)
        raise DatasetError(
            "--write cannot list the labels of this dataset: they are not label maps yet, and "
            "`autoseg plan` converts them in its work folder. To reuse the options of this "
            f"command, save {layout} as a JSON file and give it to --layout."
            if options != AUTOMATIC
            else "--write cannot list the labels of this dataset: they are not label maps yet, and "
            "`autoseg plan` converts them in its work folder. It recognises the folder as it is; "
            "options for that can be saved in a JSON file for --layout."
        )
    found = recognise(dataset, options, workers=workers)
    folder = write.resolve().parent
    with atomic_write(write) as temporary:
        text = format_json(written_description(found.spec, folder))
        temporary.write_text(f"{text}\n", encoding="utf-8")
    return found
