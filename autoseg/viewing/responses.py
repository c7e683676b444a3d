"""Answers of the viewer's server: the cases as JSON, their images as NIfTI or PNG."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.resources import files
from math import isfinite
from threading import Lock
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from autoseg.core.errors import AutosegError, case_error_message
from autoseg.core.formatting import format_shape
from autoseg.viewing.cases import ViewerCase, Viewing
from autoseg.viewing.encoding import index_picture, nifti, picture
from autoseg.viewing.loading import LoadedCase, load_case

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PAGE_FILES = {
    "": "text/html",
    "viewer.css": "text/css",
    "viewer.js": "text/javascript",
    "compose.js": "text/javascript",
    "picture.js": "text/javascript",
    "volume.js": "text/javascript",
    "niivue.umd.js": "text/javascript",
}
"""Files of the page and their types; the empty name is that of the page itself."""

MOST_LOADED = 2
"""Number of cases in memory."""

FAILURES = (AutosegError, OSError, MemoryError)
"""Errors of one case, which do not concern the others."""

Answer = Callable[[NDArray[Any], LoadedCase], "Response"]


class Responses:
    """Answers to requests.

    The last cases are kept in memory; one is loaded at a time.
    """

    def __init__(self, viewing: Viewing, max_voxels: int) -> None:
        self._viewing, self._lock = viewing, Lock()
        self._load = lru_cache(MOST_LOADED)(
            lambda number: load_case(viewing.cases[number], viewing, max_voxels)
        )

    """Answers to requests."""

    def page_file(self, request: "Request") -> "Response":
        """Return a file of the page."""
        name = request.path_params.get("name", "")
        if name not in PAGE_FILES:
            return _not_found()
        path = files("autoseg.viewing") / "static" / (name or "index.html")
        return _file(path.read_bytes(), PAGE_FILES[name])

    def cases(self, request: "Request") -> "Response":
        """Return the list of cases."""
        del request
        cases = [{"name": case.name, "dice": case.dice} for case in self._viewing.cases]
        return _json({"title": self._viewing.title, "start": self._viewing.start, "cases": cases})

    def case(self, request: "Request") -> "Response":
        """Describe a case: its image, label maps and classes, or why it cannot be shown."""
        case = self._case(request)
        if case is None:
            return _not_found()
        try:
            loaded = self._loaded(request.path_params["number"])
        except FAILURES as error:
            return _json({"name": case.name, "issue": case_error_message(error)})
        return _json(self._description(case, loaded))

    def _description(self, case: ViewerCase, loaded: LoadedCase) -> dict[str, Any]:
        known = self._viewing.channel_names
        count = len(loaded.voxels)
        names = known if len(known) == count else [f"channel {at + 1}" for at in range(count)]
        windows = [loaded.window(channel) for channel in range(count)]
        return {
            "name": case.name,
            "shape": loaded.shape,
            "spacing": loaded.geometry.spacing,
            "channels": [
                {"name": name, "window": window}
                for name, window in zip(names, windows, strict=True)
            ],
            "colours": _joint(windows) if loaded.has_colours else None,
            "layers": [
                {"name": layer.name, "reference": layer.is_reference, "issue": layer.issue}
                for layer in loaded.layers
            ],
            "classes": [
                asdict(shown) | {"dice": case.class_dice.get(shown.name)}
                for shown in loaded.classes
            ],
            "notes": _notes(case, loaded),
        }

    def volume(self, request: "Request") -> "Response":
        """Return a channel of a volume."""
        loaded, channel = self._shown(request), request.path_params["channel"]
        if loaded is None or len(loaded.shape) != 3 or not _is_channel(channel, loaded):
            return _not_found()
        number = int(channel)
        return _file(
            nifti(loaded.voxels[number], loaded.geometry, loaded.window(number)),
            "application/gzip",
        )

    def picture(self, request: "Request") -> "Response":
        """Return a channel of a picture, or its colours."""
        loaded, channel = self._shown(request), request.path_params["channel"]
        if loaded is None or len(loaded.shape) != 2:
            return _not_found()
        if channel == "colours" and loaded.has_colours:
            voxels, window = loaded.voxels[:3], _joint([loaded.window(at) for at in range(3)])
        elif _is_channel(channel, loaded):
            voxels, window = loaded.voxels[[int(channel)]], loaded.window(int(channel))
        else:
            return _not_found()
        return _file(picture(voxels, _window(request.query_params, window)), "image/png")

    def layer_volume(self, request: "Request") -> "Response":
        """Return the class indices of a label map of a volume."""
        return self._layer(
            request,
            3,
            lambda indices, loaded: _file(
                nifti(indices, loaded.geometry, (0.0, float(max(1, len(loaded.classes))))),
                "application/gzip",
            ),
        )

    def layer_picture(self, request: "Request") -> "Response":
        """Return the class indices of a label map of a picture."""
        return self._layer(
            request, 2, lambda indices, _: _file(index_picture(indices), "image/png")
        )

    def _layer(self, request: "Request", axes: int, answer: Answer) -> "Response":
        loaded, number = self._shown(request), request.path_params["layer"]
        if loaded is None or len(loaded.shape) != axes or number >= len(loaded.layers):
            return _not_found()
        indices = loaded.layers[number].indices
        return _not_found() if indices is None else answer(indices, loaded)

    def _case(self, request: "Request") -> ViewerCase | None:
        number = request.path_params["number"]
        cases = self._viewing.cases
        return cases[number] if number < len(cases) else None

    def _shown(self, request: "Request") -> LoadedCase | None:
        """Return the case of a request; None if there is none, or it cannot be shown."""
        if self._case(request) is None:
            return None
        try:
            return self._loaded(request.path_params["number"])
        except FAILURES:
            return None

    def _loaded(self, number: int) -> LoadedCase:
        with self._lock:
            return self._load(number)


def _notes(case: ViewerCase, loaded: LoadedCase) -> list[str]:
    """Return sentences about a case for the page."""
    notes = [case.issue] if case.issue else []
    notes += [f"{layer.name}: {layer.issue}" for layer in loaded.layers if layer.issue]
    if loaded.shape != loaded.full_shape:
        notes.append(
            f"Reduced from {format_shape(loaded.full_shape)} to {format_shape(loaded.shape)} "
            "voxels by leaving voxels out, because of --max-voxels or a long axis."
        )
    return notes


def _joint(windows: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return one window of red, green and blue, which keeps their proportions."""
    return min(low for low, _ in windows[:3]), max(high for _, high in windows[:3])


def _window(given: Mapping[str, str], default: tuple[float, float]) -> tuple[float, float]:
    """Return the window that a request states, or the default if it is missing or not valid."""
    try:
        low, high = float(given["low"]), float(given["high"])
    except (KeyError, ValueError):
        return default
    return (low, high) if isfinite(low) and isfinite(high) and low < high else default


def _is_channel(text: str, loaded: LoadedCase) -> bool:
    return text.isascii() and text.isdigit() and int(text) < len(loaded.voxels)


def _file(content: bytes, kind: str) -> "Response":
    from starlette.responses import Response

    return Response(content, media_type=kind)


def _json(content: dict[str, Any]) -> "Response":
    from starlette.responses import JSONResponse

    return JSONResponse(content)


def _not_found() -> "Response":
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("The viewer has no such file.\n", status_code=404)
