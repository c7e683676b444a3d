"""Join the images and labels that a table lists into cases."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from autoseg.datasets.recognition.inventory import Inventory, Item
from autoseg.datasets.recognition.keys import Key, varying
from autoseg.datasets.recognition.lists import ListedPair, Lists
from autoseg.datasets.recognition.pairing import Joined, Named, Pairing
from autoseg.datasets.recognition.tokens import path_tokens
from autoseg.readers import ending_of, stem_of


def cases_of_table(listed: Lists, inventory: Inventory) -> tuple[Pairing, list[str | None]]:
    """Return the pairs of a table as cases, and their groups; an image may be in several rows."""
    items = {item.path: item for item in inventory.items}
    rows: dict[PurePosixPath, list[ListedPair]] = {}
    for pair in dict.fromkeys(listed.pairs):
        rows.setdefault(pair.image, []).append(pair)

    def named(path: PurePosixPath) -> Named:
        item = items.get(path) or Item(path, stem_of(Path(path)), ending_of(Path(path)))
        return Named(item, path_tokens(path, item.stem))

    cases = []
    for (image, pairs), extras in zip(rows.items(), _table_series(rows), strict=True):
        case = Joined(pairs[0].part, (stem_of(Path(image)),))
        case.images[()].append(named(image))
        for pair, extra in zip(pairs, extras, strict=True):
            case.labels[extra].append(named(pair.label))
        cases.append(case)
    used = {path for pair in listed.pairs for path in (pair.image, pair.label)}
    others = tuple(item for item in inventory.items if item.path not in used)
    groups = [pairs[0].group for pairs in rows.values()]
    return Pairing(tuple(cases), (), (), others), groups


def _table_series(rows: Mapping[PurePosixPath, Sequence[ListedPair]]) -> list[list[Key]]:
    """Return the tokens that tell apart the label files of each image, or their numbers."""
    if all(len(pairs) == 1 for pairs in rows.values()):
        return [[()] for _ in rows]
    labels = [pair.label for pairs in rows.values() for pair in pairs]
    keys = varying([path_tokens(path, stem_of(Path(path))).key for path in labels])
    own = dict(zip(labels, keys, strict=True))
    found: list[list[Key]] = []
    for image, pairs in rows.items():
        known = path_tokens(image, stem_of(Path(image))).key
        found.append([tuple(t for t in own[pair.label] if t not in known) for pair in pairs])
    if any(len(set(extras)) < len(extras) for extras in found):
        return [[(str(number),) for number, _ in enumerate(extras, 1)] for extras in found]
    return found
