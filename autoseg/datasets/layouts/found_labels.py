"""Name the values that occur in label files, and find out which are background and void."""

import re
from dataclasses import dataclass

from autoseg.core.labels import LabelScheme, default_label_name
from autoseg.datasets.layouts.declared_labels import BACKGROUND, IGNORE, DeclaredLabels
from autoseg.datasets.layouts.inference import FoundValues
from autoseg.datasets.recognition.class_tables import ClassTable

VOID_NAMES = (
    *(IGNORE, "ignored", "void", "unlabelled", "unlabeled", "unannotated", "not annotated"),
    *("dont care", "don t care", "do not care", "no label", "outside roi"),
)
"""Names of voxels without annotation in tables of classes, lower case."""

INSTANCE_IDS_NOTE = (
    "the label values look like instance ids, not like classes: each file has the values 1, 2, 3 "
    "…, up to {largest}. Each value is treated as a class. If they are instance ids, add --mask "
    "instances; if they are classes, name them with --label-map or in dataset.json."
)


@dataclass(frozen=True)
class FoundLabels:
    """Classes of the values in label files.

    Attributes:
        labels: The classes.
        source: The table that names them; empty without one.
        notes: Sentences on what was decided.
    """

    labels: LabelScheme
    source: str
    notes: tuple[str, ...]


def found_labels(found: FoundValues, table: ClassTable | None = None) -> FoundLabels:
    """Return the classes of values that no dataset.json declares.

    Args:
        found: Values in the label files.
        table: Names of values; used if it names all of them.

    Raises:
        DatasetError: If there are fewer than two values, or tables contradict each other.
    """
    table = table or ClassTable()
    notes: list[str] = []
    void = _named_void(found, table)
    if void is None and found.void not in table.values:
        void = found.void
    if void is not None:
        notes.append(
            f"value {void} marks voxels without annotation, which are neither trained on nor "
            "scored; if it is a class, list the classes with --label-map or in dataset.json"
        )
    values = tuple(value for value in found.values if value != void)
    named = table.names_of(values)
    own = [value for value in named if named[value].lower() == BACKGROUND]
    background = own[0] if own else found.background(void)
    if background != values[0] and not own:
        notes.append(
            f"value {background} is the background, because it fills the edges of nearly all label "
            "files; if another value is, list the classes with --label-map or in dataset.json"
        )
    if is_void(named.get(background, "")):
        notes.append(
            f"value {background}, named {named[background]}, is used as the background; if it "
            "marks voxels without annotation, name it ignore with --label-map"
        )
    if note := table.repeated_name(values):
        notes.append(note)
    if not named and found.look_like_instance_ids:
        notes.append(INSTANCE_IDS_NOTE.format(largest=found.values[-1]))
    names = {value: default_label_name(value) for value in values} | named
    declared = DeclaredLabels(names=names | {background: BACKGROUND}, ignore=void)
    source = str(table.path) if named else ""
    return FoundLabels(declared.scheme(background), source, tuple(notes))


def is_void(name: str) -> bool:
    """Return True for names of voxels without annotation."""
    return " ".join(re.findall(r"[a-z]+", name.lower())) in VOID_NAMES


def _named_void(found: FoundValues, table: ClassTable) -> int | None:
    """Return the only value above 0 that a table names void, if it names all that occur."""
    named = table.values.keys() & set(found.values)
    void = [value for value in named if value > 0 and is_void(table.values[value])]
    return void[0] if len(void) == 1 and named | {0} >= set(found.values) else None
