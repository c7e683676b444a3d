"""The viewer's server: who may ask, and whether the served files equal those on disk."""

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image
from synthetic import write_picture, write_volume

from autoseg.core.errors import AutosegError, MissingPackage
from autoseg.core.labels import LabelScheme
from autoseg.viewing.cases import LabelFile, ViewerCase, Viewing
from autoseg.viewing.loading import thinning
from autoseg.viewing.responses import PAGE_FILES
from autoseg.viewing.server import HOST, TOKEN_HEADER, create_app, open_socket

testclient = pytest.importorskip("starlette.testclient")

TOKEN = "secret"
LABELS = LabelScheme(names=("nothing", "liver", "tumour"), values=(5, 9, 2), ignore=7)
STORED = np.array([[0, 0, 1], [0, -1, 0], [-1, 0, 0]], float)  # axes of an oblique file order

Client = Callable[..., "testclient.TestClient"]


def client(
    *cases: ViewerCase, max_voxels: int = 10**6, host: str = HOST, **about: object
) -> Client:
    app = create_app(Viewing("title", cases, **about), TOKEN, max_voxels)
    return testclient.TestClient(app, base_url=f"http://{host}:8000", headers={TOKEN_HEADER: TOKEN})


def volume(folder: Path, *, name: str = "a.nii.gz", values: np.ndarray | None = None) -> Path:
    if values is None:
        values = np.random.default_rng(0).integers(-900, 900, (5, 7, 6)).astype(np.int16)
    write_volume(
        values, folder / name, spacing=(3.0, 1.0, 2.0), origin=(4.0, -5.0, 6.5), direction=STORED
    )
    return folder / name


def served(response, folder: Path) -> SimpleITK.Image:
    """Return a served NIfTI file as SimpleITK reads it."""
    assert response.status_code == 200
    path = folder / "served.nii.gz"
    path.write_bytes(response.content)
    return SimpleITK.ReadImage(str(path))


def pixels(response) -> np.ndarray:
    assert response.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(response.content)))


def test_a_request_without_the_token_is_refused() -> None:
    asking = client()
    asking.headers.pop(TOKEN_HEADER)
    for path in ("/", "/viewer.js", "/cases", "/nothing", "/?token=", "/?token=secre"):
        assert asking.get(path).status_code == 403
    assert asking.get("/cases?token=secret").status_code == 200


def test_the_page_sets_a_cookie_that_counts_as_the_token() -> None:
    asking = client()
    asking.headers.pop(TOKEN_HEADER)
    cookie = asking.get("/?token=secret").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert asking.get("/cases").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example"])
def test_a_page_of_another_name_is_refused(host: str) -> None:
    assert client(host=host).get("/cases").status_code == 400


def test_only_the_files_of_the_page_are_served() -> None:
    asking = client()
    for name, kind in PAGE_FILES.items():
        found = asking.get(f"/{name}")
        assert found.status_code == 200
        assert found.headers["content-type"].startswith(kind)
    for path in ("/server.py", "/..%2Fserver.py", "/static/viewer.js", "/niivue.LICENSES.txt"):
        assert asking.get(path).status_code == 404


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_stored() -> None:
    found = client().get("/").headers
    assert "default-src 'none'" in found["content-security-policy"]
    assert "http" not in found["content-security-policy"]
    assert found["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        *("cases/1", "cases/-1", "cases/x", "cases/0/image/1.nii.gz", "cases/0/image/x.nii.gz"),
        *("cases/0/image/0.png", "cases/0/layers/0.nii.gz", "cases/1/layers/0.png"),
        *("cases/0/image/-1.nii.gz", "cases/0/image/².nii.gz", "cases/1/image/0.nii.gz"),
    ],
)
def test_what_is_not_listed_is_not_found(path: str, tmp_path: Path) -> None:
    assert client(ViewerCase("a", (volume(tmp_path),))).get(f"/{path}").status_code == 404


def test_a_served_volume_equals_the_file_with_the_same_geometry(tmp_path: Path) -> None:
    path = volume(tmp_path)
    found = client(ViewerCase("a", (path,))).get("/cases/0/image/0.nii.gz")
    assert found.headers["content-type"] == "application/gzip"
    image, expected = served(found, tmp_path), SimpleITK.ReadImage(str(path))
    assert image.GetPixelID() == expected.GetPixelID()
    assert np.array_equal(*map(SimpleITK.GetArrayFromImage, (image, expected)))
    for one in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(image, one)(), getattr(expected, one)(), atol=1e-5)


def test_labels_are_served_as_class_indices_on_the_grid_of_the_image(tmp_path: Path) -> None:
    values = np.random.default_rng(1).choice([5, 9, 2, 7], (5, 7, 6)).astype(np.uint8)
    reference = volume(tmp_path, name="labels.nii.gz", values=values)
    flipped = SimpleITK.Flip(SimpleITK.ReadImage(str(reference)), (True, False, True))
    SimpleITK.WriteImage(flipped, str(tmp_path / "other.nii.gz"))
    case = ViewerCase(
        "a", (volume(tmp_path),), reference, (LabelFile("net", tmp_path / "other.nii.gz"),)
    )
    asking = client(case, labels=LABELS)
    about = asking.get("/cases/0").json()
    assert [shown["name"] for shown in about["classes"]] == ["liver", "tumour", "not annotated"]
    assert [shown["ignored"] for shown in about["classes"]] == [False, False, True]
    assert [layer["name"] for layer in about["layers"]] == ["reference", "net"]
    expected = np.select([values == 9, values == 2, values == 7], [1, 2, 3], 0)
    for number in (0, 1):  # the same label map in another axis order
        image = served(asking.get(f"/cases/0/layers/{number}.nii.gz"), tmp_path)
        assert np.array_equal(SimpleITK.GetArrayFromImage(image), expected)


def test_a_large_volume_is_thinned_with_a_note_and_labels_stay_on_it(tmp_path: Path) -> None:
    values = np.arange(4 * 8 * 6, dtype=np.uint16).reshape(4, 8, 6)
    paths = [volume(tmp_path, name=f"{name}.nii.gz", values=values) for name in "ab"]
    asking = client(ViewerCase("a", (paths[0],), paths[1]), max_voxels=100)
    about = asking.get("/cases/0").json()
    assert about["shape"] == [4, 4, 6]  # spacing 3 × 1 × 2 mm becomes 3 × 2 × 2 mm
    assert "from 4 × 8 × 6 to 4 × 4 × 6 voxels" in about["notes"][0]
    image = served(asking.get("/cases/0/image/0.nii.gz"), tmp_path)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), values[:, ::2])
    assert image.GetSpacing() == (2, 2, 3)
    labels = served(asking.get("/cases/0/layers/0.nii.gz"), tmp_path)
    assert np.array_equal(
        SimpleITK.GetArrayFromImage(labels), np.unique(values[:, ::2], return_inverse=True)[1]
    )


@pytest.mark.parametrize(
    ("shape", "steps"),
    [
        *(((30, 4097, 10), (1, 4, 1)), ((4097, 20), (1, 1)), ((20, 16385), (1, 2))),
        *(((800, 512, 512), (1, 2, 2)), ((1, 1, 1), (1, 1, 1))),
    ],
)
def test_long_axes_are_thinned_and_others_by_their_spacing(shape, steps) -> None:
    assert thinning(shape, (1.0, 0.8, 0.8)[-len(shape) :], 2**26) == steps


def test_channels_of_volumes_are_served_one_by_one_with_their_names(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=(2, 5, 7, 6)).astype(np.float32)
    paths = tuple(
        volume(tmp_path, name=f"{at}.nii.gz", values=channel) for at, channel in enumerate(values)
    )
    asking = client(ViewerCase("a", paths), channel_names=("T1", "T2"))
    about = asking.get("/cases/0").json()["channels"]
    assert [channel["name"] for channel in about] == ["T1", "T2"]
    low, high = about[0]["window"]
    assert np.percentile(np.sort(values[0], None)[1:], [1, 99]) == pytest.approx([low, high])
    for at in (0, 1):
        image = served(asking.get(f"/cases/0/image/{at}.nii.gz"), tmp_path)
        assert np.array_equal(SimpleITK.GetArrayFromImage(image), values[at])


def test_a_colour_picture_is_served_as_it_is_and_by_channel(tmp_path: Path) -> None:
    colours = np.random.default_rng(3).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    write_picture(colours, tmp_path / "a.png")
    asking = client(ViewerCase("a", (tmp_path / "a.png",)))
    assert asking.get("/cases/0").json()["colours"] == [0, 255]
    assert np.array_equal(pixels(asking.get("/cases/0/image/colours.png")), colours)
    assert np.array_equal(pixels(asking.get("/cases/0/image/1.png")), colours[..., 1])


def test_a_picture_of_16_bits_is_drawn_in_the_window_of_the_request(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 63).astype(np.uint16).reshape(9, 7)
    write_picture(values, tmp_path / "a.tif")
    asking = client(ViewerCase("a", (tmp_path / "a.tif",)))
    drawn = pixels(asking.get("/cases/0/image/0.png?low=0&high=255"))
    assert np.array_equal(drawn, np.minimum(values, 255))
    default = pixels(asking.get("/cases/0/image/0.png"))
    assert (default.min(), default.max()) == (0, 255)
    for wrong in ("low=9&high=1", "low=x&high=1", "low=0&high=inf", "low=1"):
        assert np.array_equal(pixels(asking.get(f"/cases/0/image/0.png?{wrong}")), default)


def test_object_numbers_of_16_bits_keep_their_order_in_a_picture(tmp_path: Path) -> None:
    objects = np.arange(9 * 70, dtype=np.uint16).reshape(9, 70) * 3
    write_picture(objects, tmp_path / "a.png")
    asking = client(ViewerCase("a", (tmp_path / "a.png",), tmp_path / "a.png"))
    assert asking.get("/cases/0").json()["classes"][-1]["name"] == "label_1887"
    drawn = pixels(asking.get("/cases/0/layers/0.png")).astype(int)
    assert np.array_equal(drawn[..., 0] + 256 * drawn[..., 1], objects // 3)


def test_a_broken_file_is_a_sentence_and_other_cases_are_shown(tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(gzip.compress(b"no image"))
    asking = client(ViewerCase("b", (broken,)), ViewerCase("a", (volume(tmp_path),), broken))
    about = asking.get("/cases/0").json()
    assert "broken.nii.gz cannot be read" in about["issue"]
    assert asking.get("/cases/0/image/0.nii.gz").status_code == 404
    about = asking.get("/cases/1").json()
    assert "broken.nii.gz cannot be read" in about["layers"][0]["issue"]
    assert about["notes"] == [f"reference: {about['layers'][0]['issue']}"]
    assert asking.get("/cases/1/layers/0.nii.gz").status_code == 404
    assert asking.get("/cases/1/image/0.nii.gz").status_code == 200


def test_labels_on_another_grid_or_of_other_classes_are_not_drawn(tmp_path: Path) -> None:
    image = volume(tmp_path)
    small = volume(tmp_path, name="small.nii.gz", values=np.zeros((5, 7, 5), np.uint8))
    write_volume(np.zeros((5, 7, 6), np.uint8), tmp_path / "moved.nii.gz", spacing=(3.0, 1.0, 2.0))
    other = volume(tmp_path, name="other.nii.gz", values=np.full((5, 7, 6), 3, np.uint8))
    files = tuple(LabelFile(path.stem, path) for path in (small, tmp_path / "moved.nii.gz", other))
    about = client(ViewerCase("a", (image,), None, files), labels=LABELS).get("/cases/0").json()
    shape, geometry, values = (layer["issue"] for layer in about["layers"])
    assert "small.nii.gz is not on the grid of the image: shape" in shape
    assert "moved.nii.gz is not on the grid of the image: " in geometry
    assert "found label values [3], expected only [5, 9, 2, 7]" in values


def test_a_missing_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingPackage, match=r'pip install "autoseg\[view\]"'):
        client()


def test_a_port_in_use_is_refused_with_a_sentence() -> None:
    with open_socket(None) as listening:
        assert listening.getsockname()[0] == HOST
        port = listening.getsockname()[1]
        with pytest.raises(AutosegError, match=f"^port {port} cannot be used: .*--port"):
            open_socket(port)
