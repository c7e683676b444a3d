"""Reports of what commands leave: planned, trained, selected, exported, evaluated."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.compute import Compute
from autoseg.core.errors import AutosegError
from autoseg.core.progress import Silent
from autoseg.datasets.loading import load_case
from autoseg.documents import store
from autoseg.documents.ranking import Ranking
from autoseg.documents.splits import Fold, Splits
from autoseg.documents.workspace import Workspace
from autoseg.stages.report import drawing
from autoseg.stages.report.report import ReportOptions, report_work, write_report
from autoseg.stages.select.select import select
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest
from autoseg.stages.train.train import train

NAMES = tuple(f"ball_{index:02d}" for index in range(6))


class Listening(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)


@pytest.fixture(scope="module")
def selected(planned_volumes: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a work folder with both of two folds trained, and a selected model."""
    root = tmp_path_factory.mktemp("report") / "work"
    workspace = Workspace(shutil.copytree(planned_volumes.root, root))
    folds = (
        Fold(train=NAMES[:3], validation=NAMES[3:]),
        Fold(train=NAMES[3:], validation=NAMES[:3]),
    )
    store.save(Splits(seed=0, reason="halves", folds=folds), workspace.splits)
    for fold in (0, 1):
        length = TrainingDuration(iterations=40)
        compute = Compute(device="cpu", workers=0)
        train(workspace, TrainRequest(fold=fold, length=length, compute=compute), progress=Silent())
    select(workspace, workers=1, progress=Silent())
    return workspace


def blocks_of(path: Path) -> dict[str, dict]:
    """Return the tables, charts and slices of a page by their titles."""
    found = re.findall(
        r'<script type="application/json"[^>]*>(.*?)</script>',
        path.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    return {block["title"]: block for block in map(json.loads, found)}


def sections_of(path: Path) -> list[str]:
    return re.findall(r'<section id="(\w+)"', path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(selected: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    report_work(selected, path, ReportOptions(), Silent())
    return path


def test_a_report_of_a_selected_model_has_all_sections(page):
    assert sections_of(page) == ["data", "plan", "training", "scores", "labels"]


def test_its_tables_have_every_case(page):
    blocks = blocks_of(page)
    for title in ("Cases", "Scores of cases"):
        assert {row[0] for row in blocks[title]["rows"]} == set(NAMES)
    dice = [row[2] for row in blocks["Scores of cases"]["rows"]]
    assert dice == sorted(dice)


def test_its_curves_are_those_of_both_folds(page):
    series = blocks_of(page)["Pseudo-Dice"]["option"]["series"]
    assert len(series) == 2
    assert all(len(line["data"]) >= 1 for line in series)


def test_its_slices_have_image_reference_prediction_and_distance(page):
    slices = blocks_of(page)["Slices"]
    assert {case["name"] for case in slices["cases"]} == set(NAMES)
    assert {"reference", "prediction"} <= set(slices["cases"][0]["layers"])
    assert len(slices["class_names"]) == len(slices["colours"]) == 2


def test_rows_of_the_confusion_add_up_to_one(page):
    (series,) = blocks_of(page)["Confusion between classes"]["option"]["series"]
    for row in range(3):
        shares = [share for _, place, share in series["data"] if place == row]
        assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_the_command_reports_on_work_folders_model_files_and_evaluations(
    selected: Workspace, tmp_path: Path
) -> None:
    def sections(source: Path) -> list[str]:
        path = tmp_path / "report.html"
        path.unlink(missing_ok=True)
        words = ["report", str(source), "-o", str(path), "--workers", "1", "--cases", "2"]
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0
        assert str(path) in done.output.replace("\n", "")
        return sections_of(path)

    everything = ["data", "plan", "training", "scores", "labels"]
    assert sections(selected.root) == everything
    validation = next(selected.models.glob("*/fold_0/validation"))
    assert sections(validation) == ["scores"]
    model = tmp_path / "model.autoseg"
    words = ["export", str(selected.root), str(model)]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert sections(model) == everything[:4]


def test_a_folder_that_is_not_planned_is_refused(tmp_path):
    error = CliRunner().invoke(app, ["report", str(tmp_path)]).exception
    assert isinstance(error, AutosegError)
    assert "autoseg plan" in str(error)


def test_no_case_is_read_after_the_time_is_over(planned_volumes, tmp_path):
    path = tmp_path / "report.html"
    report_work(planned_volumes, path, ReportOptions(most_seconds=0.0), Silent())
    assert sections_of(path) == ["data", "plan"]
    assert "Contact sheet" not in path.read_text()


def test_a_report_that_fails_is_a_warning(volumes_work):
    volumes_work.fingerprint.write_text("{")
    progress = Listening()
    write_report(volumes_work, ReportOptions(), progress)
    assert progress.said[-1].startswith("warning: the report could not be written")
    assert not (volumes_work.root / "report.html").exists()


def test_a_case_that_cannot_be_read_is_named(selected, tmp_path, monkeypatch):
    def load(files, labels):
        if files.name == NAMES[0]:
            raise ValueError("the file is gone")
        return load_case(files, labels)

    monkeypatch.setattr(drawing, "load_case", load)
    path = tmp_path / "report.html"
    report_work(selected, path, ReportOptions(), Silent())
    assert f"{NAMES[0]}: " in path.read_text()


@pytest.mark.browser
def test_in_a_browser_tables_sort_slices_move_and_nothing_is_requested(page: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        problems: list[str] = []
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        requests: list[str] = []
        tab.goto(page.as_uri())
        tab.wait_for_function("document.querySelector('.panels canvas').width > 1")
        assert not [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]

        table = tab.locator(".block", has=tab.get_by_role("heading", name="Scores of cases"))
        table.get_by_role("button", name="case", exact=True).click()
        assert table.locator("tbody tr td").first.text_content() == NAMES[0]
        table.get_by_role("button", name="case ▲").click()
        assert table.locator("tbody tr td").first.text_content() == NAMES[-1]

        viewer = tab.locator(".block.slices").first
        picture = "canvas => canvas.toDataURL()"
        reference = viewer.locator("canvas").nth(1)
        before = reference.evaluate(picture)
        viewer.locator(".panels").focus()
        tab.keyboard.press("ArrowDown")
        moved = reference.evaluate(picture)
        assert moved != before
        for box in viewer.locator(".class-switch input[type=checkbox]").all()[:2]:
            box.uncheck()
        bare = reference.evaluate(picture)
        assert bare != moved
        assert bare == viewer.locator("canvas").nth(0).evaluate(picture)
        tab.keyboard.press("n")
        assert not problems
        browser.close()


def test_unlabelled_images_are_ranked_and_an_interrupted_ranking_resumes(
    selected: Workspace, volumes_dataset: Path, tmp_path: Path
) -> None:
    images, ranked = tmp_path / "images", tmp_path / "ranked"
    shutil.copytree(volumes_dataset / "imagesTr", images)
    (images / "broken.nii.gz").write_bytes(b"nothing")
    model = next(selected.models.iterdir())
    words = ["rank", str(images), str(ranked), "--model", str(model), "--device", "cpu"]
    done = CliRunner().invoke(app, [*words, "--workers", "1"])
    assert done.exit_code == 1, done.output  # one image is broken
    assert "broken" in done.output
    made = store.load(Ranking, ranked / Ranking.FILE_NAME)
    assert sorted(image.name for image in made.images) == list(NAMES)
    assert [image.rank for image in made.images] == list(range(1, 7))
    assert made.num_labelled == 6
    assert all(image.fold_disagreement is not None for image in made.images)
    rows = (ranked / Ranking.TABLE_NAME).read_text().splitlines()
    assert len(rows) == 7
    assert blocks_of(ranked / "ranking.html")["Images"]["rows"][0][1] == made.images[0].name

    kept = next(ranked.glob("predictions/fold_0/*.nii.gz"))
    consistency = ranked / "predictions" / "fold_1" / "consistency" / f"{NAMES[0]}.json"
    consistency.unlink()  # as if the command had been killed in between
    before = kept.stat().st_mtime_ns
    CliRunner().invoke(app, [*words, "--workers", "1"])
    assert kept.stat().st_mtime_ns == before
    assert consistency.is_file()
    assert store.load(Ranking, ranked / Ranking.FILE_NAME) == made
