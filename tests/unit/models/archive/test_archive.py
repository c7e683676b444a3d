"""Model files give what their folder gives; damaged and hostile ones are refused in a sentence."""

import json
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from archives import (
    TEN_GB,
    appended,
    contents_of,
    pickled,
    with_manifest,
    written,
    zeros_compressed,
)
from fakes import load_model, save_model, tiny_configuration, tiny_plan
from safetensors.torch import load_file, save

import autoseg
from autoseg.core.case import Image
from autoseg.core.errors import ModelError
from autoseg.core.geometry import Geometry, Reorientation
from autoseg.inference.prediction import predict_image
from autoseg.inference.selected_model import SelectedModel, as_selected_model
from autoseg.models.archive.reader import ModelArchive
from autoseg.models.loader import find_model
from autoseg.stages.export import ExportOptions, export

SOLID = tiny_configuration((8, 8, 8), name="3d_fullres")
PLAN = tiny_plan(SOLID, axis_order=(0, 1, 2))
WEIGHTS = "3d_fullres/fold_0/weights.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("work"), PLAN, SOLID, (0, 2))


@pytest.fixture(scope="module")
def file(folder, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("files") / "model.autoseg"
    export(folder, path, ExportOptions())
    return path


@pytest.fixture
def image() -> Image:
    voxels = np.random.default_rng(0).normal(5, 3, (1, 12, 14, 9)).astype(np.float32)
    geometry = Geometry.plain((1.0, 1.0, 1.0))
    unchanged = Reorientation(axes=(0, 1, 2), flips=(False, False, False))
    return Image(voxels, geometry, geometry, unchanged)


def ready_model(path: Path) -> SelectedModel:
    return as_selected_model(load_model(path, device="cpu", precision="float32"))


def mean_logits(model: SelectedModel, tiles: torch.Tensor) -> torch.Tensor:
    ensemble = model.members[0].ensemble
    return ensemble.scores(ensemble.mean_outputs(tiles))


def test_a_model_file_predicts_bit_for_bit_as_its_folder(folder, file, image):
    from_folder = ready_model(folder)
    from_file = ready_model(find_model(file))
    tiles = torch.from_numpy(image.voxels[None, :, :8, :8, :8])
    assert len(from_file.members[0].ensemble.networks) == 2
    assert torch.equal(mean_logits(from_file, tiles), mean_logits(from_folder, tiles))
    np.testing.assert_array_equal(
        predict_image(image, from_file), predict_image(image, from_folder)
    )


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path):
    work = save_model(tmp_path / "work", PLAN, SOLID, (0,))
    (path,) = work.rglob("weights.safetensors")
    tensors = load_file(path)
    next(iter(tensors.values())).fill_(1e6)
    path.write_bytes(save(tensors))
    with pytest.raises(ModelError, match=r"reach 1e\+06; half precision holds at most"):
        export(work, tmp_path / "half.autoseg", ExportOptions(half=True))
    export(work, tmp_path / "full.autoseg", ExportOptions())


def test_half_precision_halves_the_file_and_hardly_moves_a_label(folder, file, image, tmp_path):
    half = tmp_path / "half.autoseg"
    assert export(folder, half, ExportOptions(half=True)).precision == "float16"
    assert ModelArchive(half).manifest.parts != ModelArchive(file).manifest.parts
    full_model, half_model = ready_model(file), ready_model(half)
    assert half_model.members[0].loaded.networks[0].heads[0].weight.dtype == torch.float32
    tiles = torch.from_numpy(image.voxels[None, :, :8, :8, :8])
    expected, rounded = mean_logits(full_model, tiles), mean_logits(half_model, tiles)
    torch.testing.assert_close(rounded, expected, rtol=0.02, atol=0.02)
    assert not torch.equal(rounded, expected)
    agreement = np.mean(predict_image(image, half_model) == predict_image(image, full_model))
    assert agreement > 0.99


def test_folds_are_chosen_from_a_file_as_from_a_folder(file):
    assert ModelArchive(file).folds("3d_fullres") == (0, 2)
    assert len(load_model(file, device="cpu", folds=(2,)).networks) == 1
    with pytest.raises(ModelError, match=r"^fold 1 of .*; trained: 0, 2\. "):
        load_model(file, device="cpu", folds=(1,))


def test_the_predictor_takes_a_model_file(file, folder, image):
    by_file = autoseg.Predictor(file, device="cpu", precision="float32").predict(image)
    by_folder = autoseg.Predictor(folder, device="cpu", precision="float32").predict(image)
    np.testing.assert_array_equal(by_file, by_folder)


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/evil", "3d_fullres/../../evil", "..\\evil", "C:\\evil", "\\\\host\\x"],
)
def test_an_entry_that_leads_elsewhere_is_refused(file, tmp_path, name):
    hostile = appended(file, tmp_path / "m.autoseg", name)
    with pytest.raises(ModelError, match="has a path outside of the model"):
        ModelArchive(hostile)
    assert [path.name for path in tmp_path.iterdir()] == ["m.autoseg"]


def test_a_symbolic_link_is_refused(file, tmp_path):
    link = zipfile.ZipInfo("3d_fullres/fold_1/weights.safetensors")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ModelError, match="is a link"):
        ModelArchive(appended(file, tmp_path / "m.autoseg", link, b"/etc/passwd"))


@pytest.mark.parametrize(
    "name",
    ["setup.py", "3d_fullres/fold_0/hook.pt", "3d_fullres/run.json", "MANIFEST.JSON", "a/b/c/d"],
)
def test_an_entry_that_no_model_has_is_refused(file, tmp_path, name):
    with pytest.raises(ModelError, match="does not belong in a model file"):
        ModelArchive(appended(file, tmp_path / "m.autoseg", name, b""))


def test_a_part_that_the_manifest_does_not_list_is_refused(file, tmp_path):
    hostile = appended(file, tmp_path / "m.autoseg", "3d_fullres/fold_7/weights.safetensors")
    with pytest.raises(ModelError, match=r"fold_7.*does not belong"):
        ModelArchive(hostile)


def test_a_part_of_another_configuration_is_refused(file, tmp_path):
    parts = contents_of(file) | {"other/plan.json": b"{}"}
    with pytest.raises(ModelError, match=r"other/plan\.json does not belong"):
        ModelArchive(written(parts, tmp_path / "m.autoseg"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(file, tmp_path):
    with pytest.raises(ModelError, match="two entries named"):
        ModelArchive(appended(file, tmp_path / "m.autoseg", "card.json"))


def test_weights_that_were_exchanged_are_refused(file, tmp_path):
    parts = contents_of(file)
    parts[WEIGHTS] = parts[WEIGHTS][:-1] + bytes([parts[WEIGHTS][-1] ^ 1])
    hostile = written(parts, tmp_path / "m.autoseg", update_manifest=False)
    with pytest.raises(ModelError, match=r"the SHA-256 of .* differs from the manifest"):
        load_model(hostile, device="cpu")


def test_a_flipped_bit_on_the_disk_is_found(file, tmp_path):
    content = bytearray(file.read_bytes())
    start = content.index(WEIGHTS.encode()) + 2000
    content[start] ^= 1
    damaged = tmp_path / "m.autoseg"
    damaged.write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged \(Bad CRC"):
        load_model(damaged, device="cpu")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_refused(file, tmp_path, share):
    content = file.read_bytes()
    cut = tmp_path / "m.autoseg"
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"cut off|not a zip"):
        ModelArchive(cut)


def test_a_file_with_something_appended_is_refused(file, tmp_path):
    longer = tmp_path / "m.autoseg"
    longer.write_bytes(file.read_bytes() + b"#!/bin/sh")
    with pytest.raises(ModelError, match="data was appended"):
        ModelArchive(longer)


def test_what_is_no_zip_is_refused(tmp_path):
    text = tmp_path / "m.autoseg"
    text.write_text("weights, honestly")
    with pytest.raises(ModelError, match="it is not a zip"):
        load_model(find_model(text), device="cpu")


@pytest.mark.parametrize("with_torch", [False, True])
def test_a_pickle_in_place_of_weights_is_refused_and_not_run(file, tmp_path, with_torch):
    trace = tmp_path / "it_ran"
    hostile = written(
        contents_of(file) | {WEIGHTS: pickled(trace, with_torch=with_torch)},
        tmp_path / "m.autoseg",
    )
    with pytest.raises(ModelError, match="is a pickle, which can run code"):
        load_model(hostile, device="cpu")
    assert not trace.exists()


def test_a_torch_checkpoint_renamed_to_a_model_file_is_refused(tmp_path):
    trace, checkpoint = tmp_path / "it_ran", tmp_path / "m.autoseg"
    checkpoint.write_bytes(pickled(trace, with_torch=True))
    with pytest.raises(ModelError, match="does not belong in a model file"):
        load_model(find_model(checkpoint), device="cpu")
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"rubbish", struct.pack("<Q", 2**62) + b"{}"])
def test_weights_that_are_not_safetensors_are_refused(file, tmp_path, content):
    hostile = written(contents_of(file) | {WEIGHTS: content}, tmp_path / "m.autoseg")
    with pytest.raises(ModelError, match="not in safetensors format"):
        load_model(hostile, device="cpu")


def test_weights_of_another_network_are_refused(file, tmp_path):
    other = save({"weight": torch.zeros(3)})
    hostile = written(contents_of(file) | {WEIGHTS: other}, tmp_path / "m.autoseg")
    with pytest.raises(ModelError, match="cannot be used"):
        load_model(hostile, device="cpu")


def test_weights_larger_than_the_plans_network_are_not_read(file, tmp_path):
    large = save({"weight": torch.zeros(500_000)})
    hostile = written(contents_of(file) | {WEIGHTS: large}, tmp_path / "m.autoseg")
    with pytest.raises(ModelError, match="the plan's network needs at most"):
        load_model(hostile, device="cpu")


def test_a_plan_of_a_gigantic_network_takes_no_memory(file, tmp_path):
    parts = contents_of(file)
    plan = json.loads(parts["3d_fullres/plan.json"])
    plan["configurations"][0]["architecture"]["features"] = [4, 2_000_000]
    parts["3d_fullres/plan.json"] = json.dumps(plan).encode()
    with pytest.raises(ModelError, match=r"features.1: .* less than or equal to 16384"):
        load_model(written(parts, tmp_path / "m.autoseg"), device="cpu")
    plan["configurations"][0]["architecture"]["features"] = [4, 16_384]
    parts["3d_fullres/plan.json"] = json.dumps(plan).encode()
    with pytest.raises(ModelError, match="cannot be used"):
        load_model(written(parts, tmp_path / "m.autoseg"), device="cpu")


def test_ten_gigabytes_of_compressed_zeros_are_refused_unread(file, tmp_path):
    hostile = tmp_path / "m.autoseg"
    hostile.write_bytes(file.read_bytes())
    with zipfile.ZipFile(hostile, "a") as archive:
        archive.writestr("fingerprint.json", zeros_compressed(TEN_GB))
        entry = archive.getinfo("fingerprint.json")
        entry.compress_type, entry.file_size = zipfile.ZIP_DEFLATED, TEN_GB
    assert hostile.stat().st_size < 2**24
    with pytest.raises(ModelError, match=rf"compressed .* expand to {TEN_GB}"):
        ModelArchive(hostile)


def test_the_compressed_zeros_are_what_they_claim():
    size = 2**22
    assert zlib.decompress(zeros_compressed(size), -15) == bytes(size)


@pytest.mark.parametrize("name", ["fingerprint.json", "3d_fullres/fold_1/weights.safetensors"])
def test_ten_gigabytes_of_stored_zeros_are_refused_unread(file, tmp_path, name):
    hostile = tmp_path / "m.autoseg"
    hostile.write_bytes(file.read_bytes())
    with zipfile.ZipFile(hostile, "a") as archive:
        archive.writestr(name, b"")
        entry = archive.getinfo(name)
        entry.file_size = entry.compress_size = TEN_GB
    with pytest.raises(ModelError, match=f"has {TEN_GB} bytes; at most"):
        ModelArchive(hostile)


def test_entries_that_claim_more_than_the_file_holds_are_refused(file, tmp_path):
    hostile = tmp_path / "m.autoseg"
    hostile.write_bytes(file.read_bytes())
    with zipfile.ZipFile(hostile, "a") as archive:
        archive.writestr("fingerprint.json", b"")
        entry = archive.getinfo("fingerprint.json")
        entry.file_size = entry.compress_size = 2**27
    with pytest.raises(ModelError, match="but the file has only"):
        ModelArchive(hostile)


def test_a_list_of_too_many_entries_is_not_read(tmp_path):
    hostile = tmp_path / "m.autoseg"
    with zipfile.ZipFile(hostile, "w") as archive:
        for index in range(300):
            archive.writestr(f"3d/fold_{index}/run.json", b"")
    with pytest.raises(ModelError, match="lists 300 entries"):
        ModelArchive(hostile)


def test_a_64_bit_list_that_claims_too_much_is_not_read(file, tmp_path):
    content = file.read_bytes()
    body, end = content[:-22], content[-22:]
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2**40, 2**40, 2**50, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(body), 1)
    hostile = tmp_path / "m.autoseg"
    hostile.write_bytes(body + end64 + locator + end)
    with pytest.raises(ModelError, match="it lists 1099511627776 entries"):
        ModelArchive(hostile)
    elsewhere = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    hostile.write_bytes(body + end64 + elsewhere + end)
    with pytest.raises(ModelError, match="its end is damaged"):
        ModelArchive(hostile)


def test_an_encrypted_entry_is_refused(file, tmp_path):
    content = bytearray(file.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1
    hostile = tmp_path / "m.autoseg"
    hostile.write_bytes(content)
    with pytest.raises(ModelError, match="is encrypted"):
        ModelArchive(hostile)


def test_a_manifest_of_a_newer_version_asks_for_an_upgrade(file, tmp_path):
    newer = with_manifest(file, tmp_path / "m.autoseg", schema_version=2, weather="fine")
    with pytest.raises(ModelError, match=r"written by a newer autoseg .*version 2.*Upgrade"):
        ModelArchive(newer)


def test_a_manifest_that_is_rubbish_is_refused(file, tmp_path):
    for content in (b"", b"[]", b'{"schema_version": 1}', b"[" * 100_000, b"\xff\xfe"):
        parts = contents_of(file) | {"manifest.json": content}
        hostile = written(parts, tmp_path / "m.autoseg", update_manifest=False)
        with pytest.raises(ModelError, match=r"manifest\.json has invalid fields"):
            ModelArchive(hostile)


def test_a_manifest_that_names_another_configuration_is_refused(file, tmp_path):
    for name, found in (("../../home", "has invalid fields"), ("3d", "is missing")):
        other = with_manifest(file, tmp_path / "m.autoseg", members=[name])
        with pytest.raises(ModelError, match=found):
            ModelArchive(other)


@pytest.mark.parametrize("name", [WEIGHTS, "3d_fullres/plan.json", "card.json", "model_card.md"])
def test_a_part_that_the_manifest_lists_but_is_not_there_is_named(file, tmp_path, name):
    parts = contents_of(file)
    del parts[name]
    hostile = written(parts, tmp_path / "m.autoseg", update_manifest=False)
    with pytest.raises(ModelError, match=f"{name} is missing"):
        ModelArchive(hostile)


def test_a_model_without_a_needed_part_is_refused_even_if_its_manifest_agrees(file, tmp_path):
    parts = contents_of(file)
    del parts["3d_fullres/plan.json"]
    with pytest.raises(ModelError, match=r"plan\.json is missing"):
        ModelArchive(written(parts, tmp_path / "m.autoseg"))
    without = {name: part for name, part in contents_of(file).items() if "weights" not in name}
    with pytest.raises(ModelError, match="has no weights of 3d_fullres"):
        ModelArchive(written(without, tmp_path / "n.autoseg"))
    del parts["manifest.json"]
    with pytest.raises(ModelError, match=r"has no manifest\.json"):
        ModelArchive(written(parts, tmp_path / "o.autoseg", update_manifest=False))


def test_a_plan_that_needs_an_unknown_network_is_told_apart_from_damage(file, tmp_path):
    parts = contents_of(file)
    plan = parts["3d_fullres/plan.json"].replace(b'"kind": "unet"', b'"kind": "future"')
    assert plan != parts["3d_fullres/plan.json"]
    hostile = written(parts | {"3d_fullres/plan.json": plan}, tmp_path / "m.autoseg")
    with pytest.raises(ModelError, match="needs a component that this autoseg does not have"):
        load_model(hostile, device="cpu")


def test_a_stranger_cannot_steer_the_terminal(file, tmp_path):
    hostile = appended(file, tmp_path / "m.autoseg", "\x1b[2Jevil")
    with pytest.raises(ModelError) as caught:
        ModelArchive(hostile)
    assert "\x1b" not in str(caught.value)
    faulty = {f"\x1b[2Jfield {index}": 1 for index in range(50)}
    with pytest.raises(ModelError) as caught:
        ModelArchive(with_manifest(file, tmp_path / "n.autoseg", **faulty))
    assert "\x1b" not in str(caught.value)
    assert "and 40 more" in str(caught.value)


def spoilt(content: bytes, random: Random) -> bytes:
    """Return the bytes with one of them exchanged."""
    changed = bytearray(content)
    changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def test_no_damage_ends_in_anything_but_a_sentence(file, tmp_path):
    """Bytes change in the list of entries, or in a part whose manifest is then made to fit."""
    random, content, parts = Random(0), file.read_bytes(), contents_of(file)
    directory = content.index(b"PK\x01\x02")
    hostile, refusals = tmp_path / "m.autoseg", 0
    for attempt in range(120):
        if attempt % 2:
            hostile.write_bytes(content[:directory] + spoilt(content[directory:], random))
        else:
            name = random.choice([name for name in parts if name != "manifest.json"])
            written(parts | {name: spoilt(parts[name], random)}, hostile)
        try:
            load_model(hostile, device="cpu")
        except autoseg.AutosegError:
            refusals += 1
    assert refusals > 60
