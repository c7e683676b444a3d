"""`autoseg serve`."""

import re
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared
from autoseg.commands.predicting import StepSize
from autoseg.commands.registry import Registry, registry_folder

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def serve(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(help="Model, as for predict --model, or name of a registered model."),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            help="Token that requests must have; other users can see it in the list of processes.",
            show_default="a random one, which is printed",
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token.", show_default="none")
    ] = None,
    allow_root: Annotated[
        Path | None,
        typer.Option(
            help="Folder whose images may be requested by their paths.", show_default="none"
        ),
    ] = None,
    queue: Annotated[int, typer.Option(min=1, help="Greatest number of waiting jobs.")] = 16,
    max_upload_mb: Annotated[
        int, typer.Option(min=1, help="Greatest size of an upload, in MB.")
    ] = 1024,
    max_unpacked_mb: Annotated[
        int, typer.Option(min=1, help="Greatest size of the contents of a zip file, in MB.")
    ] = 4096,
    max_seconds: Annotated[
        float, typer.Option(min=1, help="Greatest time of a job, and of an upload.")
    ] = 600.0,
    keep: Annotated[
        str, typer.Option(help="Time to keep results, such as 90s, 10m or 2h.")
    ] = "10m",
    stop_seconds: Annotated[
        float, typer.Option(min=0, help="Time that a running job gets when the server stops.")
    ] = 60.0,
    temporary: Annotated[
        Path | None,
        typer.Option(
            help="Folder for uploads and results.", show_default="that of the system, such as /tmp"
        ),
    ] = None,
    fold: shared.FoldOption = None,
    mirroring: shared.MirroringOption = True,
    step_size: StepSize = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    workers: shared.Workers = None,
    registry: Registry = None,
    cache: shared.Cache = None,
) -> None:
    """Segment images over HTTP.

    The model stays loaded. Ctrl-C ends the server after the running job.
    """
    from autoseg.models.registry import ModelRegistry
    from autoseg.serving import server
    from autoseg.serving.settings import MEGABYTE, Limits, ModelOptions, ServerOptions

    if token is not None and token_file is not None:
        raise typer.BadParameter("--token and --token-file are mutually exclusive.")
    limits = Limits(
        queue=queue,
        upload_bytes=max_upload_mb * MEGABYTE,
        unpacked_bytes=max_unpacked_mb * MEGABYTE,
        job_seconds=max_seconds,
        keep_seconds=_seconds(keep),
        stop_seconds=stop_seconds,
    )
    folder = temporary or Path(tempfile.gettempdir())
    progress = shared.terminal_progress(context, folder)
    if token is not None:
        server.check_token(token)
    known = token or server.read_token(token_file)
    if token is None and token_file is None:
        progress.say(f"token: {known}")
    server.serve(
        ModelOptions(
            model=ModelRegistry(registry_folder(registry)).resolve(model),
            folds=shared.parse_folds(fold),
            use_mirroring=mirroring,
            step_size=step_size,
            compute=shared.compute_on(device, precision, workers, cache),
        ),
        ServerOptions(host, port, known, allow_root, folder, limits),
        progress,
    )


def _seconds(text: str) -> float:
    """Parse a time such as 90s, 10m, 2h or 1d."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if match is None or not float(match[1]):
        msg = f"found {text!r}; expected a time such as 90s, 10m or 2h."
        raise typer.BadParameter(msg, param_hint="'--keep'")
    return float(match[1]) * UNITS[match[2]]
