"""Server of the viewer: the page, the list of cases, and their images as NIfTI or PNG.

It answers programs of this machine that know the token of the address. A case is requested by its
number, never by a path.
"""

import secrets
import socket
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from autoseg.core.errors import AutosegError, MissingPackage
from autoseg.viewing.cases import Viewing
from autoseg.viewing.responses import Responses

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send
    from uvicorn import Config

HOST = "127.0.0.1"
"""Address of this machine that other machines cannot reach."""

HOST_NAMES = ("127.0.0.1", "localhost")
"""Names of this machine that a request may have; a page of another name may be an attack (DNS
rebinding)."""

TOKEN_HEADER = "x-autoseg-token"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy: nothing is loaded from elsewhere. NiiVue has its font as data."""

HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
"""Headers of all responses. Images are not stored in the cache of the browser."""


def new_token() -> str:
    """Return a random token for an address."""
    return secrets.token_urlsafe(24)


def create_app(viewing: Viewing, token: str, max_voxels: int) -> "Starlette":
    """Create the application that serves the page.

    Args:
        viewing: The cases.
        token: Token that every request must have, as the parameter `token`, as a header or as the
            cookie that the page sets.
        max_voxels: Greatest number of voxels of a served channel.

    Raises:
        MissingPackage: If the extra `view` is not installed.
    """
    starlette = import_starlette()
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Route

    responses = Responses(viewing, max_voxels)
    case = "/cases/{number:int}"
    routes = [
        Route("/cases", responses.cases),
        Route(case, responses.case),
        Route(f"{case}/image/{{channel}}.nii.gz", responses.volume),
        Route(f"{case}/image/{{channel}}.png", responses.picture),
        Route(f"{case}/layers/{{layer:int}}.nii.gz", responses.layer_volume),
        Route(f"{case}/layers/{{layer:int}}.png", responses.layer_picture),
        Route("/{name}", responses.page_file),
        Route("/", responses.page_file),
    ]
    middleware = [
        Middleware(_WithHeaders),
        Middleware(TrustedHostMiddleware, allowed_hosts=list(HOST_NAMES), www_redirect=False),
        Middleware(_TokenRequired, token=token),
    ]
    app: Starlette = starlette.applications.Starlette(routes=routes, middleware=middleware)
    return app


def open_socket(port: int | None) -> socket.socket:
    """Listen on a port of this machine.

    Args:
        port: Number of the port; None for a free one.

    Raises:
        AutosegError: If the port is in use, or is not allowed.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port or 0))
    except OSError as error:
        listening.close()
        msg = (
            f"port {port} cannot be used: {error.strerror}. Choose another one with --port, or "
            "leave the option out."
        )
        raise AutosegError(msg) from error
    listening.listen()
    return listening


def server_config(app: "Starlette", stop_seconds: int) -> "Config":
    """Return the settings of a server that logs only errors.

    Args:
        app: Answers the requests.
        stop_seconds: Time that running requests get when the server stops.
    """
    import uvicorn

    return uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=stop_seconds,
    )


def serve(app: "Starlette", listening: socket.socket) -> None:
    """Serve the page until Ctrl-C or SIGTERM."""
    import uvicorn

    uvicorn.Server(server_config(app, stop_seconds=1)).run(sockets=[listening])


def import_starlette() -> Any:  # noqa: ANN401  (a module)
    """Import starlette.

    Raises:
        MissingPackage: If the extra `view` is not installed.
    """
    try:
        import starlette.applications
        import uvicorn  # noqa: F401
    except ImportError as error:
        msg = (
            "the viewer needs the packages starlette and uvicorn, which are not installed. Install "
            'them with: pip install "autoseg[view]".'
        )
        raise MissingPackage(msg) from error
    return starlette


class _WithHeaders:
    """Adds `HEADERS` to all responses, also to those of errors."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def send_with_headers(message: Any) -> None:  # noqa: ANN401  (of ASGI)
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


class _TokenRequired:
    """Refuses requests without the token; answers to others set it as a cookie."""

    def __init__(self, app: "ASGIApp", token: str) -> None:
        self._app, self._token = app, token
        # browsers keep cookies of an address, not of a port: each viewer has its own
        self._cookie = f"autoseg-{sha256(token.encode()).hexdigest()[:12]}"

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from starlette.requests import HTTPConnection
        from starlette.responses import PlainTextResponse

        request = HTTPConnection(scope)
        given = (
            request.query_params.get("token"),
            request.headers.get(TOKEN_HEADER),
            request.cookies.get(self._cookie),
        )
        is_known = any(
            secrets.compare_digest(each.encode(), self._token.encode()) for each in given if each
        )
        if not is_known:
            sentence = "Open the address that `autoseg view` has printed, with its token.\n"
            await PlainTextResponse(sentence, status_code=403)(scope, receive, send)
            return

        async def send_with_cookie(message: Any) -> None:  # noqa: ANN401  (of ASGI)
            if message["type"] == "http.response.start":
                text = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                headers = [*message["headers"], (b"set-cookie", text.encode())]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_cookie)
