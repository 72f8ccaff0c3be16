"""Files as a bulk export writes them, made of runs as the API sends them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_langsmith.api.records import Project

SHOP = Project(id="7b0f2f6e-0c35-4a4e-9d0a-1f6f0c7c1a11", name="shop")
START = datetime(2026, 3, 1, tzinfo=UTC)
VERSIONS = ("v1", "v2_beta")

IDS = ("id", "trace_id", "parent_run_id", "session_id", "reference_example_id")
TIMES = ("start_time", "end_time", "first_token_time")
JSON = ("inputs", "outputs", "extra", "events", "feedback_stats", "tags", "parent_run_ids")
TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys((*IDS, *JSON, "name", "run_type", "status", "dotted_order", "trace_tier", "error"), pa.string()),
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), pa.int64()),
    **dict.fromkeys(("prompt_cost", "completion_cost", "total_cost"), pa.float64()),
    "tenant_id": pa.string(),
    "is_root": pa.bool_(),
}


def wire_run(number: int, **fields: Any) -> dict[str, Any]:
    """Return a run with the names and values of the API, a second after the one before."""
    id_ = str(UUID(int=number + 1))
    start = f"2026-03-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:06}"
    return {
        "id": id_,
        "trace_id": id_,
        "parent_run_id": None,
        "parent_run_ids": [],
        "session_id": SHOP.id,
        "tenant_id": str(UUID(int=7)),
        "is_root": True,
        "name": "answer",
        "run_type": "llm",
        "status": "success",
        "trace_tier": "shortlived",
        "start_time": start,
        "end_time": start,
        "first_token_time": None,
        "dotted_order": f"20260301T000000000000Z{id_}",
        "reference_example_id": None,
        "error": None,
        "tags": ["production"],
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "total_tokens": 12,
        "prompt_cost": 0.07,
        "completion_cost": 0.05,
        "total_cost": 0.12,
        "inputs": {"question": f"Where is parcel {number}?"},
        "outputs": {"answer": "On its way."},
        "extra": {"metadata": {"thread_id": f"thread {number // 5}", "ls_model_name": "gpt-5-mini"}},
        "events": [{"name": "start", "time": start}],
        "feedback_stats": {"score": {"n": 1, "avg": 1.0}},
        **fields,
    }


def columns_of(runs: Iterable[Mapping[str, Any]], version: str) -> dict[str, list[Any]]:
    """Return the columns of a file with these runs; a value that is text or bytes already stays as it is."""
    rows = [_row(run, version) for run in runs]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _row(run: Mapping[str, Any], version: str) -> dict[str, Any]:
    row = dict(run)
    for name in JSON:
        value = row[name]
        if name == "inputs" and version != "v1" and isinstance(value, dict):
            value = {"padding": None, **value}
            if isinstance(value.get("input"), dict | list):
                value["input"] = json.dumps(value["input"])
        row[name] = value if value is None or isinstance(value, str | bytes) else json.dumps(value)
    if version != "v1":
        row |= {name: row[name] and json.dumps(row[name]) for name in IDS}
    return row


def table_of(runs: Iterable[Mapping[str, Any]], version: str) -> pa.Table:
    """Return the rows of a file with these runs."""
    arrays = {
        name: _times(values, version) if name in TIMES else pa.array(values, TYPES[name])
        for name, values in columns_of(runs, version).items()
    }
    return pa.table(arrays)


def write_file(path: Path, runs: Iterable[Mapping[str, Any]], version: str = "v1", **options: Any) -> Path:
    """Write a file of runs."""
    return write_table(path, table_of(runs, version), **options)


def write_table(path: Path, table: pa.Table, **options: Any) -> Path:
    """Write a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", **options)
    return path


def _times(values: list[str | None], version: str) -> pa.Array:
    """Return times; text may have nanoseconds."""
    type_ = pa.timestamp("ns") if version == "v1" else pa.timestamp("ns", tz="UTC")
    return pa.array(values, pa.string()).cast(pa.timestamp("ns")).cast(pa.int64()).cast(type_)
