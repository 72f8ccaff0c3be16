"""The rows of a day by Bulk Export are those by the API, for every column that Bulk Export has."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.api.bulk_rows import export_fields
from airflow_langsmith.operators import LangSmithBulkExportOperator, LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import VIEWS
from tests.conftest import ReadRows

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
COLUMNS = {column.name: column for column in VIEWS["runs"].columns}
ABSENT = {name for name, column in COLUMNS.items() if export_fields(column.fields)[1]}

PAYLOADS: list[Any] = [
    {},
    {"input": "plain"},
    {"input": "3"},
    {"input": {"question": "why?", "tags": []}},
    {"input": [{"role": "user"}], "output": {"input": {"a": 1}}},
    {"text": 'say "hi"\n\u2028 \x00 🦜', "empty": "", "list": [], "object": {}},
    {"number": 2**63, "small": 1e-300, "exact": 0.1, "big": 12345678901234567890123, "true": True},
    {"deep": [[{"a": [1, {"b": [None, 2]}]}]]},
    {"Key": 1, "key": 2, "a.b": 3, "": 4},
]


@pytest.fixture(scope="module")
def langsmith() -> Any:
    """A workspace of agent traces, with odd runs at the bounds of the day."""
    with LangSmithStandIn() as server:
        server.load_sample(start=START, days=1, traces_per_day=40)
        for number, payload in enumerate(PAYLOADS):
            start = START + number * timedelta(minutes=7) + MICROSECOND
            server.add_run(
                project=PROJECT,
                start_time=start,
                end_time=None if number % 3 == 0 else start,
                inputs=payload,
                outputs=payload,
                tags=["prod", 'a "b"', "ü"][: number % 4],
                error="Traceback ..." if number == 2 else None,
                extra={"metadata": {"thread_id": [number + 1, f"thread-{number}"][number % 2], "ls_model_name": "gpt"}},
                events=[{"name": "new_token", "time": start.isoformat()}],
                reference_example_id="0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b",
            )
        for start in (START, START + DAY - MICROSECOND, START + DAY, START - MICROSECOND):
            server.add_run(project=PROJECT, name=f"at {start}", start_time=start, end_time=start + DAY)
        yield server


@pytest.fixture(scope="module")
def bucket(langsmith: LangSmithStandIn, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bucket, and the id of the destination in it."""
    root = tmp_path_factory.mktemp("bucket")
    return root, langsmith.add_bulk_destination(root)


def comparable(rows: list[dict[str, Any]], *, is_padded: bool) -> dict[str, dict[str, Any]]:
    """Return rows by their id, with JSON as values, and without what Bulk Export does not have."""

    def value(name: str, written: Any) -> Any:
        if written is None or name not in COLUMNS or COLUMNS[name].type != "json":
            return written
        read = json.loads(written)
        return without_nulls(read) if is_padded and name != "feedback_stats" else read

    return {
        row["run_id"]: {name: value(name, written) for name, written in row.items() if name not in ABSENT}
        for row in rows
    }


def without_nulls(value: Any) -> Any:
    """Return JSON without the null members of its objects: nothing tells a user's own from padding."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("layout", ["resource=runs", "runs"])
@pytest.mark.parametrize(("format_version", "structs"), [("v1", False), ("v2_beta", False), ("v2_beta", True)])
@pytest.mark.parametrize(("backend", "version"), [("clickhouse", "v1"), ("smithdb", "v2")])
def test_rows_by_bulk_export_are_those_by_the_api(  # the ways in which they may differ
    langsmith: LangSmithStandIn,
    bucket: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_rows: ReadRows,
    layout: Any,
    format_version: Any,
    structs: bool,
    backend: Any,
    version: str,
) -> None:
    """Both formats and layouts give the rows of the API version whose store they come from, value by value."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(api_version=version, requests_per_10s=100_000)
    )
    langsmith.bulk.layout, langsmith.bulk.backend, langsmith.bulk.structs = layout, backend, structs
    langsmith.bulk.partition, langsmith.bulk.max_rows_per_file = timedelta(hours=6), 20
    root, destination_id = bucket
    arguments: dict[str, Any] = {
        "project": PROJECT,
        "start_time": START,
        "end_time": START + DAY,
        "columns": list(COLUMNS),
        "flatten": ["metadata.thread_id"],
    }
    bulk = LangSmithBulkExportOperator(
        task_id="bulk",
        bulk_destination_id=destination_id,
        files_at=f"file://{root}",
        destination=f"file://{tmp_path}/bulk",
        format_version=format_version,
        poll_interval=0.02,
        deferrable=False,
        **arguments,
    )
    export = LangSmithExportOperator(task_id="export", destination=f"file://{tmp_path}/api", **arguments)
    is_padded = format_version == "v2_beta"
    by_bulk, by_api = (read_rows(task.execute({})["manifest"]) for task in (bulk, export))
    assert len(by_bulk) == len(by_api) > 150
    assert all(row[name] is None for row in by_bulk for name in ABSENT)
    expected = comparable(by_api, is_padded=is_padded)
    rows = comparable(by_bulk, is_padded=is_padded)
    assert rows.keys() == expected.keys()
    for run_id, row in rows.items():
        assert row == expected[run_id]


def test_what_bulk_export_does_not_have() -> None:
    """The columns that are null are these, and the page about Bulk Export lists them."""
    assert {
        *("attachments", "in_dataset", "serialized", "prompt_token_details", "completion_token_details"),
        *("prompt_cost_details", "completion_cost_details"),
    } == ABSENT
