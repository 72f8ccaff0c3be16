"""What lands can be loaded, and loading it twice changes nothing twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import airflow_langsmith
from airflow_langsmith.api import LangSmithClient, RunQuery
from airflow_langsmith.export import Target, export, format_of
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import VIEWS, view_of

START = datetime(2026, 3, 1, tzinfo=UTC)
README = (Path(airflow_langsmith.__file__).parent.parent / "README.md").read_text()
KEYS = {
    "runs": "run_id",
    "traces": "trace_id",
    "retrievals": "trace_id",
    "feedback": "feedback_id",
    "threads": "thread_id",
}


@pytest.fixture
def langsmith() -> Any:
    """A workspace of agent traces."""
    with LangSmithStandIn() as server:
        server.load_sample(start=START, days=2, traces_per_day=30)
        yield server


def parts(client: LangSmithClient, view: str, destination: Path) -> list[str]:
    """Export the first day and give its parts."""
    chosen = view_of(view)
    query = RunQuery(project=client.project(PROJECT), start=START, end=START + timedelta(days=1), fields=chosen.fields)
    target = Target(destination=f"file://{destination}", format=format_of("parquet"), max_rows_per_file=40)
    exported = export(client, query, chosen, target)
    assert exported is not None
    directory = Path(exported.uri.removeprefix("file://")).parent
    return [str(directory / file.name) for file in exported.manifest.files]


def test_every_view_has_a_key() -> None:
    """The keys that README names are those of all views."""
    assert KEYS.keys() == VIEWS.keys()


@pytest.mark.parametrize("view", VIEWS)
def test_a_second_load_changes_nothing_twice(
    langsmith: LangSmithStandIn, view: str, client_of: Callable[..., LangSmithClient], tmp_path: Path
) -> None:
    """README's statement loads the rows of every view; again, or after a refresh, there is one row for each key."""
    (written,) = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    statement = written.replace("runs", view).replace("run_id", KEYS[view])
    client = client_of(langsmith)
    database = duckdb.connect()

    def load() -> list[tuple[Any, ...]]:
        for part in statement.split(";")[:-1]:
            database.execute(part.strip(), {"parts": parts(client, view, tmp_path)})
        return database.execute(f"from {view} order by {KEYS[view]}").fetchall()

    first = load()
    assert first
    assert len({row[0] for row in first}) == len(first)
    assert load() == first
    for run in list(
        client.runs(RunQuery(project=client.project(PROJECT), start=START, end=START + timedelta(hours=20)))
    ):
        langsmith.add_feedback(run.id, key="audited", score=1, created_at=START + timedelta(hours=21))
    again = load()
    assert len({row[0] for row in again}) == len(again) >= len(first)
    assert again != first
