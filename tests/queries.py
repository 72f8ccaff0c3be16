"""Queries for tests, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Page, Project
from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.windows import TimeWindow

_OF_QUERY = ("fields", "page_size", "payloads")

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


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


def run_fields(count: int, **fields: Any) -> Iterator[dict[str, Any]]:
    """Make runs, a second apart."""
    for number in range(count):
        plain = {"id": str(UUID(int=number + 1)), "name": "answer", "run_type": "chain", "project_name": "shop"}
        yield {**plain, "start_time": START + number * SECOND, **fields}


def day(client: LangSmithClient, **narrowed: Any) -> RunQuery:
    """Ask for the day's runs."""
    return run_query(project=client.project("shop"), start=START, end=START + DAY, **narrowed)
