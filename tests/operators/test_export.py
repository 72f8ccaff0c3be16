"""The export operator as a DAG uses it: arguments, templates, what it returns, how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest
from airflow.sdk import DAG

from airflow_langsmith.airflow_errors import LangSmithException
from airflow_langsmith.airflow_sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
)
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.messages import MAX_LINE
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ReadRows, TaskLog
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)

Run = Callable[..., Any]


@pytest.fixture
def shop(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> LangSmithStandIn:
    """A project with two days of runs, and a connection to it."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(max_retries=0, requests_per_10s=1000))
    for minute in range(20):
        start = START + timedelta(minutes=minute)
        root = langsmith.add_run(project="shop", start_time=start, end_time=start, tags=["é"])
        langsmith.add_run(project="shop", start_time=start, parent_run_id=root, run_type="tool", error="no")
    langsmith.add_run(project="shop", start_time=START + DAY)
    return langsmith


def test_what_it_returns(shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows, run: Run) -> None:
    """The result is a small dict that names the manifest and counts what landed."""
    result = run(LangSmithExportOperator(task_id="export", project="shop", destination=f"file://{tmp_path}"))
    manifest = tmp_path / "runs/project=shop/date=2026-03-01/_manifest.json"
    assert result == {
        "manifest": f"file://{manifest}",
        "view": "runs",
        "project": "shop",
        "project_id": shop.project_id("shop"),
        "window_start": "2026-03-01T00:00:00+00:00",
        "window_end": "2026-03-02T00:00:00+00:00",
        "rows": 40,
        "files": 1,
        "bytes": sum(part.stat().st_size for part in manifest.parent.glob("part-*")),
        "pending": 20,
        "misfits": 0,
        "missing_payloads": 0,
        "schema_changes": 0,
        "requests": 2,
        "seconds": result["seconds"],
        "waited_seconds": result["waited_seconds"],
    }
    assert 0 <= result["waited_seconds"] < result["seconds"] < 60
    assert len(read_rows(result["manifest"])) == 40
    assert len(json.dumps(result)) < 2048


def test_a_dag_s_default_arguments_are_taken(shop: LangSmithStandIn, tmp_path: Path, run: Run) -> None:
    """Arguments may come from the DAG's ``default_args``, as for any operator."""
    with DAG("d", schedule=None, default_args={"project": "shop", "format": "csv", "is_root": True}):
        operator = LangSmithExportOperator(task_id="export", destination=f"file://{tmp_path}")
    assert run(operator)["rows"] == 20
    assert list(tmp_path.rglob("*.csv.gz"))


def test_every_argument_works_as_a_template(
    shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows, run: Run
) -> None:
    """Rendered templates are text; every argument reads the text of its value as the value."""
    values: dict[str, Any] = {
        "project": "shop",
        "destination": f"file://{tmp_path}",
        "view": "runs",
        "run_type": "tool",
        "is_root": False,
        "error": True,
        "filter": 'eq(run_type, "tool")',
        "trace_filter": "eq(is_root, true)",
        "tree_filter": "eq(is_root, true)",
        "trace_id": "",
        "run_ids": ["0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"],
        "reference_example_id": "",
        "start_time": START,
        "end_time": START + DAY,
        "window": "1d",
        "align": "hour",
        "window_timezone": "Asia/Tokyo",
        "lag": "1h",
        "missing_window": "run_after",
        "format": "parquet",
        "compression": "snappy",
        "columns": ["run_id", "name"],
        "only_with_tools": False,
        "with_feedback": True,
        "include_modified": False,
        "refresh": "",
        "lookback": "30d",
        "sample": {"rate": 1, "key": "trace_id"},
        "flatten": ["inputs.q"],
        "redact": "",
        "redact_conn_id": "",
        "schema_changes": "evolve",
        "schema_manifest": "",
        "payloads": "flag",
        "attachments": "list",
        "max_rows_per_file": 7,
        "max_bytes_per_file": 1_048_576,
        "on_empty": "write",
        "concurrency": 2,
        "partition": "day={start:%d}",
        "langsmith_conn_id": "langsmith_default",
    }
    assert set(values) == set(LangSmithExportOperator.template_fields)
    templates: Any = {name: f"{{{{ params.{name} }}}}" for name in values}
    result = run(LangSmithExportOperator(task_id="export", **templates), params=values)
    assert (result["rows"], result["window_start"]) == (0, START.isoformat())
    assert result["manifest"] == f"file://{tmp_path}/runs/project=shop/day=01/_manifest.json"
    values |= {"partition": "all of day={start:%d}"}
    result = run(LangSmithExportOperator(task_id="export", **{**templates, "run_ids": None}), params=values)
    assert (result["rows"], result["files"]) == (20, 3)
    assert set(read_rows(result["manifest"])[0]) == {"run_id", "name", "missing_payloads", "inputs__q"}
    manifest = read_manifest(result["manifest"])
    assert manifest.compression == "snappy"
    assert manifest.query["is_root"] is False
    assert "trace_id" not in manifest.query


@pytest.mark.parametrize("format_", ["parquet", "jsonl", "csv"])
def test_a_rerun_changes_nothing(shop: LangSmithStandIn, tmp_path: Path, format_: Any, run: Run) -> None:
    """Exporting an unchanged window again leaves the same objects, to the byte."""
    operator = LangSmithExportOperator(
        task_id="export", project="shop", destination=f"file://{tmp_path}", format=format_
    )
    first = run(operator)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert run(operator) == {**first, "seconds": ANY, "waited_seconds": ANY}
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_rerun_over_changed_data_replaces(
    shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows, run: Run
) -> None:
    """An export of changed data replaces all objects of the previous export."""
    operator = LangSmithExportOperator(
        task_id="export", project="shop", destination=f"file://{tmp_path}", max_rows_per_file=15
    )
    run(operator)
    shop.update_run(shop.add_run(project="shop", start_time=START, name="late"), outputs={"late": True})
    result = run(operator)
    assert result["rows"] == len(read_rows(result["manifest"])) == 41
    parts = {path.name for path in tmp_path.rglob("part-*")}
    assert parts == {file.name for file in read_manifest(result["manifest"]).files}


def test_an_empty_window(shop: LangSmithStandIn, tmp_path: Path, run: Run) -> None:
    """``on_empty`` decides whether a window without runs is an empty export, a skip or a failure."""
    before = {"data_interval_start": START - DAY, "data_interval_end": START}
    arguments: dict[str, Any] = {"project": "shop", "destination": f"file://{tmp_path}"}
    with pytest.raises(AirflowSkipException, match="No runs in project 'shop'"):
        run(LangSmithExportOperator(task_id="export", on_empty="skip", **arguments), **before)
    with pytest.raises(LangSmithException, match="14 days"):
        run(LangSmithExportOperator(task_id="export", on_empty="fail", **arguments), **before)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    result = run(LangSmithExportOperator(task_id="export", **arguments), **before)
    assert (result["rows"], result["files"]) == (0, 1)


def test_what_no_retry_cures_fails_at_once(shop: LangSmithStandIn, tmp_path: Path, run: Run) -> None:
    """A wrong project, filter, window or argument fails for good; an outage fails for a retry."""
    good: dict[str, Any] = {"project": "shop", "destination": f"file://{tmp_path}"}
    hopeless: list[dict[str, Any]] = [
        {"project": "Shop"},
        {"filter": "eq("},
        {"view": "spans"},
        {"is_root": "maybe"},
        {"filter": "None"},
        {"max_rows_per_file": "many"},
        {"columns": "[1, 2]"},
        {"start_time": "2026-03-01T00:00:00Z"},
        {"partition": "{ds}"},
        {"view": ["runs", "traces"]},
        {"destination": None},
        {"destination": "data/lake"},
        {"destination": "file://data/lake"},
        {"view": "retrievals", "with_feedback": "None"},
    ]
    for wrong in hopeless:
        with pytest.raises(AirflowFailException):
            run(LangSmithExportOperator(task_id="export", **{**good, **wrong}))
    with pytest.raises(AirflowFailException, match="CronDataIntervalTimetable"):
        run(LangSmithExportOperator(task_id="export", **good), data_interval_start=START + DAY)
    shop.misbehave("status", times=None)
    with pytest.raises(LangSmithException, match="503") as caught:
        run(LangSmithExportOperator(task_id="export", **good))
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    with pytest.raises(LangSmithException, match="set retries and retry_delay"):
        run(LangSmithExportOperator(task_id="export", lag=timedelta(days=3650), **good))


@pytest.mark.parametrize(("with_feedback", "rows"), [("user_score", 1), ("True", 2), ("", 2), ("false", 3)])
def test_feedback_as_a_template_has_it(
    langsmith: LangSmithStandIn, connect: Any, tmp_path: Path, run: Run, with_feedback: str, rows: int
) -> None:
    """``with_feedback`` may be a key, or true or false as text. Blank text means true."""
    connect(langsmith)
    for key in ("user_score", "note", ""):
        root = langsmith.add_run(project="shop", start_time=START)
        langsmith.add_run(project="shop", start_time=START, parent_run_id=root, run_type="retriever")
        if key:
            langsmith.add_feedback(root, key=key, score=1)
    where: Any = {"view": "retrievals", "project": "shop", "destination": f"file://{tmp_path}"}
    assert run(LangSmithExportOperator(task_id="export", **where, with_feedback=with_feedback))["rows"] == rows


def test_a_destination_that_cannot_be_written(shop: LangSmithStandIn, tmp_path: Path, run: Run) -> None:
    """A destination that cannot be written fails the task for a retry, with advice on its connection."""
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(LangSmithException, match=r"check its\s+connection"):
        run(LangSmithExportOperator(task_id="export", project="shop", destination=f"file://{tmp_path}/file"))


def test_the_log_tells_where_the_window_is_from(
    shop: LangSmithStandIn, tmp_path: Path, run: Run, task_log: TaskLog
) -> None:
    """The log names the window and its source."""
    run(LangSmithExportOperator(task_id="export", project="shop", destination=f"file://{tmp_path}"))
    lines = [line for _, line in task_log()]
    assert "Window source: the data interval" in lines
    assert all(len(line) <= MAX_LINE for line in lines if "://" not in line)


def test_what_differs_between_exports_comes_first() -> None:
    """Airflow's page of rendered templates begins with the arguments that differ between exports."""
    first = LangSmithExportOperator.template_fields[:6]
    assert first == ("project", "filter", "destination", "view", "flatten", "redact")
    assert len(set(LangSmithExportOperator.template_fields)) == len(LangSmithExportOperator.template_fields)


def test_the_link_is_there_while_it_runs(shop: LangSmithStandIn, tmp_path: Path, run: Run) -> None:
    """The link to LangSmith is pushed before the first page, and a failed push does not fail the task."""
    pushed: list[tuple[str, str, int]] = []

    def push(key: str, value: str) -> None:
        pushed.append((key, value, len(shop.requests_to("/runs/query"))))

    operator = LangSmithExportOperator(task_id="export", project="shop", destination=f"file://{tmp_path}")
    run(operator, ti=SimpleNamespace(xcom_push=push))
    assert pushed == [("_link_LangSmithProjectLink", operator.langsmith_url, 0)]

    def refuse(key: str, value: str) -> None:
        raise ConnectionError

    assert run(operator, ti=SimpleNamespace(xcom_push=refuse))["rows"] == 40


def test_a_mapped_task_has_a_name(shop: LangSmithStandIn, tmp_path: Path, run: Run) -> None:
    """A mapped task is named by project and window, unless the user named it, also if it fails."""
    operator = LangSmithExportOperator(task_id="export", project="shop", destination=f"file://{tmp_path}")
    for index, template, shown in (
        (0, None, "shop, 2026-03-01 to 2026-03-02 UTC"),
        (0, "theirs", "theirs"),
        (-1, None, None),
        (None, None, None),
    ):
        context: Any = {"ti": SimpleNamespace(map_index=index), "map_index_template": template}
        assert named(run, operator, context) == shown
    context = {"ti": SimpleNamespace(map_index=0), "map_index_template": None}
    nowhere = LangSmithExportOperator(task_id="export", project="{{ x }}" * 50, destination=f"file://{tmp_path}")
    nowhere.template_fields = ()
    with pytest.raises(AirflowFailException):
        named(run, nowhere, context)
    assert rendered(context) == ("{{ x }}" * 50)[:250]


def named(run: Run, operator: Any, context: dict[str, Any]) -> str | None:
    """Run an operator, and return the name that Airflow shows."""
    before = {"data_interval_start": START, "data_interval_end": START + DAY}
    context |= before
    operator.render_template_fields(context)
    operator.execute(context)
    return rendered(context)


def rendered(context: dict[str, Any]) -> str | None:
    """Render the name as Airflow does."""
    template = context["map_index_template"]
    return template and DAG("d", schedule=None).get_template_env().from_string(template).render(context)


def test_a_destination_that_refuses_costs_no_page(shop: LangSmithStandIn, tmp_path: Path, run: Run) -> None:
    """A read-only destination or a missing connection fails the task for good, before the first page is read."""
    with pytest.raises(AirflowFailException, match=says("has not the right to write|is read-only")):
        run(LangSmithExportOperator(task_id="export", project="shop", destination="file:///sys/lake"))
    good: dict[str, Any] = {"project": "shop", "destination": f"file://{tmp_path}"}
    for wrong in ({"destination": "s3://typo@traces"}, {"schema_manifest": "s3://typo@traces"}):
        with pytest.raises(AirflowFailException, match=says("Connection 'typo' is not defined")):
            run(LangSmithExportOperator(task_id="export", **{**good, **wrong}))
    hashed: dict[str, Any] = {"redact": {"inputs": "hash"}, "redact_conn_id": "salt"}
    with pytest.raises(AirflowFailException, match=says("Connection 'salt' is not defined")):
        run(LangSmithExportOperator(task_id="export", **good, **hashed))
    assert not shop.requests_to("/runs/query")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
