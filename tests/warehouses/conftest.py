"""Exports of a workspace, to load into warehouses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from tests.warehouses.recipes import KEYS_AND_TIMES

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BLANK = "my shop"  # a project whose name is percent-encoded in the lake
EMPTY_DAY = 9  # after START
# Texts that warehouses and their escapes may change.
TEXTS = ["a\tb", "\\N", "", "NULL", "o'clock", 'a,"b"', "{}", "\\", "line\r\nline", "naïve 🙂"]

Rows = list[dict[str, Any]]
ExportDay = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def workspace() -> Iterator[LangSmithStandIn]:
    """A workspace of two days of traces, and of a project with difficult texts."""
    with LangSmithStandIn() as server:
        server.load_sample(start=START, days=2, traces_per_day=30)
        root = server.add_run(
            project=BLANK,
            start_time=START,
            end_time=START + DAY / 2,
            name="".join(TEXTS),
            tags=TEXTS,
            inputs={"texts": TEXTS, "number": 0.1},
            extra={"metadata": {"thread_id": "".join(TEXTS)}},
        )
        server.add_run(
            project=BLANK,
            parent_run_id=root,
            run_type="retriever",
            start_time=START + DAY / 4,
            outputs={"texts": TEXTS},
        )
        server.add_feedback(root, comment="".join(TEXTS), value={"texts": TEXTS}, created_at=START)
        yield server


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """The URI that stands for ``s3://lake``; Airflow's, so possibly with a connection."""
    return f"file://{tmp_path}/lake"


@pytest.fixture
def export_day(workspace: LangSmithStandIn, lake: str, monkeypatch: pytest.MonkeyPatch) -> ExportDay:
    """Export a day of a view into the lake, and return what the operator returned."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", workspace.connection(requests_per_10s=100_000))

    def run(view: str, day: int = 0, project: str = PROJECT, **more: Any) -> dict[str, Any]:
        start = START + day * DAY
        folder = "langsmith/narrowed" if "filter" in more else "langsmith"  # a destination holds one query
        place: dict[str, Any] = {"destination": f"{lake}/{folder}", "start_time": start, "end_time": start + DAY}
        operator = LangSmithExportOperator(task_id=view, project=project, view=view, **place, **more)
        return dict(operator.execute({}))

    return run


def rows_of(*exports: dict[str, Any]) -> Rows:
    """Return the rows of the parts of exports of a view, sorted by their key."""
    import pyarrow.parquet as pq  # noqa: PLC0415  # not every test needs it

    rows: Rows = []
    for exported in exports:
        folder: Any = ObjectStoragePath(exported["manifest"]).parent
        for file in read_manifest(exported).files:
            with (folder / file.name).open("rb") as part:
                rows += pq.read_table(part).to_pylist()
    return by_key(rows, exports[0]["view"])


def by_key(rows: Rows, view: str) -> Rows:
    """Sort rows by the key of their view."""
    return sorted(rows, key=lambda row: str(row[KEYS_AND_TIMES[view][0]]))
