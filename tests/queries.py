"""Queries for tests, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Page, Project
from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.windows import TimeWindow

_OF_QUERY = ("fields", "page_size", "payloads")


def run_query(*, project: Project, start: datetime, end: datetime, **arguments: Any) -> RunQuery:
    """Return the query of a project and a window; other arguments are fields of its run filter."""
    of_query = {name: arguments.pop(name) for name in _OF_QUERY if name in arguments}
    window = TimeWindow(start, end)
    return RunQuery(project=project, window=window, run_filter=RunFilter(**arguments), **of_query)


def read_pages(client: LangSmithClient, query: RunQuery) -> Iterator[Page]:
    """Read a query page by page."""
    pagination = client.pagination(query)
    while not pagination.done:
        yield client.drive(pagination.next_page())
