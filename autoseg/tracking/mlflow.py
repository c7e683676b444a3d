"""MLflow: a server, or a database in the work folder."""

import logging
import re
import time
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from typing_extensions import override

from autoseg.tracking.base import TRACKERS, Metrics, RunDescription, RunWriter, Status, Tracker

Client: TypeAlias = Any
"""An `mlflow.MlflowClient`; mlflow is imported only where it is used."""

STATUSES: dict[Status, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}

MAX_PARAMETERS = 100
"""Maximum number of parameters in a request. Source: MLflow REST API, `runs/log-batch`."""

MAX_VALUE_LENGTH = 500
"""Maximum length of a parameter's value, characters. Source: MLflow before 2.8."""

TALKATIVE = ("mlflow.store.db", "alembic", "urllib3")
"""Loggers that report every retry, and every table of a new database."""


class MlflowRun(RunWriter):
    """A run of an MLflow server or database."""

    def __init__(self, client: Client, run_id: str) -> None:
        self._client = client
        self.id = run_id

    @override
    def log(self, metrics: Metrics) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [
            Metric(valid_name(name), value, now, metrics.step)
            for name, value in metrics.values.items()
        ]
        self._client.log_batch(self.id, metrics=entries)

    @override
    def log_file(self, path: Path) -> None:
        self._client.log_artifact(self.id, str(path))

    @override
    def end(self, status: Status) -> None:
        self._client.set_terminated(self.id, STATUSES[status])


@TRACKERS.register
class Mlflow(Tracker):
    """A server or database of MLflow.

    Attributes:
        uri: Tracking URI; None for the database `mlflow.db` in the work folder.
    """

    module: ClassVar[str] = "mlflow.tracking"
    kind: Literal["mlflow"] = "mlflow"
    uri: str | None = None

    @property
    @override
    def address(self) -> str | None:
        if self.uri is None:
            return None
        parts = urlsplit(self.uri)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

    @override
    def start(self, run: RunDescription, known: str | None, last_step: int) -> RunWriter:
        from mlflow import MlflowClient

        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.ERROR)
        work = run.work.resolve()
        client = MlflowClient(self.uri or f"sqlite:///{work / 'mlflow.db'}")
        if known is not None and _exists(client, known):
            client.update_run(known, status="RUNNING")
            return MlflowRun(client, known)
        files = None if self.uri else (work / "mlartifacts").as_uri()
        parent = run.parents.get(self.kind)
        tags = run.tags if parent is None else {**run.tags, "mlflow.parentRunId": parent}
        created = client.create_run(
            _experiment(client, run.experiment, files), tags=dict(tags), run_name=run.name
        )
        _log_parameters(client, created.info.run_id, run)
        return MlflowRun(client, created.info.run_id)


def _exists(client: Client, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def _experiment(client: Client, name: str, files: str | None) -> str:
    """Return the identifier of an experiment; create it unless another process is faster."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=files))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


def _log_parameters(client: Client, run_id: str, run: RunDescription) -> None:
    from mlflow.entities import Param

    entries = [
        Param(valid_name(name), value[:MAX_VALUE_LENGTH]) for name, value in run.parameters.items()
    ]
    for first in range(0, len(entries), MAX_PARAMETERS):
        client.log_batch(run_id, params=entries[first : first + MAX_PARAMETERS])


def valid_name(name: str) -> str:
    """Replace each character that MLflow rejects in names by its code, so that names differ."""
    return re.sub(r"[^\w\-. :/]", lambda found: f"_{ord(found[0]):x}_", name)
