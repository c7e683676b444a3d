"""`autoseg export` and `describe`: what goes into the file, and what stays out."""

import shutil
import zipfile
from pathlib import Path

import pytest
from fakes import LABELS, save_model, tiny_configuration, tiny_plan
from fingerprints import make_fingerprint
from safetensors.torch import load_file, save_file

from autoseg.commands.models import describe
from autoseg.core.errors import ModelError
from autoseg.core.labels import Region
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.quality import CaseTtaConsistency
from autoseg.documents.report import (
    CaseScores,
    ClassReport,
    ClassScores,
    Mean,
    Means,
    Report,
    UnscoredCase,
)
from autoseg.documents.store import save
from autoseg.models.archive.model_card import card_classes
from autoseg.models.archive.reader import ModelArchive
from autoseg.stages.export import ExportOptions, export
from autoseg.stages.train.score_fold import VALIDATION_NAME

SOLID = tiny_configuration((8, 8, 8), name="3d_fullres")
PLAN = tiny_plan(SOLID, axis_order=(0, 1, 2))


def named_fingerprint() -> Fingerprint:
    """Return three cases whose names say who they are."""
    made = make_fingerprint(
        [(20, 30, 40), (22, 30, 40), (30, 36, 44)],
        [(2, 1, 1), (2, 1, 1), (3, 1, 1)],
        channel_names=PLAN.channel_names,
        class_shares=(0.8, 0.1, 0.1),
    )
    names = ("mary_smith", "john_doe", "jane_roe")
    cases = tuple(
        case.model_copy(update={"name": name, "source": ((f"{name}.nii.gz", 5, 6),)})
        for case, name in zip(made.cases, names, strict=True)
    )
    return made.model_copy(update={"cases": cases, "labels": LABELS})


def report() -> Report:
    """Return scores of one case, and an issue of another."""
    mean = Mean(value=0.875, count=1)
    means = Means(dice=mean, iou=mean, hd95_mm=mean, assd_mm=mean, nsd=mean)
    scores = ClassScores(
        dice=0.875, iou=0.8, hd95_mm=1, assd_mm=1, nsd=1, reference_voxels=9, predicted_voxels=8
    )
    return Report(
        classes=tuple(
            ClassReport(name=name, label=value, means=means, missed=0, spurious=0, absent=0)
            for name, value in zip(LABELS.names[1:], LABELS.values[1:], strict=True)
        ),
        foreground=means,
        cases=(CaseScores(name="john_doe", tolerance_mm=1, classes=(scores, scores)),),
        issues=(UnscoredCase(name="jane_roe", message="/data/jane_roe.nii.gz is damaged"),),
        missing_predictions=("mary_smith",),
        agreements=(CaseTtaConsistency(name="john_doe", targets=(0.9, None)),),
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    made = save_model(tmp_path / "work", PLAN, SOLID, (0, 1))
    save(named_fingerprint(), made / "fingerprint.json")
    save(report(), made / "fold_0" / VALIDATION_NAME / Report.FILE_NAME)
    return made


def test_all_parts_go_into_one_file(folder, tmp_path):
    manifest = export(tmp_path / "work", tmp_path / "m.autoseg", ExportOptions())
    assert [part.name for part in manifest.parts] == [
        "model_card.md",
        "card.json",
        "fingerprint.json",
        "3d_fullres/model.json",
        "3d_fullres/plan.json",
        "3d_fullres/fold_0/evaluation.json",
        "3d_fullres/fold_0/weights.safetensors",
        "3d_fullres/fold_1/weights.safetensors",
    ]
    assert ModelArchive(tmp_path / "m.autoseg").manifest == manifest
    with zipfile.ZipFile(tmp_path / "m.autoseg") as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_same_model_gives_the_same_bytes_wherever_it_lies(folder, tmp_path):
    export(folder, tmp_path / "first.autoseg", ExportOptions())
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "model")
    export(moved, tmp_path / "second.autoseg", ExportOptions())
    first, second = (tmp_path / f"{name}.autoseg" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_names_of_cases_stay_out_of_the_file(folder, tmp_path):
    export(folder, tmp_path / "m.autoseg", ExportOptions())
    content = (tmp_path / "m.autoseg").read_bytes()
    for name in (b"mary", b"john", b"jane", str(tmp_path).encode()):
        assert name not in content
    archive = ModelArchive(tmp_path / "m.autoseg")
    scored = Report.model_validate_json(archive.read("3d_fullres/fold_0/evaluation.json"))
    fingerprint = archive.read_document(Fingerprint, "fingerprint.json")
    shapes = {case.name: case.shape for case in fingerprint.cases}
    assert shapes[scored.cases[0].name] == (22, 30, 40)  # John's
    assert scored.foreground == report().foreground
    assert [entry.name for entry in scored.agreements] == [scored.cases[0].name]


def test_the_card_says_what_to_give_and_what_to_expect(folder, tmp_path, capsys):
    export(folder, tmp_path / "m.autoseg", ExportOptions(license="CC BY 4.0"))
    card = ModelArchive(tmp_path / "m.autoseg").read_card()
    assert [channel.name for channel in card.channels] == list(PLAN.channel_names)
    assert card.data.intensities[0] == pytest.approx((0.5, 99.5), abs=0.1)
    assert [(entry.least, entry.median, entry.greatest) for entry in card.data.spacing_mm] == [
        (2, 2, 3),
        (1, 1, 1),
        (1, 1, 1),
    ]
    first, second = card.configurations[0].folds
    assert first.foreground.dice.value == 0.875
    assert second.foreground is None
    describe(tmp_path / "m.autoseg")
    page = capsys.readouterr().out
    for words in (
        "CC BY 4.0",
        "| 3d_fullres | 0 | 1 | dim | 0.875 |",
        "2 / 2 / 3",
        "superior, posterior, left",
    ):
        assert words in page


def test_describing_reads_no_weights(folder, tmp_path, capsys):
    file = tmp_path / "m.autoseg"
    export(folder, file, ExportOptions())
    content = bytearray(file.read_bytes())
    content[content.index(b"weights.safetensors") + 2000] ^= 1
    file.write_bytes(content)
    describe(file)
    assert "Model card" in capsys.readouterr().out


def test_describing_what_is_no_file_says_what_to_name(folder):
    with pytest.raises(ModelError, match=r"is not a file\. Pass a model file"):
        describe(folder)


def test_the_fingerprint_of_the_work_folder_serves_older_models(folder, tmp_path):
    (folder / "fingerprint.json").rename(tmp_path / "work" / "fingerprint.json")
    export(folder, tmp_path / "m.autoseg", ExportOptions())
    assert ModelArchive(tmp_path / "m.autoseg").read_card().data.num_cases == 3


def test_a_model_without_fingerprint_and_scores_says_so(folder, tmp_path):
    (folder / "fingerprint.json").unlink()
    export(folder / "fold_1", tmp_path / "m.autoseg", ExportOptions())
    archive = ModelArchive(tmp_path / "m.autoseg")
    assert archive.folds("3d_fullres") == (1,)
    with zipfile.ZipFile(archive.path) as content:
        assert "fingerprint.json" not in content.namelist()
    assert "The model has no fingerprint of its training data." in archive.read_card_page()


def test_chosen_folds_alone_are_exported(folder, tmp_path):
    export(folder, tmp_path / "m.autoseg", ExportOptions(folds=(1,)))
    assert ModelArchive(tmp_path / "m.autoseg").folds("3d_fullres") == (1,)
    with pytest.raises(ModelError, match=r"^fold 4 of .* is not trained .*; trained: 0, 1\. "):
        export(folder, tmp_path / "n.autoseg", ExportOptions(folds=(4,)))
    assert not (tmp_path / "n.autoseg").exists()


def test_another_ending_is_refused(folder, tmp_path):
    with pytest.raises(ModelError, match=r"Name the file m\.autoseg"):
        export(folder, tmp_path / "m.zip", ExportOptions())


def test_a_model_file_is_not_exported_again(folder, tmp_path):
    export(folder, tmp_path / "m.autoseg", ExportOptions())
    with pytest.raises(ModelError, match="is a model file already"):
        export(tmp_path / "m.autoseg", tmp_path / "n.autoseg", ExportOptions())


def test_weights_beyond_half_precision_are_not_spoilt(folder, tmp_path):
    weights = folder / "fold_0" / "weights.safetensors"
    tensors = load_file(weights)
    next(iter(tensors.values())).flatten()[0] = 1e6
    save_file(tensors, weights)
    with pytest.raises(ModelError, match=r"reach 1e\+06; half precision holds at most 65504"):
        export(folder, tmp_path / "m.autoseg", ExportOptions(half=True))
    assert list(tmp_path.glob("*.autoseg*")) == []
    export(folder, tmp_path / "m.autoseg", ExportOptions())


def test_the_card_lists_regions_with_the_cases_that_hold_any_of_their_values(tmp_path):
    first, second = LABELS.values[1:]
    regions = (
        Region(name="both", values=(first, second), written_as=first),
        Region(name="one", values=(second,), written_as=second),
    )
    made = named_fingerprint()
    cases = tuple(
        case.model_copy(update={"class_voxels": counts})
        for case, counts in zip(made.cases, ((9, 5, 0), (9, 0, 5), (9, 0, 0)), strict=True)
    )
    regional = PLAN.model_copy(update={"labels": LABELS.model_copy(update={"regions": regions})})
    found = card_classes(regional, made.model_copy(update={"cases": cases}))
    assert [(entry.name, entry.value, entry.cases) for entry in found] == [
        (LABELS.names[0], LABELS.values[0], 3),
        ("both", first, 2),
        ("one", second, 1),
    ]
    assert [entry.cases for entry in card_classes(PLAN, None)] == [None] * 3
