"""What holds for every request: identity, token, size, log and headers."""

import re
import secrets
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from autoseg.serving.metrics import Metrics
from autoseg.serving.settings import MEGABYTE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/", "/openapi.json", "/health", "/health/ready")
"""Paths without a token: they hold nothing of a user."""

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

HEADERS = {
    b"content-security-policy": b"default-src 'none'; style-src 'unsafe-inline'; "
    b"frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
"""Headers of all answers: browsers keep and load nothing."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Gate:
    """Refuses requests without the token and too large ones; logs and counts all."""

    def __init__(
        self,
        app: "ASGIApp",
        token: str,
        most_bytes: int,
        metrics: Metrics,
        log: Callable[[str], None],
    ) -> None:
        """Wrap an application.

        Args:
            app: The application.
            token: The token.
            most_bytes: Greatest size of a request.
            metrics: Counts requests.
            log: Receives a line for each request: no names of files, and no addresses.
        """
        self._app, self._token, self._most = app, token, most_bytes
        self._metrics, self._log = metrics, log

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        identity = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        started, status = monotonic(), 500

        async def send_marked(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [*HEADERS.items(), (b"x-request-id", identity.encode())]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        try:
            refusal = self._refusal(scope["path"], headers)
            if refusal is None:
                await self._app(scope, self._limited(receive), send_marked)
            else:
                await refusal(scope, receive, send_marked)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.count_request(method, route, status)
            if route not in OPEN_PATHS:
                seconds = monotonic() - started
                self._log(f"{identity} {method} {route} {status} {seconds:.3f} s")

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> Any:  # noqa: ANN401  (an answer)
        from starlette.responses import JSONResponse

        if path not in OPEN_PATHS and not self._is_allowed(headers):
            detail = "expected the token of the server: Authorization: Bearer TOKEN."
            headers_of_answer = {"www-authenticate": "Bearer"}
            return JSONResponse({"detail": detail}, 401, headers_of_answer)
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            return JSONResponse({"detail": _too_large(self._most)}, 413, {"connection": "close"})
        return None

    def _is_allowed(self, headers: dict[bytes, bytes]) -> bool:
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        return kind.lower() == b"bearer" and secrets.compare_digest(
            given.strip(), self._token.encode()
        )

    def _limited(self, receive: "Receive") -> "Receive":
        """Return a function that receives a request up to the greatest size."""
        size = 0

        async def limited() -> "Message":
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._most:
                from starlette.exceptions import HTTPException

                raise HTTPException(413, _too_large(self._most), {"connection": "close"})
            return message

        return limited


def _too_large(most: int) -> str:
    return (
        f"the request is larger than {most / MEGABYTE:g} MB. Send a smaller image, or raise "
        "--max-upload-mb."
    )
