"""Each view goes through each kind of table as it is, with texts that formats escape in different ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import VIEWS, view_of
from tests.conftest import ClientOf, RunExport
from tests.queries import run_query
from tests.tables.conftest import Kind, LoadInto, Postgres, Rows

START = datetime(2026, 3, 1, tzinfo=UTC)
# COPY, arrays, JSON and SQL escape them in different ways, and PostgreSQL has no NUL.
TRAPS = ["a\tb", "\\N", "", "NULL", 'a,"b"', "{}", "\\", "line\r\nline", "naïve 🙂", "it's", "\0"]

ExportDay = Callable[..., dict[str, Any]]


@pytest.fixture
def langsmith() -> Iterator[LangSmithStandIn]:
    """A workspace of traces, one of them with difficult texts."""
    with LangSmithStandIn() as server:
        server.load_sample(start=START, days=2, traces_per_day=30)
        fields: dict[str, Any] = {
            "project": PROJECT,
            "start_time": START + timedelta(hours=5),
            "name": "".join(TRAPS),
            "tags": TRAPS,
            "inputs": {"traps": TRAPS, "number": 0.1},
            "extra": {"metadata": {"thread_id": "".join(TRAPS[:-1])}},
        }
        root = server.add_run(**fields, error="".join(TRAPS), end_time=START + timedelta(hours=6))
        server.add_run(**fields, parent_run_id=root, run_type="retriever", outputs={"traps": TRAPS})
        server.add_feedback(root, comment="".join(TRAPS), value={"traps": TRAPS}, created_at=START + timedelta(hours=7))
        yield server


@pytest.fixture
def client(langsmith: LangSmithStandIn, client_of: ClientOf) -> LangSmithClient:
    """A client of the workspace."""
    return client_of(langsmith)


@pytest.fixture
def exported(client: LangSmithClient, export_runs: RunExport) -> ExportDay:
    """Export the first day of a view, and return the result of the operator."""

    def run(view: str, columns: list[str] | None = None, flatten: tuple[str, ...] = ()) -> dict[str, Any]:
        window = client, PROJECT, START, START + timedelta(days=1)
        transforms = RowTransforms(flatten=flatten)
        return export_runs(*window, view=view_of(view, columns), transforms=transforms, max_rows_per_file=40).summary()

    return run


def expected(exported: dict[str, Any], kind: Kind) -> Rows:
    """Return the rows of an export, by Arrow, as a kind of table can hold them."""
    rows = [
        row for part in read_manifest(exported).uris() for row in pq.read_table(part, partitioning=None).to_pylist()
    ]
    if isinstance(kind, Postgres):
        rows = [{name: without_nul(value) for name, value in row.items()} for row in rows]
    return by_key(rows, exported["view"])


def without_nul(value: Any) -> Any:
    """Return a value without NUL characters."""
    if isinstance(value, list):
        return [item.replace("\0", "") for item in value]
    return value.replace("\0", "") if isinstance(value, str) else value


def by_key(rows: Rows, view: str) -> Rows:
    """Sort rows by the key of their view."""
    return sorted(rows, key=lambda row: str(row[VIEWS[view].key]))


@pytest.mark.parametrize("view", VIEWS)
def test_rows_are_those_of_the_export(
    view: str, kind: Kind, load: LoadInto, exported: ExportDay, langsmith: LangSmithStandIn, client: LangSmithClient
) -> None:
    """Each value of each view is in the table as in the export, also after a second load and a re-export."""
    first = exported(view)
    assert load(first, kind.uri(view))["rows_added"] == first["rows"] > 0
    assert by_key(kind.rows(view), view) == expected(first, kind)
    assert load(first, kind.uri(view))["is_changed"] is False

    day = run_query(project=client.project(PROJECT), start=START, end=START + timedelta(hours=20))
    for run in list(client.runs(day)):
        langsmith.add_feedback(run.id, key="audited", score=1, created_at=START + timedelta(hours=21))
    again = exported(view)
    assert load(again, kind.uri(view))["is_changed"] is True
    assert by_key(kind.rows(view), view) == expected(again, kind)


def test_long_names_stay_different_in_postgresql(exported: ExportDay, load: LoadInto, postgres: Postgres) -> None:
    """Flat columns of long keys with the same start stay different within PostgreSQL's 63 bytes."""
    long = "metadata." + "x" * 63
    columns = ["run_id", "project_id", "start_time", "metadata"]
    whole = exported("runs", columns, (f"{long}a", f"{long}b"))
    load(whole, postgres.uri("runs"))
    rows = by_key(postgres.rows("runs"), "runs")
    assert rows == expected(whole, postgres)
    assert {len(row) for row in rows} == {6}
