"""Exports can be loaded into databases, and a second load changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import VIEWS, view_of
from tests.conftest import ClientOf, RunExport
from tests.documentation import PAGES
from tests.queries import run_query

START = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = {view.name: view.key for view in VIEWS.values()}
# Difficult texts: COPY, arrays and JSON escape them in different ways, and PostgreSQL has no NUL.
TRAPS = ["a\tb", "\\N", "", "NULL", 'a,"b"', "{}", "\\", "line\r\nline", "naïve 🙂", "\0"]

Rows = list[dict[str, Any]]
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


@pytest.fixture
def add_feedback(langsmith: LangSmithStandIn, client: LangSmithClient) -> Callable[[], None]:
    """Add feedback to each run of the day, which changes the rows of each view."""

    def run() -> None:
        day = run_query(project=client.project(PROJECT), start=START, end=START + timedelta(hours=20))
        for audited in list(client.runs(day)):
            langsmith.add_feedback(audited.id, key="audited", score=1, created_at=START + timedelta(hours=21))

    return run


def parts(exported: dict[str, Any]) -> list[str]:
    """Return the paths of the parts of an export."""
    folder = Path(exported["manifest"].removeprefix("file://")).parent
    return [str(folder / file.name) for file in read_manifest(exported).files]


def exported_rows(exported: dict[str, Any]) -> Rows:
    """Return the rows of an export, sorted by their key."""
    import pyarrow.parquet as pq  # noqa: PLC0415  # not every test needs it

    return by_key(
        (row for part in parts(exported) for row in pq.read_table(part, partitioning=None).to_pylist()),
        exported["view"],
    )


def by_key(rows: Iterable[dict[str, Any]], view: str) -> Rows:
    """Sort rows by the key of their view."""
    return sorted(rows, key=lambda row: str(row[KEYS[view]]))


def test_every_view_has_a_key() -> None:
    """Each view has a key, and the page names it."""
    page = PAGES["docs/how-to/load-duckdb.md"].text
    assert [key for key in KEYS.values() if f"`{key}`" not in page] == []


@pytest.mark.parametrize("view", VIEWS)
def test_a_second_load_into_duckdb_changes_nothing(
    view: str, exported: ExportDay, add_feedback: Callable[[], None]
) -> None:
    """The statements of the page load each exported row once, also the second time, and after a refresh."""
    (snippet,) = PAGES["docs/how-to/load-duckdb.md"].snippets("sql")
    statements = snippet.text.replace("runs", view).replace("run_id", KEYS[view]).split(";")[:-1]
    database = duckdb.connect()

    def load(exported: dict[str, Any]) -> Rows:
        for statement in statements:
            database.execute(statement.strip(), {"parts": parts(exported)})
        result = database.execute(f"from {view}")
        names = [column[0] for column in result.description]
        return by_key((dict(zip(names, row, strict=True)) for row in result.fetchall()), view)

    first = exported_rows(exported(view))
    assert first
    assert load(exported(view)) == first
    assert load(exported(view)) == first
    add_feedback()
    refreshed = exported_rows(exported(view))
    assert refreshed != first
    assert load(exported(view)) == refreshed


Load = Callable[[dict[str, Any]], Rows]


@pytest.fixture
def load(postgres: psycopg.Connection) -> Load:
    """Load an export into PostgreSQL with the function of the page, and return all rows of its table."""
    (snippet,) = PAGES["docs/how-to/load-postgresql.md"].snippets("python")
    names: dict[str, Any] = {}
    exec(snippet.text, names)

    def run(exported: dict[str, Any]) -> Rows:
        view = exported["view"]
        names["load"](postgres, exported, KEYS[view])
        with postgres.transaction(), postgres.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            return by_key(cursor.execute(f"select * from {view}".encode()), view)

    return run


def without_nul(rows: Rows) -> Rows:
    """Return rows without NUL, which PostgreSQL does not have."""

    def storable(value: Any) -> Any:
        if isinstance(value, list):
            return [item.replace("\0", "") for item in value]
        return value.replace("\0", "") if isinstance(value, str) else value

    return [{name: storable(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("view", VIEWS)
def test_a_second_load_into_postgresql_changes_nothing(
    view: str, exported: ExportDay, load: Load, add_feedback: Callable[[], None]
) -> None:
    """The function of the page loads each exported row once, also the second time, and after a refresh."""
    first = without_nul(exported_rows(exported(view)))
    assert first
    assert load(exported(view)) == first
    assert load(exported(view)) == first
    add_feedback()
    refreshed = without_nul(exported_rows(exported(view)))
    assert refreshed != first
    assert load(exported(view)) == refreshed


def test_a_new_column_is_added_to_postgresql(exported: ExportDay, load: Load) -> None:
    """A column that an earlier load did not have is added to the table, also for the rows of that load."""
    load(exported("runs", ["run_id", "name"]))
    whole = exported("runs")
    assert load(whole) == without_nul(exported_rows(whole))


def test_long_names_stay_different_in_postgresql(exported: ExportDay, load: Load) -> None:
    """Flat columns of long keys with the same start stay different within PostgreSQL's 63 bytes."""
    long = "metadata." + "x" * 63
    whole = exported("runs", ["run_id", "metadata"], (f"{long}a", f"{long}b"))
    rows = load(whole)
    assert rows == without_nul(exported_rows(whole))
    assert {len(row) for row in rows} == {4}


def test_loads_into_postgresql_may_share_a_transaction(
    exported: ExportDay, load: Load, postgres: psycopg.Connection
) -> None:
    """Several loads are committed, or rolled back, together."""
    with postgres.transaction(force_rollback=True):
        traces = exported("traces")
        assert load(exported("runs"))
        assert load(traces) == load(traces) == without_nul(exported_rows(traces))
    tables = postgres.execute("select 1 from pg_tables where tablename in ('runs', 'traces', 'landed')")
    assert tables.fetchall() == []
