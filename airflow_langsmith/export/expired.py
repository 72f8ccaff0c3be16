"""A window that is older than what LangSmith keeps: its export may be empty, and looks like a success."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.projects import BASE_RETENTION, EXTENDED_RETENTION, known_retention
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.errors import LangSmithError

log = logging.getLogger(__name__)


def warn_if_expired(client: LangSmithClient, query: RunQuery, *, is_empty: bool) -> None:
    """
    Warn if traces of a window may be deleted already.

    LangSmith is asked how long it keeps traces only if the export is empty, the window is over 14 days old and the
    project does not say so itself.
    """
    age = datetime.now(UTC) - query.start
    which = query.run_filter
    if age <= BASE_RETENTION or which.run_ids is not None or which.trace_id is not None:  # named runs exist
        return
    retention = known_retention(query.project)
    if retention is None and age <= EXTENDED_RETENTION:
        if not is_empty:
            return
        try:
            retention = client.retention(query.project)
        except LangSmithError as error:
            log.debug("How long traces are kept is not known: %s", error.cause)
            return
    retention = retention or EXTENDED_RETENTION
    if age > retention:
        log.warning(
            "The window began %s days ago; traces of this project are kept for %s days", age.days, retention.days
        )
        log.warning("LangSmith deletes older traces, so rows may be missing, and no rows may mean deleted ones")
