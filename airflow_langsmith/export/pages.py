"""The source of an export that reads LangSmith page by page."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.records import Project
from airflow_langsmith.export.checkpoints import CheckpointPolicy, Checkpoints, TaskAttempt
from airflow_langsmith.export.cursor_limit import ParallelReadPolicy
from airflow_langsmith.export.parallel_read import ReadJob
from airflow_langsmith.export.read import RowReader
from airflow_langsmith.export.row_file import RowCodec
from airflow_langsmith.export.source import Reading
from airflow_langsmith.views import Rows


class PageSource:
    """
    Pages of runs, by as many cursors as the budget allows, with checkpoints for a retry.

    :param concurrency: The maximum number of cursors that read in parallel; by default as many as the budget allows.
    :param attempt: The attempt of the task: it continues from the checkpoints of an earlier one, and writes its own.
    """

    def __init__(
        self,
        client: LangSmithClient,
        *,
        concurrency: int | None = None,
        attempt: TaskAttempt | None = None,
        checkpoint_policy: CheckpointPolicy | None = None,
        read_policy: ParallelReadPolicy | None = None,
    ) -> None:
        self._client, self._concurrency, self._attempt = client, concurrency, attempt
        self._checkpoint_policy, self._read_policy = checkpoint_policy, read_policy or ParallelReadPolicy()

    @property
    def requests(self) -> int:
        """How many requests LangSmith has answered so far."""
        return self._client.requests

    @property
    def waited_seconds(self) -> float:
        """How long the client has waited so far."""
        return self._client.waited_seconds

    @contextmanager
    def open(self, reading: Reading) -> Iterator[Generator[Rows]]:
        """Begin to read, from the checkpoints of an earlier attempt if there are any."""
        policy, view = self._read_policy, reading.view
        if max_cursors := 1 if view.downloads_attachments else self._concurrency:  # a download takes longer than a page
            policy = replace(policy, max_cursors=max_cursors)
        job = ReadJob(self._client, reading.query, view, policy, reading.progress, reading.directory)
        with (
            self._checkpoints(job, reading) as checkpoints,
            closing(RowReader(job, reading.redact, reading.publication, checkpoints).rows()) as rows,
        ):
            yield rows

    def provenance(self) -> dict[str, Any]:
        """Return the version of the API that answered."""
        return {"api_version": self._client.api_version()}

    def retention(self, project: Project) -> timedelta:
        """Ask LangSmith how long the traces of a project are kept at most."""
        return self._client.retention(project)

    def _checkpoints(self, job: ReadJob, reading: Reading) -> Checkpoints:
        codec = RowCodec(job.view, compresses=reading.has_pyarrow)
        task_key = self._attempt and self._attempt.task_key
        details = [*reading.rows_key, self._client.settings.api_url, task_key, codec.compresses]
        digest = sha256(json.dumps(details, default=str).encode()).hexdigest()[:16]
        return Checkpoints(job, reading.path, self._attempt, digest, codec, self._checkpoint_policy)
