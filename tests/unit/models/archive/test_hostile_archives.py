"""One hostile model file of each kind, and the sentence that refuses it.

Nothing of a refused file is run, extracted, or read further than needed.
"""

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from archives import (
    TEN_GB,
    appended,
    contents_of,
    pickled,
    with_manifest,
    written,
    zeros_compressed,
)
from fakes import save_model, tiny_configuration, tiny_plan

from autoseg.core.errors import ModelError
from autoseg.documents.selection import Selection
from autoseg.documents.store import save
from autoseg.models.loader import LoadOptions
from autoseg.models.model_selection import find_selection, load_members
from autoseg.stages.export import ExportOptions, export

COARSE = tiny_configuration((8, 8, 8), name="3d_lowres", spacing=(2.0, 2.0, 2.0))
CASCADE = tiny_configuration((8, 8, 8), name="3d_cascade").model_copy(
    update={
        "previous_stage": "3d_lowres",
        "architecture": COARSE.architecture.model_copy(update={"in_channels": 3}),
    }
)
FLAT = tiny_configuration((8, 8), name="2d")
PLAN = tiny_plan(CASCADE, COARSE, FLAT, axis_order=(0, 1, 2))
WEIGHTS = "2d/fold_0/weights.safetensors"
SELECTION = Selection(
    members=("2d", "3d_cascade"),
    folds=((0,), (0,)),
    postprocessing=(),
    reason="They are the best together.",
    candidates=(),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """Return a valid model file: two members, one of them a cascade, with their selection."""
    work = tmp_path_factory.mktemp("hostile") / "work"
    for configuration in (FLAT, COARSE, CASCADE):
        save_model(work, PLAN, configuration, (0,))
    save(SELECTION, work / "selection.json")
    export(work, work / "model.autoseg", ExportOptions())
    return work / "model.autoseg"


def zip_slip(file: Path, path: Path) -> None:
    appended(file, path, "../../.bashrc", b"echo gotcha")


def link_to_a_secret(file: Path, path: Path) -> None:
    link = zipfile.ZipInfo("2d/fold_1/weights.safetensors")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    appended(file, path, link, b"/etc/passwd")


def program_inside(file: Path, path: Path) -> None:
    appended(file, path, "2d/setup.py", b"import os")


def other_weights(file: Path, path: Path) -> None:
    parts = contents_of(file)
    parts[WEIGHTS] = parts[WEIGHTS][:-1] + bytes([parts[WEIGHTS][-1] ^ 1])
    written(parts, path, update_manifest=False)


def truncated(file: Path, path: Path) -> None:
    content = file.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def pickle_for_weights(file: Path, path: Path) -> None:
    bomb = pickled(path.parent / "it_ran", with_torch=True)
    written(contents_of(file) | {WEIGHTS: bomb}, path)


def bare_pickle(file: Path, path: Path) -> None:
    bomb = pickled(path.parent / "it_ran", with_torch=False)
    written(contents_of(file) | {WEIGHTS: bomb}, path)


def ten_gigabytes_of_compressed_zeros(file: Path, path: Path) -> None:
    path.write_bytes(file.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("fingerprint.json", zeros_compressed(TEN_GB))
        entry = archive.getinfo("fingerprint.json")
        entry.compress_type, entry.file_size = zipfile.ZIP_DEFLATED, TEN_GB


def ten_gigabytes_that_are_not_there(file: Path, path: Path) -> None:
    path.write_bytes(file.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("2d/fold_1/weights.safetensors", b"")
        entry = archive.getinfo("2d/fold_1/weights.safetensors")
        entry.file_size = entry.compress_size = TEN_GB


def network_of_terabytes(file: Path, path: Path) -> None:
    parts = contents_of(file)
    plan = json.loads(parts["2d/plan.json"])
    for configuration in plan["configurations"]:
        configuration["architecture"]["features"] = [4, 2_000_000]
    written(parts | {"2d/plan.json": json.dumps(plan).encode()}, path)


def selected_configuration_missing(file: Path, path: Path) -> None:
    written(selection_with(file, members=["2d", "3d_fullres"]), path)


def selected_fold_missing(file: Path, path: Path) -> None:
    written(selection_with(file, folds=[[0], [0, 4]]), path)


def selection_with(file: Path, **changes) -> dict[str, bytes]:
    """Return the parts of a model file with another selection."""
    parts = contents_of(file)
    selection = json.loads(parts["selection.json"]) | changes
    return parts | {"selection.json": json.dumps(selection).encode()}


def member_missing(file: Path, path: Path) -> None:
    with_manifest(file, path, members=["2d", "3d_cascade", "3d_fullres"])


def parts_of(file: Path) -> list[dict]:
    return json.loads(contents_of(file)["manifest.json"])["parts"]


def part_listed_twice(file: Path, path: Path) -> None:
    with_manifest(file, path, parts=[*parts_of(file), parts_of(file)[0]])


def too_many_parts_listed(file: Path, path: Path) -> None:
    with_manifest(file, path, parts=parts_of(file) * 257)


def other_size_listed(file: Path, path: Path) -> None:
    first, *others = parts_of(file)
    with_manifest(file, path, parts=[first | {"size": first["size"] - 1}, *others])


def member_listed_twice(file: Path, path: Path) -> None:
    with_manifest(file, path, members=["2d", "2d", "3d_cascade"])


def weights_missing(file: Path, path: Path) -> None:
    written({name: part for name, part in contents_of(file).items() if name != WEIGHTS}, path)


def previous_stage_missing(file: Path, path: Path) -> None:
    parts = {name: part for name, part in contents_of(file).items() if "3d_lowres/" not in name}
    manifest = json.loads(parts["manifest.json"]) | {"stages": []}
    written(parts | {"manifest.json": json.dumps(manifest).encode()}, path)


def stages_in_a_circle(file: Path, path: Path) -> None:
    parts = contents_of(file)
    plan = json.loads(parts["3d_lowres/plan.json"])
    for configuration in plan["configurations"]:
        is_coarse = configuration["name"] == "3d_lowres"
        configuration["previous_stage"] = "3d_cascade" if is_coarse else None
        configuration["architecture"]["in_channels"] = 3 if is_coarse else 1
    weights = parts["3d_cascade/fold_0/weights.safetensors"]
    changed = {
        "3d_lowres/plan.json": json.dumps(plan).encode(),
        "3d_lowres/fold_0/weights.safetensors": weights,
    }
    written(parts | changed, path)


def stage_of_another_dataset(file: Path, path: Path) -> None:
    parts = contents_of(file)
    plan = parts["3d_lowres/plan.json"].replace(b'"channel 0"', b'"T2"')
    written(parts | {"3d_lowres/plan.json": plan}, path)


def member_of_another_dataset(file: Path, path: Path) -> None:
    parts = contents_of(file)
    plan = parts["2d/plan.json"].replace(b'"bright"', b'"tumour"')
    written(parts | {"2d/plan.json": plan}, path)


class Kind(NamedTuple):
    """A way to be hostile, and what the refusal says of it."""

    make: Callable[[Path, Path], None]
    refusal: str


KINDS = (
    Kind(zip_slip, r"'\.\./\.\./\.bashrc' has a path outside of the model"),
    Kind(link_to_a_secret, "is a link or another special file"),
    Kind(program_inside, r"'2d/setup\.py' does not belong in a model file"),
    Kind(other_weights, "the SHA-256 of .* differs from the manifest"),
    Kind(truncated, "its end is missing; it was cut off"),
    Kind(pickle_for_weights, "is a pickle, which can run code"),
    Kind(bare_pickle, "is a pickle, which can run code"),
    Kind(ten_gigabytes_of_compressed_zeros, f"expand to {TEN_GB}"),
    Kind(ten_gigabytes_that_are_not_there, f"has {TEN_GB} bytes; at most"),
    Kind(network_of_terabytes, "less than or equal to 16384"),
    Kind(selected_configuration_missing, r"selection\.json lists the members '2d, 3d_fullres'"),
    Kind(selected_fold_missing, r"selection\.json names fold 4 of 3d_cascade, which is missing"),
    Kind(member_missing, r"3d_fullres/model\.json is missing"),
    Kind(part_listed_twice, "its manifest lists a part twice"),
    Kind(too_many_parts_listed, "parts; expected at most 256"),
    Kind(other_size_listed, "bytes, but its manifest lists"),
    Kind(member_listed_twice, "its manifest lists a configuration twice"),
    Kind(weights_missing, "it has no weights of 2d"),
    Kind(previous_stage_missing, "it needs '3d_lowres', but contains only 2d, 3d_cascade"),
    Kind(stages_in_a_circle, "circular cascade of 3d_cascade and 3d_lowres"),
    Kind(
        stage_of_another_dataset,
        "previous stage of a cascade, but the channel_names of the two stages differ",
    ),
    Kind(member_of_another_dataset, "2d and 3d_cascade cannot predict together"),
)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.make.__name__ for kind in KINDS])
def test_a_hostile_model_file_is_refused_in_a_sentence(kind, file, tmp_path):
    hostile = tmp_path / "model.autoseg"
    kind.make(file, hostile)
    with pytest.raises(ModelError, match=kind.refusal):
        load_members(find_selection(hostile), LoadOptions(device="cpu"))
    assert [path.name for path in tmp_path.iterdir()] == ["model.autoseg"]  # nothing ran


def test_the_sound_file_is_accepted(file):
    members = load_members(find_selection(file), LoadOptions(device="cpu"))
    assert [member.configuration.name for member in members] == ["2d", "3d_cascade"]
