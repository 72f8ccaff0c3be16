"""What query engines and table formats rely on in Parquet: columns without nulls, and bounds to skip row groups by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from msgspec import Raw

from airflow_langsmith.api.records import Run
from airflow_langsmith.errors import PayloadError
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import VIEWS, Rows, View, view_of
from tests.conftest import ClientOf, RunExport
from tests.wording import says

MakeRun = Callable[..., Run]
ExportPart = Callable[..., Path]

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
REQUIRED = {
    "runs": {"run_id", "project_id", "start_time"},
    "traces": {"trace_id", "project_id", "start_time"},
    "retrievals": {"trace_id", "project_id", "start_time"},
    "feedback": {"feedback_id", "project_id", "created_at"},
    "threads": {"thread_id", "project_id", "last_start_time"},
}
VALUES: dict[str, Any] = {
    "string": "text",
    "boolean": True,
    "integer": 1,
    "number": 0.5,
    "timestamp": START,
    "strings": ["text"],
    "json": Raw(b"{}"),
}
EVERY_VIEW = pytest.mark.parametrize("name", VIEWS)


@pytest.fixture(scope="module")
def langsmith() -> Iterator[LangSmithStandIn]:
    """A workspace with rows of each view."""
    with LangSmithStandIn() as server:
        server.load_sample(start=START, days=1, traces_per_day=20)
        yield server


@pytest.fixture
def export_part(langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport) -> ExportPart:
    """Export a day of a view, or another one, and return its only part."""

    def export(name: str, start: datetime = START, **transforms: Any) -> Path:
        shape = {"view": view_of(name), "transforms": RowTransforms(**transforms)}
        exported = export_runs(client_of(langsmith), PROJECT, start, start + DAY, **shape)
        (file,) = exported.manifest.files
        return Path(exported.uri.removeprefix("file://")).with_name(file.name)

    return export


def required_in(path: Path) -> set[str]:
    """Return the columns of a file that have no nulls by its schema, as DuckDB reads it."""
    query = f"SELECT name FROM parquet_schema('{path}') WHERE repetition_type = 'REQUIRED' AND num_children IS NULL"
    return {name for (name,) in duckdb.execute(query).fetchall()}


def bounds_in(path: Path) -> dict[str, tuple[str, str]]:
    """Return the least and the greatest value of columns in the first row group, as DuckDB reads them."""
    bounds = "path_in_schema, stats_min_value, stats_max_value"
    query = f"SELECT {bounds} FROM parquet_metadata('{path}') WHERE row_group_id = 0 AND stats_min_value IS NOT NULL"
    return {name: (least, greatest) for name, least, greatest in duckdb.execute(query).fetchall()}


@EVERY_VIEW
def test_key_time_and_project_are_required(export_part: ExportPart, name: str) -> None:
    """The key, the time and the project of each view have no nulls by the schema, also in a part without rows."""
    assert {VIEWS[name].key, VIEWS[name].time, "project_id"} == REQUIRED[name]
    assert required_in(export_part(name)) == REQUIRED[name]
    assert required_in(export_part(name, START - DAY)) == REQUIRED[name]


@EVERY_VIEW
def test_engines_can_skip_by_keys_times_and_numbers(export_part: ExportPart, name: str) -> None:
    """Each column of ids, times, numbers or flags has its exact bounds in the file; payloads and errors have none."""
    path, view = export_part(name), view_of(name)
    bounds, table = bounds_in(path), pq.read_table(path)
    assert table.num_rows > 0
    for column in view.columns:
        values = [value for value in table[column.name].to_pylist() if value is not None]
        if column.type == "json" or column.name in ("error", "last_error", "comment", "dotted_order"):
            assert column.name not in bounds
        elif column.type == "string" and values:
            assert bounds[column.name] == (min(values), max(values))
        elif column.type != "strings" and values:
            assert column.name in bounds
    (project_id,) = set(table["project_id"].to_pylist())
    assert bounds["project_id"] == (project_id, project_id)


def test_engines_can_skip_by_flat_ids(export_part: ExportPart) -> None:
    """A flat column of ids or numbers has bounds as well; one of any other text has none."""
    paths = ("metadata.user_id", "outputs.usage_metadata.total_tokens:integer", "metadata.ls_provider")
    path = export_part("runs", flatten=paths)
    values = [value for value in pq.read_table(path)["metadata__user_id"].to_pylist() if value is not None]
    bounds = bounds_in(path)
    assert bounds["metadata__user_id"] == (min(values), max(values))
    assert "outputs__usage_metadata__total_tokens" in bounds
    assert "metadata__ls_provider" not in bounds


@pytest.mark.parametrize(("name", "required"), [(name, column) for name in VIEWS for column in sorted(REQUIRED[name])])
def test_a_null_in_a_required_column_fails(tmp_path: Path, name: str, required: str) -> None:
    """A row without its key, time or project fails by the column's name; JSONL and CSV take it."""
    view = view_of(name)
    columns = [[VALUES[column.type], VALUES[column.type]] for column in view.columns]
    columns[[column.name for column in view.columns].index(required)][1] = None
    encoder = format_of("parquet").open(tmp_path / "part", view)
    with pytest.raises(PayloadError, match=says(rf"Column '{required}' of view '{name}' has a null.* JSONL or CSV")):
        encoder.write(Rows(columns, 2))
    for other in ("jsonl", "csv"):
        encoder = format_of(other).open(tmp_path / other, view)
        encoder.write(Rows(columns, 2))
        encoder.close()


@pytest.mark.parametrize("rules", [{"metadata": "drop"}, {"thread_id": {"call": "builtins.str"}}])
def test_a_column_that_redaction_may_clear_is_not_required(export_part: ExportPart, rules: Any) -> None:
    """If a rule drops the key, or calls a function that may, the export still lands, and the schema allows nulls."""
    path = export_part("threads", redact=rules)
    assert required_in(path) == {"project_id", "last_start_time"}
    dropped = set(pq.read_table(path)["thread_id"].to_pylist()) == {None}
    assert dropped == ("metadata" in rules)


@pytest.mark.parametrize(
    "rules", [{"metadata": "hash"}, {"*": {"patterns": ["email"]}}, {"thread_id": {"truncate": 9}}]
)
def test_a_redaction_that_keeps_values_keeps_columns_required(export_part: ExportPart, rules: Any) -> None:
    """Hashes, patterns and truncation leave no nulls, so the key stays required."""
    assert required_in(export_part("threads", redact=rules, redact_key="secret")) == REQUIRED["threads"]


def test_a_part_has_no_second_schema(make_run: MakeRun, tmp_path: Path, whole_view: View) -> None:
    """A part of no rows is small: the schema is there once, as Parquet has it, not again for Arrow."""
    encoder = format_of("parquet").open(tmp_path / "part", whole_view)
    encoder.write(whole_view.rows([]))
    encoder.close()
    assert pq.read_metadata(tmp_path / "part").metadata is None
