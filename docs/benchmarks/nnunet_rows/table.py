"""Which rows there are. Nothing heavy is imported here: all work is done in other processes."""

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from nnunet_rows.row import (
    CT,
    HIPPOCAMPUS,
    Command,
    Place,
    Preparation,
    Row,
    Side,
    call,
    code,
    command_line,
)

AUTOSEG = "autoseg.cli:main"
ENTRY_POINTS = "nnunetv2.experiment_planning.plan_and_preprocess_entrypoints"


def start(place: Place) -> tuple[Row, ...]:  # noqa: ARG001  (every row's function is called alike)
    """Help texts, and what a program that predicts has to import."""
    theirs = "nnunetv2.inference.predict_from_raw_data:predict_entry_point"
    predictor = "from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor"
    return (
        Row(
            "`--help`",
            "≤ 0.4 s",
            Side((command_line(theirs, "--help"),)),
            Side((command_line(AUTOSEG, "--help"),)),
        ),
        Row(
            "import the package",
            "≤ 0.4 s",
            Side((code("import nnunetv2"),)),
            Side((code("import autoseg"),)),
        ),
        Row(
            "import what predicts",
            "",
            Side((code(predictor),)),
            Side((code("from autoseg import Predictor"),)),
        ),
    )


def fingerprint(place: Place) -> tuple[Row, ...]:
    """Measure 200 cases and plan, files read anew."""
    work = place.work / "autoseg_anew"
    theirs = (_nnunet_fingerprint(place, HIPPOCAMPUS), _nnunet_plan(HIPPOCAMPUS))
    return (
        Row(
            "fingerprint and plan",
            "5×",
            Side(theirs),
            Side(
                (_autoseg_plan(place, HIPPOCAMPUS, work),),
                before=lambda: rmtree(work, ignore_errors=True),
            ),
            needs=(_hippocampus(place),),
        ),
    )


def preprocess_hippocampus(place: Place) -> tuple[Row, ...]:
    """Prepare 200 small cases."""
    return tuple(
        _preprocess(place, HIPPOCAMPUS, configuration, "5×")
        for configuration in ("3d_fullres", "2d")
    )


def preprocess_ct(place: Place) -> tuple[Row, ...]:
    """Prepare eight large cases."""
    return (_preprocess(place, CT, "3d_fullres", "8×, memory ½"),)


def resampling(place: Place) -> tuple[Row, ...]:  # noqa: ARG001
    """Resample one large volume, in memory."""
    kinds = {
        "image": "resample an image, 1.5×0.8×0.8 to 2×1×1 mm",
        "separate": "resample an image, 6×0.8×0.8 to 2×1×1 mm",
        "labels": "resample labels of 4 classes, 1.5×0.8×0.8 to 2×1×1 mm",
    }
    return tuple(
        Row(
            name,
            "10×",
            Side((call("resampling.nnunet", kind),)),
            Side((call("resampling.autoseg", kind),)),
        )
        for kind, name in kinds.items()
    )


def step(place: Place) -> tuple[Row, ...]:
    """Training steps."""
    needs = (*_planned(place, HIPPOCAMPUS), *_prepared(place, HIPPOCAMPUS, "3d_fullres"))
    return (
        Row(
            f"training step with its loader, batch of 2, {place.device}",
            "2×" if place.device == "cpu" else "1.5×",
            Side((call("training.nnunet", _preprocessed(place, HIPPOCAMPUS), place.device),)),
            Side((call("training.autoseg", place.autoseg(HIPPOCAMPUS), place.device),)),
            needs=needs,
        ),
    )


def predict_network(place: Place) -> tuple[Row, ...]:
    """Sliding window."""
    folder = place.work / "prediction"
    made = call("prediction.make_model", _preprocessed(place, HIPPOCAMPUS), folder)
    return (
        Row(
            "sliding window, 8 tiles, 8 flips",
            "2×",
            Side((call("prediction.nnunet", folder),)),
            Side((call("prediction.autoseg", folder),)),
            needs=(
                *_planned(place, HIPPOCAMPUS),
                *_prepared(place, HIPPOCAMPUS, "3d_fullres")[:1],
                Preparation(folder / "model.autoseg", made),
            ),
        ),
    )


def export(place: Place) -> tuple[Row, ...]:
    """From logits of organs to a file."""
    return (_export(place, "organs"),)


def export_noise(place: Place) -> tuple[Row, ...]:
    """The worst case of autoseg's export."""
    return (_export(place, "noise"),)


def evaluation(place: Place) -> tuple[Row, ...]:
    """Scores of one large case."""
    folder = place.work / "evaluation"
    made = call("evaluation.make_label_maps", folder)
    return (
        Row(
            "Dice, HD95 and NSD of 8 classes, 200×512×512 (nnU-Net: Dice alone)",
            "≤ 10 s",
            Side((call("evaluation.nnunet", folder),)),
            Side((call("evaluation.autoseg", folder),)),
            needs=(Preparation(folder / "prediction.nii.gz", made),),
        ),
    )


def _preprocess(place: Place, dataset: str, configuration: str, aim: str) -> Row:
    name = "hippocampus" if dataset == HIPPOCAMPUS else "CT"
    theirs, ours = _prepared(place, dataset, configuration)
    return Row(
        f"preprocess {name}, {configuration}",
        aim,
        Side((theirs.command,), before=lambda: _set_aside(theirs.makes, place)),
        Side((ours.command,), before=lambda: _set_aside(ours.makes, place)),
        needs=_planned(place, dataset),
    )


def _set_aside(folder: Path, place: Place) -> None:
    """Move what a round is going to make out of its way, to be removed when all is measured.

    For a while ext4 does not give the inodes of removed files away again, and steps over them one
    by one whenever it looks for a free one: who makes files right after removing many waits.
    """
    if folder.is_dir():
        place.former.mkdir(exist_ok=True)
        folder.rename(Path(mkdtemp(dir=place.former)) / folder.name)


def _export(place: Place, kind: str) -> Row:
    folder = place.work / "export"
    logits = Preparation(folder / f"{kind}.npy", call("export.make_logits", kind, folder))
    return Row(
        f"export, 61 classes, 160×384×384, {kind}",
        "20×, memory ⅕",
        Side((call("export.nnunet", kind, folder, place.cores),)),
        Side((call("export.autoseg", kind, folder, place.cores),)),
        needs=(logits,),
    )


def _hippocampus(place: Place) -> Preparation:
    dataset = place.raw(HIPPOCAMPUS)
    task = place.data / "Task04_Hippocampus"
    return Preparation(dataset / "dataset.json", call("data.link_decathlon", task, dataset))


def _planned(place: Place, dataset: str) -> tuple[Preparation, ...]:
    """Return what makes a dataset, and both tools' plans of it."""
    folder = place.raw(dataset)
    made = Preparation(folder / "dataset.json", call("data.make_ct", folder))
    theirs, work = _preprocessed(place, dataset), place.autoseg(dataset)
    return (
        _hippocampus(place) if dataset == HIPPOCAMPUS else made,
        Preparation(theirs / "dataset_fingerprint.json", _nnunet_fingerprint(place, dataset)),
        Preparation(theirs / "nnUNetPlans.json", _nnunet_plan(dataset)),
        Preparation(work / "plan.json", _autoseg_plan(place, dataset, work)),
    )


def _prepared(place: Place, dataset: str, configuration: str) -> tuple[Preparation, Preparation]:
    """Return what prepares a dataset's cases, by nnU-Net and by autoseg."""
    work = place.autoseg(dataset)
    theirs = command_line(
        f"{ENTRY_POINTS}:preprocess_entry",
        *_numbered(dataset),
        *("-c", configuration, "-np", place.cores),
    )
    ours = command_line(
        AUTOSEG,
        *("preprocess", place.raw(dataset), "--work", work),
        *("--configuration", configuration, "--workers", place.cores),
    )
    return (
        Preparation(_preprocessed(place, dataset) / f"nnUNetPlans_{configuration}", theirs),
        Preparation(work / "preprocessed" / configuration, ours),
    )


def _nnunet_fingerprint(place: Place, dataset: str) -> Command:
    """Return the command that reads all cases again, whatever is known of them."""
    entry = f"{ENTRY_POINTS}:extract_fingerprint_entry"
    return command_line(entry, *_numbered(dataset), "--clean", "-np", place.cores)


def _nnunet_plan(dataset: str) -> Command:
    return command_line(f"{ENTRY_POINTS}:plan_experiment_entry", *_numbered(dataset))


def _autoseg_plan(place: Place, dataset: str, work: Path) -> Command:
    folder = place.raw(dataset)
    return command_line(AUTOSEG, "plan", folder, "--work", work, "--workers", place.cores)


def _preprocessed(place: Place, dataset: str) -> Path:
    return place.nnunet / "preprocessed" / dataset


def _numbered(dataset: str) -> tuple[str, str]:
    """Return the option that names a dataset: nnU-Net wants its number."""
    return ("-d", str(int(dataset[len("Dataset") : len("Dataset000")])))


ROWS: dict[str, Callable[[Place], tuple[Row, ...]]] = {
    "start": start,
    "fingerprint": fingerprint,
    "preprocess-hippocampus": preprocess_hippocampus,
    "preprocess-ct": preprocess_ct,
    "resampling": resampling,
    "step": step,
    "predict-network": predict_network,
    "export": export,
    "export-noise": export_noise,
    "evaluation": evaluation,
}
"""By the name on the command line."""
