"""The columns of a view are the same with both API versions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_langsmith.export.arrow import schema_of
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import VIEWS, view_of
from tests.conftest import ClientOf, ReadRows, RunExport

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ALL = [column.name for column in VIEWS["runs"].columns]

# Fields that are empty in the sample.
EVERYTHING: dict[str, Any] = {
    "reference_example_id": "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b",
    "attachments": {"photo.png": ("image/png", b"png")},
    "outputs": {
        "usage_metadata": {
            "input_tokens": 7,
            "output_tokens": 5,
            "total_tokens": 12,
            "input_token_details": {"cache_read": 3},
            "output_token_details": {"reasoning": 2},
            "input_cost": 0.07,
            "output_cost": 0.05,
            "input_cost_details": {"cache_read": 0.01},
            "output_cost_details": {"reasoning": 0.02},
        }
    },
}

# v1 includes the usage of children, v2 does not; the page about columns says so.
ROLLED_UP = {name for name in ALL if name.endswith(("tokens", "_cost", "_details"))} | {"first_token_time"}
# These differ by version, and are not among the default columns.
OWN = {"extra", "serialized", "in_dataset"}


@pytest.fixture
def langsmith() -> Any:
    """A workspace of agent traces."""
    with LangSmithStandIn() as server:
        server.load_sample(start=START, days=1, traces_per_day=40)
        server.add_run(project=PROJECT, start_time=START, run_type="llm", **EVERYTHING)
        yield server


def comparable(row: dict[str, Any], *, leaf: bool) -> dict[str, Any]:
    """Return what both versions must have in common, with JSON as values."""
    values = {
        name: json.loads(value) if value is not None and TYPES[name] == "json" else value
        for name, value in row.items()
        if name not in OWN and (leaf or name not in ROLLED_UP)
    }
    stats = values["feedback_stats"] or {}
    common = {key: {name: of_key[name] for name in ("avg", "values", "comments")} for key, of_key in stats.items()}
    return {**values, "feedback_stats": common}


TYPES = {column.name: column.type for column in VIEWS["runs"].columns}


def test_both_versions_give_the_same_rows(
    langsmith: LangSmithStandIn,
    client_of: ClientOf,
    export_runs: RunExport,
    read_rows: ReadRows,
) -> None:
    """v1 and v2 give the same rows, except for the usage of parents."""
    by_version = {
        version: {
            row["run_id"]: row
            for row in read_rows(
                export_runs(
                    client_of(langsmith, version), PROJECT, START, START + DAY, columns=ALL, partition=version
                ).uri
            )
        }
        for version in ("v1", "v2")
    }
    parents = {row["parent_run_id"] for row in by_version["v1"].values()}
    assert len(by_version["v1"]) > 150
    assert by_version["v1"].keys() == by_version["v2"].keys()
    for run_id, row in by_version["v1"].items():
        leaf = run_id not in parents
        assert comparable(row, leaf=leaf) == comparable(by_version["v2"][run_id], leaf=leaf)
    leaves = [row for run_id, row in by_version["v1"].items() if run_id not in parents]
    assert any(row["total_tokens"] for row in leaves)
    for column in set(ALL) - OWN:
        assert any(row[column] is not None for row in by_version["v1"].values()), f"{column} is null in all rows"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_each_part_has_the_types_of_its_view(
    langsmith: LangSmithStandIn,
    version: str,
    client_of: ClientOf,
    export_runs: RunExport,
) -> None:
    """Names, types and order of the columns are those of the view, also in an empty part."""
    client = client_of(langsmith, version)
    full = export_runs(client, PROJECT, START, START + DAY, max_rows_per_file=50)
    empty = export_runs(client, PROJECT, START - DAY, START)
    assert len(full.manifest.files) > 2
    assert (empty.manifest.rows, len(empty.manifest.files)) == (0, 1)
    for exported in (full, empty):
        assert [column.name for column in exported.manifest.columns] == [
            column.name for column in view_of("runs").columns
        ]
        directory = exported.uri.removeprefix("file://").removesuffix("_manifest.json")
        for file in exported.manifest.files:
            assert pq.read_schema(directory + file.name).equals(schema_of(view_of("runs")))


def test_a_query_selects_the_fields_of_its_columns(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport
) -> None:
    """A query selects only the fields of its columns, within its bounds, with both versions."""
    for version in ("v1", "v2"):
        export_runs(client_of(langsmith, version), PROJECT, START, START + DAY, columns=["run_id", "status"])
    v1, v2 = (langsmith.requests_to(f"/{version}/runs/query")[0].body for version in ("v1", "v2"))
    assert v1["select"] == ["end_time", "id", "start_time", "status"]
    assert v2["selects"] == ["END_TIME", "ID", "START_TIME", "STATUS"]
    assert {"min_start_time", "max_start_time"} <= v2.keys()
    assert v1["start_time"] < "2026-03-01"
    assert "end_time" not in v1
