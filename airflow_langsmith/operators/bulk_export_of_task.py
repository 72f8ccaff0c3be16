"""Which bulk export a task waits for, and whether the task started it: what Airflow stores for the next try."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from airflow_langsmith.api.bulk_exports import LAST_BACKOFF, cancel_bulk_export, list_bulk_exports
from airflow_langsmith.api.bulk_request import BulkExportRequest
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.flow import Backoff, Flow, read_all
from airflow_langsmith.errors import NotFoundError
from airflow_langsmith.messages import MAX_LINE, shorten

STORE_KEY = "langsmith_bulk_export"  # of the task's state
MAX_CANCEL_SECONDS = 10.0  # of an answer; Airflow soon ends a task that it kills

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class BulkExportOfTask:
    """
    The bulk export of a task, which the next try goes on with, or cancels.

    ::

        {"task": "3f9a...", "request": {...}, "since": "2026-03-02T04:00:00+00:00"}    about to be created
        {"task": "3f9a...", "request": {...}, "id": "42345678-...", "is_own": true}    created, or adopted

    ``task`` is a digest that differs after a clear. ``since`` is set while a creation may be under way: when the newest
    export of all was created before. ``is_own`` says that the task started the export, so that the task may cancel it.
    """

    store: Any  # of Airflow, for the state of the task; None before 3.3
    task: str
    is_of_cleared_task: bool = False
    request: BulkExportRequest | None = None
    export_id: str = ""
    is_own: bool = False
    since: datetime | None = None
    has_ended: bool = field(default=False, init=False)

    @classmethod
    def load(cls, store: Any, task: str) -> Self:
        """Return what an earlier try stored, or a new one."""
        state: Any = store.get(STORE_KEY) if store is not None else None
        try:
            return cls(store=store, task=task, **_fields(state, task) if state else {})
        except (AttributeError, KeyError, TypeError, ValueError):
            log.warning("The stored state of the bulk export cannot be read, so the task begins anew")
            return cls(store=store, task=task)

    @property
    def is_stored(self) -> bool:
        """Whether a later try will know of it."""
        return self.store is not None

    def save(self) -> None:
        """Store it for a later try."""
        if self.store is not None:
            self.store.set(STORE_KEY, self.serialize())

    def forget(self) -> None:
        """Let a later try begin anew."""
        if self.store is not None:
            self.store.delete(STORE_KEY)

    def serialize(self) -> dict[str, Any]:
        """Return it as JSON."""
        request = {"request": self.request.body} if self.request else {}
        since = {"since": self.since.isoformat()} if self.since else {}
        export = {"id": self.export_id, "is_own": self.is_own} if self.export_id else {}
        return {"task": self.task, **request, **since, **export}

    def begin(self, request: BulkExportRequest) -> None:
        """Be an export of this request, which is not known yet."""
        self.request, self.is_of_cleared_task = request, False
        self.export_id, self.is_own, self.since, self.has_ended = "", False, None, False

    @property
    def may_run(self) -> bool:
        """Whether an export that the task started may run, as far as is known."""
        return not self.has_ended and (self.is_own or self.since is not None)

    def take(self, export_id: str, *, is_own: bool) -> None:
        """Be this export from now on."""
        self.is_own, self.export_id, self.since, self.has_ended = is_own, export_id, None, False

    def find(self, backoff: Backoff) -> Flow[None]:
        """
        Find the export whose creation was under way.

        It is the oldest one of the request since then. LangSmith knows no name of an export and no key of a request.
        """
        request, since = self.request, self.since
        if self.export_id or request is None or since is None:
            return
        exports = yield from read_all(list_bulk_exports(backoff))
        created = [each for each in exports if each.created > since and request.matches(each, is_new=True)]
        if created:
            self.take(min(created, key=lambda export: export.created).id, is_own=True)
            log.info("Bulk export %s was started by this task", self.export_id)

    def cancel(self, backoff: Backoff) -> Flow[None]:
        """Cancel the export if the task started it and it has not ended."""
        yield from self.find(backoff)
        if not self.export_id or not self.may_run:
            return
        try:
            export = yield from cancel_bulk_export(self.export_id, backoff)
        except NotFoundError:
            return
        self.has_ended = export.has_ended
        log.info("Bulk export %s is %s", export.id, export.status)

    def try_to_cancel(self, client: LangSmithClient) -> None:
        """Cancel it in a moment, because the task ends. A failure is logged."""
        if not self.may_run:
            return
        settings = client.settings
        settings = replace(settings, timeout=min(settings.timeout, MAX_CANCEL_SECONDS))
        try:
            with LangSmithClient(settings) as own_client:  # the other one may have been interrupted
                own_client.drive(self.cancel(LAST_BACKOFF))
        except Exception as error:  # noqa: BLE001  # another error ends the task
            which = self.export_id or (f"of {self.request.window}" if self.request else "")
            log.warning("Bulk export %s may still run: it was not cancelled", which)
            log.warning("%s", shorten(str(error), MAX_LINE))


def _fields(state: Mapping[str, Any], task: str) -> dict[str, Any]:
    request, since = state.get("request"), state.get("since")
    return {
        "is_of_cleared_task": state["task"] != task,
        "request": request and BulkExportRequest.of_body(request),
        "export_id": state.get("id", ""),
        "is_own": state.get("is_own", False),
        "since": since and datetime.fromisoformat(since),
    }
