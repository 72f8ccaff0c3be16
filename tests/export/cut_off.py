"""
Export a day of roots, and be killed after so many pages.

Run as ``cut_off.py URL KEY VERSION VIEW FORMAT WHERE TASK PAGES CURSORS``; a next try of the task finds what it kept.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from upath import UPath

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.export.checkpoints import TaskAttempt
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, OutputOptions
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.views import view_of
from tests.queries import run_query

START = datetime(2026, 3, 1, tzinfo=UTC)
PAGE = 5  # runs


def query(client: LangSmithClient, fields: tuple[str, ...], **changed: Any) -> RunQuery:
    """Ask for the roots of the day, a few a page, or for something else."""
    shop, bounds = client.project("shop"), {"start": START, "end": START + timedelta(days=1)}
    return run_query(project=shop, **{**bounds, "fields": fields, "page_size": PAGE, "is_root": True, **changed})


def main(url: str, key: str, version: Any, view: str, format_: str, where: str, *more: str) -> None:
    """Begin an export, and be gone."""
    task, pages, cursors = more

    def die(progress: Progress) -> None:
        if progress.pages >= int(pages):
            os.kill(os.getpid(), signal.SIGKILL)

    client = LangSmithClient(Settings(api_url=url, api_key=key, api_version=version, requests_per_10s=100_000))
    chosen, target = view_of(view), OutputOptions(destination=UPath(where), format=format_of(format_))
    attempt = TaskAttempt(task, may_retry=True)
    day = query(client, chosen.fields)
    source = PageSource(client, concurrency=int(cursors), attempt=attempt)
    Export(source, day, chosen, target, on_page=die).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
