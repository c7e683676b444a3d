"""Write a ranking as a table, and as a page with pictures."""

import csv
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from autoseg.core.atomic_write import atomic_write
from autoseg.core.formatting import format_count
from autoseg.documents.ranking import RankedImage, Ranking
from autoseg.reporting.blocks import Column, Fact, Gallery, Page, Picture, Section, Table, Text
from autoseg.reporting.page import save_page
from autoseg.stages.rank.images import MeasuredImage

PAGE_NAME = "ranking.html"
MOST_PICTURES = 100

FOOTER = "Written by autoseg rank. The page shows names and pictures of images."


def save_table(ranking: Ranking, path: Path) -> None:
    """Write a ranking as a CSV file; an existing one is replaced."""
    columns = list(RankedImage.model_fields)
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([getattr(image, name) for name in columns] for image in ranking.images)


def write_page(ranking: Ranking, images: Sequence[MeasuredImage], folder: Path) -> Path:
    """Write the page of a ranking into a folder, and return its path.

    Args:
        ranking: The order.
        images: The images with their pictures.
        folder: Output folder.
    """
    pictures = {image.name: image.picture for image in images}
    count = format_count(len(ranking.images), "image")
    text = (
        "The first images are those of which the networks are least certain, and that differ from "
        "the labelled images and from each other."
    )
    shown = tuple(
        Picture(
            name=image.name,
            caption=f"{image.rank}: {image.name}",
            source=f"data:image/webp;base64,{b64encode(pictures[image.name]).decode('ascii')}",
        )
        for image in ranking.images[:MOST_PICTURES]
    )
    blocks = (
        Text((text,)),
        _table(ranking),
        Gallery("First images", shown, "With the outlines of the prediction of one fold."),
    )
    section = Section("images", "What to annotate next", blocks)
    facts = (Fact("images", str(len(ranking.images))), Fact("labelled", str(ranking.num_labelled)))
    page = Page("What to annotate next", f"{count}, {ranking.model}", facts, (section,), FOOTER)
    path = folder / PAGE_NAME
    save_page(page, path)
    return path


def _table(ranking: Ranking) -> Table:
    """Return the table of all images."""
    columns = (
        Column("rank"),
        Column("image"),
        Column("gain", "uncertainty times novelty", 3),
        Column("uncertainty", "mean of the two disagreements", 3),
        Column("folds", "one minus the mean Dice of the predictions of two folds", 3),
        Column("flips", "one minus the consistency of predictions on mirrored images", 3),
        Column("novelty", "difference to labelled images and to those above", 3),
    )
    rows = tuple(
        (
            image.rank,
            image.name,
            image.gain,
            image.uncertainty,
            image.fold_disagreement,
            image.flip_disagreement,
            image.novelty,
        )
        for image in ranking.images
    )
    return Table("Images", columns, rows, case_column=1)
