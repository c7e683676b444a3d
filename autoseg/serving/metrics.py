"""Counters and times of the server, in the text format of Prometheus."""

from typing import Any

from autoseg.serving.jobs import Jobs
from autoseg.serving.settings import Reason

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, float("inf"))
"""Upper bounds of the classes of times."""


class Metrics:
    """What the server counts."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._registry = CollectorRegistry()
        self._requests: Any = Counter(
            "autoseg_requests",
            "Answered requests.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._failures: Any = Counter(
            "autoseg_job_failures", "Failed jobs.", ["reason"], registry=self._registry
        )
        self._seconds: Any = Histogram(
            "autoseg_job_seconds",
            "Time of predictions.",
            registry=self._registry,
            buckets=SECONDS,
        )
        for reason in Reason:
            self._failures.labels(reason.value)

    def watch(self, jobs: Jobs) -> None:
        """Also report the queue of jobs."""
        from prometheus_client import Gauge

        for name, help_text, value in (
            ("autoseg_queue_length", "Waiting jobs.", lambda: jobs.health().queued),
            ("autoseg_running_jobs", "Running jobs.", lambda: int(jobs.health().running)),
            ("autoseg_ready", "1 if jobs are taken.", lambda: int(jobs.health().ready)),
        ):
            Gauge(name, help_text, registry=self._registry).set_function(value)

    def count_request(self, method: str, route: str, status: int) -> None:
        """Count a request.

        Args:
            method: Its method.
            route: The route that answered it, with names in place of values.
            status: Status of the answer.
        """
        self._requests.labels(method, route, str(status)).inc()

    def count_job(self, reason: Reason | None, seconds: float) -> None:
        """Count a job that ran."""
        self._seconds.observe(seconds)
        if reason is not None:
            self._failures.labels(reason.value).inc()

    def text(self) -> bytes:
        """Return the values now."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)
