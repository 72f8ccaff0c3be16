"""What does not fit into a table is refused before anything changes, by a message that names the cure."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from airflow_langsmith.airflow_errors import LangSmithException
from tests.conftest import TaskLog
from tests.tables.conftest import Delta, DuckDb, ExportDay, Exported, Iceberg, Kind, LoadInto, Postgres, Refuse
from tests.users import plain_user

START = datetime(2026, 3, 1, tzinfo=UTC)


def manifest_of(exported: Exported) -> tuple[Path, Any]:
    """Return the manifest of an export, and where it is."""
    path = Path(exported["manifest"].removeprefix("file://"))
    return path, json.loads(path.read_text())


def with_manifest(exported: Exported, change: Callable[[Any], None]) -> Exported:
    """Change the manifest of an export."""
    path, manifest = manifest_of(exported)
    change(manifest)
    path.write_text(json.dumps(manifest))
    return exported


def with_rows(exported: Exported, change: Callable[[Any], Any], **options: Any) -> Exported:
    """Change the rows of an export of one part, and what its manifest says of the part."""
    path, manifest = manifest_of(exported)
    (file,) = manifest["files"]
    part = path.parent / file["name"]
    rows = change(pq.read_table(part))
    pq.write_table(rows, part, **options)
    content = part.read_bytes()
    file.update(rows=rows.num_rows, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    path.write_text(json.dumps(manifest))
    return exported


def with_part(exported: Exported, change: Callable[[bytes], bytes | None]) -> Exported:
    """Change the bytes of a part alone; None removes it."""
    path, manifest = manifest_of(exported)
    part = path.parent / manifest["files"][0]["name"]
    content = change(part.read_bytes())
    part.unlink()
    if content is not None:
        part.write_bytes(content)
    return exported


def with_values(rows: Any, name: str, values: list[Any]) -> Any:
    """Replace a column."""
    position = rows.schema.get_field_index(name)
    field = rows.schema.field(position)
    return rows.set_column(position, field, pa.array(values, field.type))


def snapshot(kind: Kind, name: str) -> tuple[Any, Any]:
    """Return the rows of a table, and the names of its files if it has a directory."""
    rows = sorted(kind.rows(name), key=lambda row: str(row["run_id"]))
    directory = getattr(kind, "directory", None)
    return rows, directory and sorted(path for path in directory.rglob("*") if path.suffix != ".crc")


def fewer_rows(manifest: Any) -> None:
    """Count one row more in the manifest than the part has."""
    manifest["files"][0]["rows"] += 1


NOT_FITTING: dict[str, tuple[Callable[[ExportDay], Any], dict[str, Any], tuple[str, ...]]] = {
    "another view": (
        lambda export: export(1, "feedback"),
        {},
        ("The table holds the view runs, and the export is of feedback. Load it into another table.",),
    ),
    "narrowed differently": (
        lambda export: export(1, query={"run_type": "llm"}),
        {},
        ("narrowed differently", "Load this export into another table.", "This export: run_type=llm."),
    ),
    "fewer columns": (
        lambda export: export(1, columns=["run_id", "project_id", "start_time"]),
        {"schema_changes": "fail"},
        ("The columns differ from those of the table", "Use schema_changes='evolve'"),
    ),
    "no key": (
        lambda export: export(1, columns=["run_id", "name"]),
        {},
        ("lacks columns by which a load finds its rows: project_id, start_time.", "Add them to columns= of"),
    ),
    "another type": (
        lambda export: with_manifest(export(1), lambda manifest: manifest["columns"][6].update(type="integer")),
        {},
        ("The column 'name' is ", "(integer) in the export.", "Load into another table"),
    ),
    "an unknown type": (
        lambda export: with_manifest(export(1), lambda manifest: manifest["columns"][6].update(type="blob")),
        {},
        ("This version knows no type 'blob'", "Upgrade airflow-provider-langsmith"),
    ),
    "a column that the part lacks": (
        lambda export: with_manifest(
            export(1), lambda manifest: manifest["columns"].append({"name": "extra", "type": "string"})
        ),
        {},
        ("lacks the column 'extra', which its manifest lists. Export the window again.",),
    ),
    "jsonl": (lambda export: export(1, format="jsonl"), {}, ("format jsonl", "format='parquet'")),
    "csv": (lambda export: export(1, format="csv"), {}, ("format csv", "format='parquet'")),
    "overlapping": (lambda export: [export(1), export(1)], {}, ("overlap", "Load them one after the other.")),
    "views in one list": (
        lambda export: [export(1), export(1, "feedback")],
        {},
        ("of different views. Load each view into a table of its own.",),
    ),
    "a merge of other columns": (
        lambda export: [export(1), export(0, columns=["run_id", "project_id", "start_time"])],
        {"mode": "merge"},
        ("needs the same columns in each. Load them one after the other.",),
    ),
    "an empty list": (lambda _: [], {}, ("exported is [], which is no export.", "export.output")),
    "None": (lambda _: "None", {}, ("exported is 'None'", "the template that gave this")),
    "no manifest": (lambda _: "file:///nowhere", {}, ("There is no _manifest.json", "Run the export first")),
    "an unknown mode": (lambda export: export(1), {"mode": "{{ 'replcae' }}"}, ("Did you mean 'replace'?",)),
    "rows of another project": (
        lambda export: with_rows(export(1), lambda rows: with_values(rows, "project_id", ["other"] * rows.num_rows)),
        {},
        ("has rows of project other", "Nothing was loaded. Export the window again."),
    ),
    "rows outside of the window": (
        lambda export: with_rows(export(1), lambda rows: with_values(rows, "start_time", [START] * rows.num_rows)),
        {},
        ("outside of its window. Nothing was loaded.", "Window: [2026-03-02T00:00:00Z, 2026-03-03T00:00:00Z)."),
    ),
    "no statistics": (
        lambda export: with_rows(export(1), lambda rows: rows, write_statistics=False),
        {},
        ("has no statistics of its column 'project_id'. Export the window again",),
    ),
    "fewer rows than counted": (
        lambda export: with_manifest(export(1), fewer_rows),
        {},
        ("rows, and its manifest says", "Export the window again."),
    ),
}


def test_what_does_not_fit_is_refused_before_anything_changes(
    kind: Kind, load: LoadInto, export_day: ExportDay, refuse: Refuse
) -> None:
    """Each wrong export is refused for good with its cure, and the table has the rows and files that it had."""
    load(export_day(), kind.uri("runs"))
    before = snapshot(kind, "runs")
    for name, (export, arguments, texts) in NOT_FITTING.items():
        message = refuse(export(export_day), kind.uri("runs"), **arguments)
        assert all(text in message for text in texts), (name, message)
        assert "schema_changes='fail' refuses" not in message or name == "fewer columns"
    assert snapshot(kind, "runs") == before


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda content: content[:-1] + b"!", "is no Parquet file"),
        (lambda content: content[: len(content) // 2], "is no Parquet file"),
        (lambda content: content[:100] + b"!" + content[101:], "its digest differs"),
        (lambda _: None, "is gone, though the manifest lists it"),
    ],
    ids=["not Parquet", "cut", "changed", "gone"],
)
def test_a_part_that_is_not_what_the_manifest_lists_may_be_right_later(
    kind: Kind,
    load: LoadInto,
    export_day: ExportDay,
    refuse: Refuse,
    change: Callable[[bytes], bytes | None],
    text: str,
) -> None:
    """A part that is damaged or gone fails the task for a retry, and the table is as before."""
    load(export_day(), kind.uri("runs"))
    before = snapshot(kind, "runs")
    message = refuse(with_part(export_day(1), change), kind.uri("runs"), LangSmithException)
    assert text in message
    assert "export the window again" in message
    assert snapshot(kind, "runs") == before


def make_foreign(kind: Kind, columns: dict[str, str]) -> None:
    """Make a table that no load made, with a row; the types are those of SQL."""
    arrow = {"bigint": pa.int64(), "text": pa.string()}
    rows = pa.table({name: pa.array([None], arrow[type_]) for name, type_ in columns.items()})
    names = ", ".join(f'"{name}" {type_}' for name, type_ in columns.items())
    match kind:
        case Iceberg():
            from airflow.providers.apache.iceberg.hooks.iceberg import IcebergHook  # noqa: PLC0415  # half a second

            catalog = IcebergHook(kind.conn_id).catalog
            catalog.create_namespace_if_not_exists("lake")
            catalog.create_table("lake.foreign", rows.schema).append(rows)
        case Delta():
            write_deltalake(kind.directory / "foreign", rows)
        case DuckDb():
            with duckdb.connect(str(kind.path)) as connection:
                connection.execute(f"create schema lake; create table lake.foreign ({names})")
        case Postgres():
            with kind.connect() as connection:
                connection.execute(f'create schema lake; create table lake."foreign" ({names})')


def test_a_table_that_no_load_made_is_refused(kind: Kind, export_day: ExportDay, refuse: Refuse) -> None:
    """A table with columns that no export has is refused, naming them; it may hold anything."""
    make_foreign(kind, {"amount": "bigint", "customer": "text"})
    message = refuse(export_day(), kind.uri("foreign"))
    assert "was not made by a load, and has columns that no export has: amount, customer." in message
    assert "Load into another table" in message
    assert kind.rows("foreign")[:1] in ([], [{"amount": None, "customer": None}])


def test_a_column_of_another_type_is_refused(kind: Kind, export_day: ExportDay, refuse: Refuse) -> None:
    """A column of another type in the table is refused, and both types are named."""
    make_foreign(kind, {"name": "bigint"})
    message = refuse(export_day(), kind.uri("foreign"))
    long = {"Iceberg": "long", "Delta": "long", "DuckDb": "BIGINT", "Postgres": "bigint"}[type(kind).__name__]
    text = {"Iceberg": "string", "Delta": "string", "DuckDb": "VARCHAR", "Postgres": "text"}[type(kind).__name__]
    assert f"The column 'name' is {long} in the table, and {text} (string) in the export." in message


def test_nul_characters_are_told_where_they_cannot_be_stored(
    kind: Kind, load: LoadInto, export_day: ExportDay, task_log: TaskLog
) -> None:
    """PostgreSQL gets texts and lists without their NUL characters, which the log says once; other kinds keep them."""

    def add_nul(rows: Any) -> Any:
        names = ["a\0b", *rows.column("name").to_pylist()[1:]]
        tags = [["x\0", "y", None], None, [], *rows.column("tags").to_pylist()[3:]]
        return with_values(with_values(rows, "name", names), "tags", tags)

    exported = with_rows(export_day(), add_nul)
    path, manifest = manifest_of(exported)
    expected = pq.read_table(path.parent / manifest["files"][0]["name"]).to_pylist()
    load(exported, kind.uri("runs"))
    is_postgres = isinstance(kind, Postgres)
    if is_postgres:
        expected[0].update(name="ab", tags=["x", "y", None])
    by_id = {row["run_id"]: row for row in kind.rows("runs")}
    assert [(by_id[row["run_id"]]["name"], by_id[row["run_id"]]["tags"]) for row in expected] == [
        (row["name"], row["tags"]) for row in expected
    ]
    warnings = [line for level, line in task_log() if level == "warning" and "NUL" in line]
    assert warnings == ["2 texts lost their NUL characters, which PostgreSQL cannot store"] * is_postgres


@pytest.fixture
def public_export(export_day: ExportDay, tmp_path: Path) -> Exported:
    """An export that other users of the machine may read."""
    exported = export_day()
    for path in tmp_path.parents:
        if path.owner() == tmp_path.owner() and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(path.stat().st_mode | 0o055)
    return exported


@pytest.mark.parametrize(
    "table", ["delta://{}/runs", "duckdb://{}/runs.duckdb?table=runs", "duckdb://{}/x/y?table=runs"]
)
def test_a_directory_that_the_worker_may_not_write_is_named(
    table: str, tmp_path: Path, public_export: Exported, refuse: Refuse
) -> None:
    """A directory without the right to write is refused for good, and nothing is left there."""
    (tmp_path / "lake").mkdir(mode=0o555)
    with plain_user():
        message = refuse(public_export, table.format(tmp_path / "lake"))
    assert "The worker may not " in message
    assert "Let the task's user write" in message
    assert list((tmp_path / "lake").iterdir()) == []


def test_a_delta_table_of_another_user_is_named(
    delta: Delta, load: LoadInto, export_day: ExportDay, public_export: Exported, refuse: Refuse
) -> None:
    """What the store refuses while rows are written is no error of the worker's disk, and the table is as before."""
    load(export_day(1), delta.uri("runs"))
    before = snapshot(delta, "runs")
    for path in (delta.directory, *delta.directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with plain_user():
        message = refuse(public_export, delta.uri("runs"))
    assert f"The worker may not read and write {delta.uri('runs')}" in message
    assert snapshot(delta, "runs") == before


def test_a_warehouse_that_the_worker_may_not_write_is_named(
    iceberg: Iceberg, load: LoadInto, export_day: ExportDay, public_export: Exported, refuse: Refuse
) -> None:
    """A warehouse of Iceberg without the right to write is refused for good, and the table is as before."""
    second = export_day(1)
    load(second, iceberg.uri("runs"))
    before = snapshot(iceberg, "runs")
    for path in (iceberg.directory, *iceberg.directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o666)
    iceberg.directory.chmod(0o777)  # of the catalog
    with plain_user():
        message = refuse(public_export, iceberg.uri("runs"))
    assert "Connection 'iceberg_tests' may not read and write iceberg://iceberg_tests/lake.runs" in message
    assert "grant it the rights in the catalog and in the store" in message
    assert snapshot(iceberg, "runs") == before


HOLD = "import duckdb, sys; connection = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"


def test_a_file_that_another_process_has_open_may_be_free_later(
    duckdb_file: DuckDb, export_day: ExportDay, load: LoadInto, refuse: Refuse
) -> None:
    """A DuckDB file that another process has open fails the task for a retry, which lands once it is closed."""
    exported = export_day()
    command = [sys.executable, "-c", HOLD, str(duckdb_file.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        message = refuse(exported, duckdb_file.uri("runs"), LangSmithException)
        other.communicate("\n")
    assert f"Another process has {duckdb_file.path} open" in message
    assert f"(PID {other.pid})" in message
    assert load(exported, duckdb_file.uri("runs"))["rows_added"] == exported["rows"]


def test_a_file_of_another_kind_is_left_alone(duckdb_file: DuckDb, export_day: ExportDay, refuse: Refuse) -> None:
    """A file that is no DuckDB file, and a path below a file, are refused for good; the file is not touched."""
    duckdb_file.path.write_text("accounts")
    exported = export_day()
    assert "is no file that this version of DuckDB can open" in refuse(exported, duckdb_file.uri("runs"))
    assert "Correct the path" in refuse(exported, f"duckdb://{duckdb_file.path}/x?table=runs")
    assert "Correct the path" in refuse(exported, f"delta://{duckdb_file.path}")
    assert "Correct the path" in refuse(exported, f"delta://{duckdb_file.path}/x")
    assert duckdb_file.path.read_text() == "accounts"


def test_names_that_postgres_would_cut_are_refused(
    postgres: Postgres, load: LoadInto, export_day: ExportDay, refuse: Refuse
) -> None:
    """Names of 64 bytes are refused, of a table and of a column; with 63 bytes they are whole."""
    long = "é" * 32
    assert long in refuse(export_day(), postgres.uri(long))

    def with_column(name: str) -> Exported:
        def rename(rows: Any) -> Any:
            return rows.rename_columns([name if column == "error" else column for column in rows.column_names])

        def rename_in(manifest: Any) -> None:
            next(column for column in manifest["columns"] if column["name"] == "error").update(name=name)

        return with_manifest(with_rows(export_day(), rename), rename_in)

    assert "Use shorter names." in refuse(with_column(long), postgres.uri("runs"))
    load(with_column(long[:-1]), postgres.uri("runs"))
    assert long[:-1] in postgres.rows("runs")[0]
