"""Exports of a trace, or of runs by their ids, whenever they started."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import pytest

from airflow_langsmith.airflow_sdk import AirflowFailException
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ReadRows
from tests.wording import says

LONG_AGO, NOW = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
A_DAY: Any = {"data_interval_start": NOW, "data_interval_end": NOW + timedelta(days=1)}
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


def trace(langsmith: LangSmithStandIn, start: datetime) -> str:
    """Log a trace of three runs, the last of which starts two days later."""
    root = langsmith.add_run(project="shop", name="root", start_time=start)
    for number, delay in enumerate((timedelta(seconds=1), timedelta(days=2))):
        langsmith.add_run(project="shop", name=f"child {number}", parent_run_id=root, start_time=start + delay)
    return root


def export(destination: Path, context: Any = MappingProxyType({}), **arguments: Any) -> dict[str, Any]:
    """Export, as a task of an arbitrary DAG run does."""
    where: Any = {"destination": f"file://{destination}", "format": "parquet"}
    operator = LangSmithExportOperator(**{"task_id": "export", "project": "shop", **where, **arguments})
    result: dict[str, Any] = operator.execute(context)
    return result


@BOTH
def test_a_trace(langsmith: LangSmithStandIn, connect: Any, version: str, tmp_path: Path, read_rows: ReadRows) -> None:
    """All runs of a trace land in the partition of its id, for any data interval, and again unchanged."""
    connect(langsmith, version)
    root, _ = trace(langsmith, LONG_AGO), trace(langsmith, NOW)
    result = export(tmp_path, A_DAY, trace_id=root)
    assert result["manifest"] == f"file://{tmp_path}/runs/project=shop/trace={root}/_manifest.json"
    assert [row["name"] for row in read_rows(result["manifest"])] == ["child 1", "child 0", "root"]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    export(tmp_path, trace_id=root.upper())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@BOTH
def test_runs_by_their_ids(langsmith: LangSmithStandIn, connect: Any, version: str, tmp_path: Path) -> None:
    """The ids decide the partition, in any order, and an empty list exports no runs."""
    connect(langsmith, version)
    ids = [trace(langsmith, start) for start in (LONG_AGO, NOW)]
    result, reversed_result = (export(tmp_path, run_ids=order) for order in (ids, list(reversed(ids))))
    assert result["rows"] == 2
    assert result["manifest"] == reversed_result["manifest"]
    assert "/runs/project=shop/runs=" in result["manifest"]
    assert export(tmp_path, run_ids=[])["rows"] == 0
    assert read_manifest(result).query == {"run_ids": sorted(ids)}


def test_with_a_window_they_are_those_of_the_window(langsmith: LangSmithStandIn, connect: Any, tmp_path: Path) -> None:
    """With a window, ids narrow the query, and the partition is that of the window."""
    connect(langsmith)
    root = trace(langsmith, NOW)
    result = export(tmp_path, A_DAY, trace_id=root, window="1d", start_time=NOW, end_time=NOW + timedelta(days=1))
    assert (result["rows"], "/date=2026-03-01/" in result["manifest"]) == (2, True)


@pytest.mark.parametrize("view", ["traces", "threads"])
def test_other_views(langsmith: LangSmithStandIn, connect: Any, tmp_path: Path, view: str) -> None:
    """``trace_id`` works for other views, such as the thread that has the trace as a turn."""
    connect(langsmith)
    thread = {"extra": {"metadata": {"thread_id": "t"}}}
    root = langsmith.add_run(project="shop", start_time=LONG_AGO, **thread)
    langsmith.add_run(project="shop", start_time=NOW, **thread)
    assert export(tmp_path, view=view, trace_id=root)["rows"] == 1


def test_a_pattern_goes_before(langsmith: LangSmithStandIn, connect: Any, tmp_path: Path) -> None:
    """A ``partition`` of the user goes before the default."""
    connect(langsmith)
    result = export(tmp_path, trace_id=trace(langsmith, NOW), partition="case=7")
    assert result["manifest"].endswith("/runs/project=shop/case=7/_manifest.json")


def test_a_trace_id_is_a_uuid(langsmith: LangSmithStandIn, connect: Any, tmp_path: Path) -> None:
    """A trace id that is no UUID is refused."""
    connect(langsmith)
    langsmith.add_project("shop")
    with pytest.raises(AirflowFailException, match=says("trace_id is '../x'; trace ids are UUIDs")):
        export(tmp_path, trace_id="../x")
    assert export(tmp_path, trace_id=str(uuid4()))["rows"] == 0
