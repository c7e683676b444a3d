"""Run the server until it is stopped."""

import secrets
import socket
import tempfile
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

from typing_extensions import override

from autoseg.core.atomic_write import temporary_folder
from autoseg.core.errors import AutosegError, DatasetError, MissingPackage
from autoseg.core.interrupt import REPEAT_SECONDS
from autoseg.core.progress import Progress
from autoseg.serving.jobs import Jobs
from autoseg.serving.metrics import Metrics
from autoseg.serving.settings import ModelOptions, ServerOptions
from autoseg.serving.worker import Worker
from autoseg.viewing.server import server_config

if TYPE_CHECKING:
    from fastapi import FastAPI

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Addresses that other machines cannot reach."""

LEAST_TOKEN = 16
"""Least length of a token, characters."""


def serve(model: ModelOptions, options: ServerOptions, progress: Progress) -> None:
    """Load the model and answer requests until Ctrl-C or SIGTERM.

    Then the running job finishes, and waiting ones fail with a sentence.

    Args:
        model: The model.
        options: Options of the server.
        progress: Receives the address, and a line for each request.

    Raises:
        AutosegError: If the model cannot be loaded, the port cannot be used, or an option is wrong.
        MissingPackage: If the extra `serve` is not installed.
    """
    check_packages()
    if options.allow_root is not None and not options.allow_root.is_dir():
        msg = f"--allow-root {options.allow_root} is not a folder. Give a folder with images."
        raise DatasetError(msg)
    progress.begin("loading the model")
    worker = Worker(model, progress)
    description = worker.start()
    try:
        with (
            open_socket(options.host, options.port) as listening,
            temporary_folder(options.temporary / "serve") as folder,
        ):
            from autoseg.serving.api import Api, create_app

            folder.chmod(0o700)  # images of patients
            tempfile.tempdir = str(folder)  # where starlette stores uploads
            metrics = Metrics()
            jobs = Jobs(worker, folder, options.limits, metrics.count_job)
            metrics.watch(jobs)
            app = create_app(Api(jobs, description, options, metrics), progress.say)
            _say_where(listening, options, progress)
            progress.begin("answering requests")
            _run(app, jobs, listening)
    finally:
        tempfile.tempdir = None
        worker.close()
    progress.say("stopped")


def read_token(path: Path | None) -> str:
    """Return the token in a file, or a new one without a file.

    Raises:
        AutosegError: If the file cannot be read, or the token is too short.
    """
    if path is None:
        return secrets.token_urlsafe(24)
    token = path.read_text(encoding="utf-8", errors="replace").strip()
    check_token(token)
    return token


def check_token(token: str) -> None:
    """Check a token.

    Raises:
        AutosegError: If it is too short, or cannot be sent in a header.
    """
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        msg = (
            f"the token has {len(token)} characters; expected at least {LEAST_TOKEN} letters, "
            "digits or signs without spaces. Leave the option out for a random one."
        )
        raise AutosegError(msg)


def check_packages() -> None:
    """Check that the packages of the server are installed.

    Raises:
        MissingPackage: If one is missing.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        msg = (
            "the server needs the packages fastapi, uvicorn, python-multipart and "
            'prometheus-client. Install them with: pip install "autoseg[serve]".'
        )
        raise MissingPackage(msg) from error


def open_socket(host: str, port: int) -> socket.socket:
    """Listen on an address.

    Args:
        host: Name or number of the address.
        port: Number of the port; 0 for a free one.

    Raises:
        AutosegError: If it cannot be used.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        msg = f"{host}:{port} cannot be used: {error.strerror}. Choose another --host or --port."
        raise AutosegError(msg) from error


def _say_where(listening: socket.socket, options: ServerOptions, progress: Progress) -> None:
    host = f"[{options.host}]" if ":" in options.host else options.host
    progress.say(f"http://{host}:{listening.getsockname()[1]} (Ctrl-C stops the server)")
    progress.say(f"uploads and results: {options.temporary}")
    if options.host not in LOCAL:
        progress.say(
            f"warning: {options.host} can be reached by other machines, and images and the token "
            "are sent without encryption. Put a proxy with TLS before it."
        )


def _run(app: "FastAPI", jobs: Jobs, listening: socket.socket) -> None:
    """Answer requests until a signal, and until the running job has ended."""
    import uvicorn

    class Server(uvicorn.Server):
        """A server that finishes the running job before it stops."""

        stopped_at: float | None = None

        @override
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            now = monotonic()
            if self.stopped_at is None or now - self.stopped_at > REPEAT_SECONDS:
                self.stopped_at = now
                jobs.request_stop()

        @override
        async def on_tick(self, counter: int) -> bool:
            if self.stopped_at is not None and jobs.is_idle:
                self.should_exit = True
            return await super().on_tick(counter)

    Server(server_config(app, stop_seconds=2)).run(sockets=[listening])
