"""What lands can be loaded, and loading it twice changes nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, OutputOptions
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import VIEWS, view_of
from tests.documentation import PAGES
from tests.queries import run_query

START = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = {view.name: view.key for view in VIEWS.values()}
# Where loaders stumble: what COPY, arrays and JSON write in their own ways, and what PostgreSQL does not have.
TRAPS = ["a\tb", "\\N", "", "NULL", 'a,"b"', "{}", "\\", "line\r\nline", "naïve 🙂", "\0"]

Rows = list[dict[str, Any]]
RunExport = Callable[..., dict[str, Any]]


@pytest.fixture
def langsmith() -> Iterator[LangSmithStandIn]:
    """A workspace of agent traces, one of them with texts that loaders stumble over."""
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
def client(langsmith: LangSmithStandIn, client_of: Callable[..., LangSmithClient]) -> LangSmithClient:
    """Give a client of the workspace."""
    return client_of(langsmith)


@pytest.fixture
def exported(client: LangSmithClient, tmp_path: Path) -> RunExport:
    """Export the first day of a view, and give what its operator would return."""

    def run(view: str, columns: list[str] | None = None, flatten: tuple[str, ...] = ()) -> dict[str, Any]:
        chosen = view_of(view, columns)
        query = run_query(
            project=client.project(PROJECT), start=START, end=START + timedelta(days=1), fields=chosen.fields
        )
        target = OutputOptions(destination=f"file://{tmp_path}", format=format_of("parquet"), max_rows_per_file=40)
        done = Export(client, query, chosen, target, RowTransforms(flatten=flatten)).run()
        return done.summary()

    return run


@pytest.fixture
def judge(langsmith: LangSmithStandIn, client: LangSmithClient) -> Callable[[], None]:
    """Let the runs of the day be judged, which changes the rows of every view."""

    def run() -> None:
        day = run_query(project=client.project(PROJECT), start=START, end=START + timedelta(hours=20))
        for one in list(client.runs(day)):
            langsmith.add_feedback(one.id, key="audited", score=1, created_at=START + timedelta(hours=21))

    return run


def parts(exported: dict[str, Any]) -> list[str]:
    """List the parts of an export."""
    folder = Path(exported["manifest"].removeprefix("file://")).parent
    return [str(folder / file.name) for file in read_manifest(exported).files]


def landed(exported: dict[str, Any]) -> Rows:
    """Read the rows of an export by their key."""
    import pyarrow.parquet as pq  # noqa: PLC0415  # where it is needed

    return by_key(
        (row for part in parts(exported) for row in pq.read_table(part, partitioning=None).to_pylist()),
        exported["view"],
    )


def by_key(rows: Iterable[dict[str, Any]], view: str) -> Rows:
    """Order rows by the key of their view."""
    return sorted(rows, key=lambda row: str(row[KEYS[view]]))


def test_every_view_has_a_key() -> None:
    """These keys are those of all views, and the page names them."""
    assert {key for key in KEYS.values() if f"`{key}`" not in PAGES["docs/how-to/load-duckdb.md"].text} == set()


@pytest.mark.parametrize("view", VIEWS)
def test_a_second_load_into_duckdb_changes_nothing_twice(
    view: str, exported: RunExport, judge: Callable[[], None]
) -> None:
    """The page's statements leave in DuckDB the rows that landed, each once: again, and after a refresh."""
    (written,) = PAGES["docs/how-to/load-duckdb.md"].snippets("sql")
    statements = written.text.replace("runs", view).replace("run_id", KEYS[view]).split(";")[:-1]
    database = duckdb.connect()

    def load(exported: dict[str, Any]) -> Rows:
        for statement in statements:
            database.execute(statement.strip(), {"parts": parts(exported)})
        found = database.execute(f"from {view}")
        names = [column[0] for column in found.description]
        return by_key((dict(zip(names, row, strict=True)) for row in found.fetchall()), view)

    first = landed(exported(view))
    assert first
    assert load(exported(view)) == first
    assert load(exported(view)) == first
    judge()
    refreshed = landed(exported(view))
    assert refreshed != first
    assert load(exported(view)) == refreshed


Load = Callable[[dict[str, Any]], Rows]


@pytest.fixture
def load(postgres: psycopg.Connection) -> Load:
    """Load an export into PostgreSQL as the page shows, and give all rows of its table by their key."""
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
    """Take out of rows the NUL that PostgreSQL has not."""

    def storable(value: Any) -> Any:
        if isinstance(value, list):
            return [item.replace("\0", "") for item in value]
        return value.replace("\0", "") if isinstance(value, str) else value

    return [{name: storable(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("view", VIEWS)
def test_a_second_load_into_postgresql_changes_nothing_twice(
    view: str, exported: RunExport, load: Load, judge: Callable[[], None]
) -> None:
    """The page's function leaves in PostgreSQL the rows that landed, each once: again, and after a refresh."""
    first = without_nul(landed(exported(view)))
    assert first
    assert load(exported(view)) == first
    assert load(exported(view)) == first
    judge()
    refreshed = without_nul(landed(exported(view)))
    assert refreshed != first
    assert load(exported(view)) == refreshed


def test_a_new_column_comes_into_postgresql(exported: RunExport, load: Load) -> None:
    """A column that an export has for the first time is added to the table, for the rows that are there too."""
    load(exported("runs", ["run_id", "name"]))
    whole = exported("runs")
    assert load(whole) == without_nul(landed(whole))


def test_long_names_are_told_apart_in_postgresql(exported: RunExport, load: Load) -> None:
    """Flat columns of long keys that begin alike stay columns of their own: names fit into PostgreSQL's 63 bytes."""
    long = "metadata." + "x" * 63
    whole = exported("runs", ["run_id", "metadata"], (f"{long}a", f"{long}b"))
    rows = load(whole)
    assert rows == without_nul(landed(whole))
    assert {len(row) for row in rows} == {4}


def test_loads_into_postgresql_may_share_a_transaction(
    exported: RunExport, load: Load, postgres: psycopg.Connection
) -> None:
    """Several loads are kept, or taken back, together."""
    with postgres.transaction(force_rollback=True):
        traces = exported("traces")
        assert load(exported("runs"))
        assert load(traces) == load(traces) == without_nul(landed(traces))
    tables = postgres.execute("select 1 from pg_tables where tablename in ('runs', 'traces', 'landed')")
    assert tables.fetchall() == []
