"""The viewer's page in Chromium without a window: what is drawn, keys and switches."""

import io
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image
from synthetic import write_picture, write_volume

from autoseg.core.labels import LabelScheme
from autoseg.stages.view import image_cases
from autoseg.viewing.cases import Viewing
from autoseg.viewing.server import HOST, create_app, open_socket

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
uvicorn = pytest.importorskip("uvicorn")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
ARGUMENTS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Arguments of Chromium; without a GPU, it draws WebGL on the CPU."""

LABELS = LabelScheme(names=("background", "bright", "dim"), values=(0, 1, 2))
WAIT_MS = 60_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


class Tab:
    """A page of the viewer, what it requested, and what it reported."""

    def __init__(self, page: "playwright.Page", address: str) -> None:
        self.page, self.address = page, address
        self.requests: list[str] = []
        self.reports: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda line: self.reports.append(f"{line.type}: {line.text}"))
        page.on("pageerror", lambda error: self.reports.append(str(error)))

    def ready(self) -> None:
        self.page.wait_for_selector("body[data-ready=yes]", timeout=WAIT_MS)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.ready()

    def drawn(self) -> np.ndarray:
        """Return the pixels of the canvas, once they no longer change."""
        canvas = self.page.locator("#stage canvas:visible")
        before = np.zeros(0)
        while True:
            self.page.wait_for_timeout(100)
            now = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB"))
            if np.array_equal(now, before):
                return now.astype(int)
            before = now

    def text(self, element: str) -> str:
        return self.page.locator(element).inner_text()


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@pytest.fixture
def opened(browser: "playwright.Browser") -> Iterator[Callable[..., Tab]]:
    """Return a function that serves cases and opens their page.

    At the end, the page must have reported nothing, and all requests must have stayed here.
    """
    servers, tabs = [], []

    def start(viewing: Viewing, **context: object) -> Tab:
        listening = open_socket(None)
        config = uvicorn.Config(create_app(viewing, "token", 10**6), log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        servers.append((server, thread))
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        page = browser.new_page(viewport={"width": 1280, "height": 800}, **context)
        tabs.append(Tab(page, address))
        page.goto(f"{address}?token=token")
        tabs[-1].ready()
        return tabs[-1]

    yield start
    for tab in tabs:
        tab.page.close()
        assert tab.reports == []
        assert [
            url for url in tab.requests if not url.startswith((tab.address, "data:", "blob:"))
        ] == []
    for server, thread in servers:
        server.should_exit = True
        thread.join()


@pytest.fixture
def volumes(volumes_dataset: Path, tmp_path: Path) -> Viewing:
    """Return volumes with predictions that are moved by one voxel."""
    for path in sorted((volumes_dataset / "labelsTr").iterdir()):
        values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        moved = np.roll(values, 2, axis=2)
        write_volume(moved, tmp_path / "moved" / path.name, spacing=(2.0, 1.0, 1.0))
    return image_cases(
        volumes_dataset / "imagesTr",
        volumes_dataset / "labelsTr",
        (tmp_path / "moved",),
        labels=LABELS,
    )


@pytest.fixture
def pictures(pictures_dataset: Path) -> Viewing:
    return image_cases(pictures_dataset / "images", pictures_dataset / "labels")


def colourful(pixels: np.ndarray) -> int:
    """Count the pixels that are not grey."""
    return int(np.count_nonzero(np.ptp(pixels, axis=-1) > 40))


def test_a_volume_is_drawn_and_slices_move_with_the_arrows(opened, volumes) -> None:
    tab = opened(volumes)
    first = tab.drawn()
    assert first.std() > 10
    assert colourful(first) > 500
    position = tab.text("#position")
    tab.press("ArrowUp")
    assert tab.text("#position") != position
    assert not np.array_equal(tab.drawn(), first)
    tab.press("ArrowDown")
    assert tab.text("#position") == position
    tab.press("ArrowLeft", "Shift+ArrowUp")
    moved = tab.text("#position").split(" · ")
    assert [now == was for now, was in zip(moved, position.split(" · "), strict=True)] == [
        *(True, False, False)
    ]


def test_keys_and_boxes_switch_classes_and_label_maps(opened, volumes) -> None:
    tab = opened(volumes)
    both = tab.drawn()
    tab.press("o")
    plain = tab.drawn()
    tab.press("o", "1")
    one = tab.drawn()
    assert colourful(plain) < colourful(one) < colourful(both)
    tab.page.get_by_label("dim").click()
    assert np.array_equal(tab.drawn(), plain)
    tab.press("0")
    assert np.array_equal(tab.drawn(), both)
    tab.press("m")
    reference = tab.drawn()
    assert not np.array_equal(reference, both)
    tab.press("r", "m")
    prediction = tab.drawn()
    assert not np.array_equal(prediction, reference)
    tab.press("d")
    assert "missed" in tab.text("#legend")
    assert not np.array_equal(tab.drawn(), prediction)
    tab.press("o")
    assert np.array_equal(tab.drawn(), plain)


def test_next_and_previous_case_and_all_views_are_drawn(opened, volumes) -> None:
    tab = opened(volumes)
    first = tab.drawn()
    for key in "nnnpp":  # faster than the cases are loaded
        tab.page.keyboard.press(key)
    tab.ready()
    assert tab.page.locator("#case").input_value() == "1"
    assert not np.array_equal(tab.drawn(), first)
    tab.page.get_by_role("button", name="Previous").click()
    tab.ready()
    assert np.array_equal(tab.drawn(), first)
    assert tab.page.get_by_role("button", name="Previous").is_disabled()
    shown = [first]
    for _ in range(4):
        tab.press("v")
        shown.append(tab.drawn())
        assert shown[-1].std() > 10
        assert not np.array_equal(shown[-1], shown[-2])
    tab.press("v", "f")
    assert tab.page.locator("#view").input_value() == "3"


def test_the_window_of_a_volume_changes_its_brightness(opened, volumes) -> None:
    tab = opened(volumes)
    before = tab.drawn()
    tab.page.get_by_label("White").fill("1000")
    tab.page.get_by_label("White").press("Tab")
    assert tab.drawn().mean() < before.mean() - 5


def test_a_picture_is_zoomed_moved_and_switched(opened, pictures) -> None:
    tab = opened(pictures)
    first = tab.drawn()
    assert first.std() > 10
    tab.press("+")
    assert not np.array_equal(tab.drawn(), first)
    tab.press("f")
    assert np.array_equal(tab.drawn(), first)
    tab.press("ArrowLeft")
    moved = tab.drawn()
    assert np.array_equal(moved[:, 40:], first[:, :-40])
    tab.page.mouse.move(500, 400)
    tab.page.mouse.wheel(0, -100)
    assert not np.array_equal(tab.drawn(), moved)
    tab.press("f", "1")
    plain = tab.drawn()
    assert not np.array_equal(plain, first)
    tab.press("1", "c")  # the channel of red
    assert not np.array_equal(tab.drawn(), first)
    tab.press("n")
    assert "pixels" in tab.text("#position")


def test_a_picture_shows_the_pixels_and_colours_of_its_files(opened, tmp_path: Path) -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 2] = (10, 200, 30)
    write_picture(image, tmp_path / "images" / "a.png")
    write_picture(np.array([[1, 0, 0], [0, 0, 0]], np.uint8), tmp_path / "labels" / "a.png")
    tab = opened(image_cases(tmp_path / "images", tmp_path / "labels"))
    tab.press("]", "]", "]", "]", "]")  # opaque
    pixels = tab.drawn()
    height, width = pixels.shape[:2]
    size = min(height // 2, width // 3)
    centres = [
        pixels[height // 2 + round((row - 0.5) * size), width // 2 + (column - 1) * size].tolist()
        for row in (0, 1)
        for column in (0, 1, 2)
    ]
    black = [0, 0, 0]
    assert centres == [[0xEE, 0x77, 0x33], black, [10, 200, 30], black, black, black]


def test_a_broken_case_is_a_sentence_and_the_next_one_is_drawn(opened, tmp_path: Path) -> None:
    write_picture(np.eye(20, dtype=np.uint8) * 255, tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(b"no picture")
    tab = opened(image_cases(tmp_path))
    assert "a.png cannot be read" in tab.text("#notes")
    assert tab.page.get_by_label("Opacity").is_disabled()
    tab.press("n")
    assert tab.page.get_by_label("Opacity").is_enabled()
    assert tab.text("#notes") == ""
    assert tab.drawn().std() > 10


def test_the_page_is_dark_where_the_system_is_and_shows_the_focus(opened, pictures) -> None:
    def grounds(scheme: str) -> tuple[str, str]:
        tab = opened(pictures, color_scheme=scheme)
        tab.page.keyboard.press("Tab")
        style = "element => getComputedStyle(element)"
        return (
            tab.page.locator("aside").evaluate(f"{style}.backgroundColor"),
            tab.page.locator(":focus").evaluate(f"{style}.outlineStyle"),
        )

    assert grounds("light") == ("rgb(255, 255, 255)", "solid")
    assert grounds("dark") == ("rgb(30, 34, 39)", "solid")


def test_the_page_fits_a_small_laptop(opened, volumes) -> None:
    tab = opened(volumes)
    for width, height in ((1280, 800), (1024, 600)):
        tab.page.set_viewport_size({"width": width, "height": height})
        root = tab.page.locator("html")
        assert root.evaluate("page => [page.scrollWidth, page.scrollHeight]") == [width, height]
        for name in ("Opacity", "Channel", "Black", "View"):
            assert tab.page.get_by_label(name, exact=False).first.is_visible()
