"""The endpoints of the server.

fastapi reads the annotations of functions, so this module, which the server imports when it starts,
imports it here.
"""

import asyncio
import mimetypes
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from autoseg.core.errors import AutosegError, CaseError, DatasetError
from autoseg.serving.archive import TooLarge
from autoseg.serving.inputs import JobInput
from autoseg.serving.jobs import LABEL_MAP, PREVIEW, STATISTICS, Job, Jobs, QueueFull
from autoseg.serving.metrics import Metrics
from autoseg.serving.middleware import Gate
from autoseg.serving.page import page
from autoseg.serving.settings import (
    Health,
    JobReport,
    ModelDescription,
    Problem,
    Reason,
    ServerOptions,
    State,
)
from autoseg.serving.uploads import find_paths, save_uploads
from autoseg.stages.predict.outputs.options import OutputOptions

STATUS_OF = {
    Reason.IMAGE: 422,
    Reason.TIME: 504,
    Reason.CRASH: 500,
    Reason.CANCELLED: 410,
    Reason.STOPPED: 503,
    Reason.SERVER: 500,
}
"""Status of the answer to a request for the label map of a failed job."""

MOST_FILES = 1000
"""Greatest number of files of an upload that is not a zip file."""

POLL_AFTER = {"retry-after": "1"}


class Paths(BaseModel, extra="forbid"):
    """Images of the server, below the folder of `--allow-root`.

    Attributes:
        path: Path of an image, a folder with one DICOM series, or a zip file; or one per channel.
    """

    path: str | Annotated[list[str], Field(min_length=1, max_length=MOST_FILES)]


BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "An image, one file per channel in their order, the files "
                        "of a DICOM series, or a zip file with one image.",
                    }
                },
            }
        },
        "application/json": {"schema": Paths.model_json_schema()},
    },
}
FILE = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in (401, *statuses)}


@dataclass(frozen=True)
class Api:
    """The endpoints.

    Attributes:
        jobs: The jobs.
        model: Description of the model.
        options: Options of the server.
        metrics: What the server counts.
    """

    jobs: Jobs
    model: ModelDescription
    options: ServerOptions
    metrics: Metrics

    async def create(
        self,
        request: Request,
        *,
        wait: Annotated[bool, Query(description="Answer with the label map itself.")] = False,
        label_format: Annotated[
            str,
            Query(
                alias="format",
                max_length=16,
                description="Ending of the label map, such as nrrd; empty for that of the image.",
            ),
        ] = "",
        statistics: Annotated[bool, Query(description="Also measure the structures.")] = False,
        preview: Annotated[bool, Query(description="Also draw a preview.")] = False,
    ) -> Response:
        """Segment an image: queue a job, or wait for its label map."""
        ending = label_format and f".{label_format.lower().removeprefix('.')}"
        outputs = OutputOptions(ending=ending, statistics=statistics, preview=preview)
        if ending:
            await run_in_threadpool(_check_format, ending)
        try:
            job = self.jobs.new()
        except QueueFull as full:
            raise HTTPException(503, str(full), {"retry-after": str(full.retry_seconds)}) from full
        try:
            given = await self._input(request, job)
        except BaseException:  # also if the client closed the connection
            self.jobs.discard(job)
            raise
        self.jobs.submit(job, given, outputs)
        place = {"location": f"/v1/jobs/{job.id}", "x-autoseg-job": job.id}
        if wait:
            await asyncio.wrap_future(job.finished)
            answer = await self._result(job, LABEL_MAP)
            answer.headers.update(place)
            return answer
        return JSONResponse(self.jobs.report(job).model_dump(mode="json"), 202, place)

    async def _input(self, request: Request, job: Job) -> JobInput:
        """Return the image of a request, saved in the folder of its job."""
        try:
            async with asyncio.timeout(self.options.limits.job_seconds):
                return await self._received(request, job)
        except TimeoutError as error:
            raise HTTPException(408, "the upload took too long. Send it again.") from error
        except TooLarge as error:
            raise HTTPException(413, self.jobs.hide_paths(str(error), job)) from error
        except (CaseError, DatasetError) as error:
            raise HTTPException(422, self.jobs.hide_paths(str(error), job)) from error
        except OSError as error:
            detail = "the upload cannot be stored: the disk of the server is full or fails."
            raise HTTPException(507, detail) from error

    async def _received(self, request: Request, job: Job) -> JobInput:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        limits = self.options.limits
        if kind == "application/json":
            try:
                found = Paths.model_validate_json(await request.body())
            except ValidationError as error:
                detail = 'expected JSON such as {"path": "scans/case.nii.gz"}.'
                raise HTTPException(422, detail) from error
            texts = (found.path,) if isinstance(found.path, str) else tuple(found.path)
            root = self.options.allow_root
            return await run_in_threadpool(find_paths, texts, root, job.upload, limits)
        if kind != "multipart/form-data":
            detail = "expected a form with files (multipart/form-data), or JSON with a path."
            raise HTTPException(415, detail)
        try:
            async with request.form(max_files=MOST_FILES, max_fields=MOST_FILES) as form:
                files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
                return await run_in_threadpool(save_uploads, files, job.upload, limits)
        except HTTPException as error:
            if error.status_code != 400:
                raise
            detail = "the form cannot be read. Send files in the form field `files`."
            raise HTTPException(422, detail) from error

    def report(self, identity: str) -> JobReport:
        """Return the state of a job."""
        return self.jobs.report(self._job(identity))

    def delete(self, identity: str) -> Response:
        """Cancel a job, and delete its image and results."""
        self.jobs.delete(self._job(identity))
        return Response(status_code=204)

    async def label_map(self, identity: str) -> Response:
        """Return the label map, in a zip file if it has several files."""
        return await self._result(self._job(identity), LABEL_MAP)

    async def statistics(self, identity: str) -> Response:
        """Return sizes, intensities and positions of the structures."""
        return await self._result(self._job(identity), STATISTICS)

    async def preview(self, identity: str) -> Response:
        """Return a picture of the slice with the most foreground."""
        return await self._result(self._job(identity), PREVIEW)

    def _job(self, identity: str) -> Job:
        job = self.jobs.find(identity)
        if job is None:
            detail = "there is no such job; its results may have been deleted after their time."
            raise HTTPException(404, detail)
        return job

    async def _result(self, job: Job, name: str) -> Response:
        report = self.jobs.report(job)
        if report.reason is not None:
            raise HTTPException(STATUS_OF[report.reason], report.message)
        if report.state != State.DONE:
            detail = f"the job is {report.state}. Ask again when it is done."
            raise HTTPException(409, detail, POLL_AFTER)
        paths = self.jobs.fetch(job, name)
        if not paths:
            detail = f"the job has no {name}. Send the image with ?{name}=true."
            raise HTTPException(404, detail)
        path = paths[0]
        if len(paths) > 1:
            path = path.with_name(f"{path.name}.zip")
            await run_in_threadpool(_pack, paths, path)
        kind, encoding = mimetypes.guess_type(path.name)
        kind = "application/gzip" if encoding == "gzip" else kind or "application/octet-stream"
        return FileResponse(path, media_type=kind, filename=path.name)

    def describe(self) -> ModelDescription:
        """Return the channels, classes and model card of the model."""
        return self.model

    def health(self) -> Health:
        """Return 200 while the server runs."""
        return self.jobs.health()

    def ready(self, response: Response) -> Health:
        """Return 200 if jobs are taken, else 503."""
        found = self.jobs.health()
        response.status_code = 200 if found.ready else 503
        return found

    def counts(self) -> Response:
        """Return counters and times in the text format of Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def create_app(api: Api, log: Callable[[str], None]) -> FastAPI:
    """Create the application.

    Args:
        api: The endpoints.
        log: Receives a line for each request.
    """
    app = FastAPI(title="autoseg", version="1", docs_url=None, redoc_url=None)
    app.exception_handler(RequestValidationError)(_invalid)
    binary: dict[int | str, dict[str, Any]] = {200: FILE, 202: {"model": JobReport}}
    app.post(
        "/v1/jobs",
        status_code=202,
        response_model=None,
        openapi_extra={"requestBody": BODY},
        responses={**binary, **_problems(408, 410, 413, 415, 422, 500, 503, 504, 507)},
    )(api.create)
    of_job, results = "/v1/jobs/{identity}", _problems(404, 409, 410, 422, 500, 503, 504)
    app.get(of_job, responses=_problems(404, 422))(api.report)
    app.delete(of_job, status_code=204, responses=_problems(404, 422))(api.delete)
    for name, function, kind in (
        (LABEL_MAP, api.label_map, "application/octet-stream"),
        (STATISTICS, api.statistics, "application/json"),
        (PREVIEW, api.preview, "image/png"),
    ):
        described = FILE if name == LABEL_MAP else {"content": {kind: {}}}
        app.get(
            f"{of_job}/{name}",
            response_class=Response,
            responses={200: described, **results},
        )(function)
    app.get("/v1/model", responses=_problems())(api.describe)
    app.get("/health")(api.health)
    app.get("/health/ready", responses={503: {"model": Health}})(api.ready)
    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {}}}}
    app.get("/metrics", response_class=Response, responses=text | _problems())(api.counts)
    app.get("/", include_in_schema=False)(_page_of(app))
    options = api.options
    app.add_middleware(
        Gate,
        token=options.token,
        most_bytes=options.limits.upload_bytes,
        metrics=api.metrics,
        log=log,
    )
    _require_token(app)
    return app


def _require_token(app: FastAPI) -> None:
    """State in the schema that requests need the token."""
    schema = app.openapi()
    schema.setdefault("components", {})["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"}
    }
    for path, methods in schema["paths"].items():
        for method in methods.values():
            if not path.startswith("/health"):
                method["security"] = [{"token": []}]


def _page_of(app: FastAPI) -> Callable[[], Awaitable[HTMLResponse]]:
    async def show() -> HTMLResponse:
        """Return a page that lists the endpoints."""
        return HTMLResponse(page(app.openapi()))

    return show


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Answer to a request with a parameter of the wrong kind."""
    del request
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    sentences = [f"{entry['loc'][-1]}: {entry['msg']}" for entry in found]
    return JSONResponse({"detail": "; ".join(sentences)}, 422)


def _check_format(ending: str) -> None:
    from autoseg.stages.predict.outputs.build import check_ending

    try:
        check_ending(ending)
    except AutosegError as error:
        raise HTTPException(422, str(error).replace("--output-format", "format")) from error


def _pack(paths: tuple[Path, ...], target: Path) -> None:
    if target.exists():
        return
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.name)
