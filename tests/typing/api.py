"""
The public API as DAGs use it. Nobody runs this file: mypy checks it (strict).

What mypy checks of an operator: the arguments that its own class declares, such as ``view`` and ``destination`` of the
export operator. What it does not check: the arguments of the base classes (``project``, ``filter``, ``window``,
Airflow's ``retries``), because constructors pass them on as ``**kwargs: Any``; Airflow itself refuses a wrong name when
it parses the DAG. Hook methods, triggers, windows, filters and the manifest are checked completely.

A line with ``type: ignore`` is a mistake that mypy has to find. An unused one fails, because mypy is strict.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from airflow.sdk import Asset, AssetWatcher, ObjectStoragePath

from airflow_langsmith import errors, filters
from airflow_langsmith.api.bulk_records import BulkDestination, BulkExport, BulkExportRun
from airflow_langsmith.api.records import Feedback, Project, Run
from airflow_langsmith.filters import Expression, Filter, Value
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.manifest import Manifest, ManifestAttachment, ManifestColumn, ManifestFile, read_manifest
from airflow_langsmith.operators import (
    LangSmithBulkExportOperator,
    LangSmithExportOperator,
    LangSmithListRunsOperator,
    LangSmithLoadOperator,
    LangSmithReadRunOperator,
)
from airflow_langsmith.sensors import LangSmithBulkExportSensor, LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.testing import (
    BulkExportBehaviour,
    Fault,
    LangSmithStandIn,
    RecordedRequest,
    sample_feedback,
    sample_runs,
)
from airflow_langsmith.triggers import LangSmithFeedbackEventTrigger
from airflow_langsmith.windows import TimeWindow, resolve, split, trailing

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def operators() -> None:
    """Make each operator with all its arguments."""
    export = LangSmithExportOperator(
        task_id="export",
        retries=3,
        project="shop",
        run_type="llm",
        is_root=True,
        error=False,
        filter=filters.tag("prod"),
        trace_filter='has(tags, "prod")',
        tree_filter=filters.failed(),
        trace_id="0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b",
        run_ids=["0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"],
        reference_example_id=None,
        start_time=START,
        end_time="{{ data_interval_end }}",
        window=DAY,
        align="day",
        window_timezone="Europe/Berlin",
        lag="1h",
        missing_window="run_after",
        destination=ObjectStoragePath("s3://lake@traces/langsmith"),
        view="traces",
        format="jsonl",
        compression="zstd",
        columns=["trace_id", "inputs"],
        only_with_tools=True,
        with_feedback="user_score",
        include_modified=False,
        refresh="feedback",
        lookback=timedelta(days=30),
        sample={"rate": 0.1, "key": "thread_id"},
        flatten=["inputs.customer.id", "inputs.turn:int64"],
        redact={"inputs.email": "hash", "*": {"patterns": ["email", "card"]}},
        redact_conn_id="salt",
        schema_changes="fail",
        schema_manifest={"manifest": "s3://lake@traces/_manifest.json"},
        payloads="flag",
        attachments="download",
        max_rows_per_file=1000,
        max_bytes_per_file="{{ params.bytes }}",
        on_empty="skip",
        concurrency=4,
        partition="dt={start:%Y-%m-%d}",
        langsmith_conn_id="langsmith_default",
    )
    assert_type(export.execute({}), dict[str, Any])
    LangSmithExportOperator(task_id="export", project="shop")  # type: ignore[call-arg]  # no destination
    LangSmithExportOperator(task_id="export", destination="s3://traces", format="orc")  # type: ignore[arg-type]
    LangSmithExportOperator("s3://traces")  # type: ignore[call-arg]  # by keyword only

    bulk = LangSmithBulkExportOperator(
        task_id="bulk",
        project="shop",
        run_type="llm",
        filter=filters.tag("prod"),
        bulk_destination_id="{{ params.destination_id }}",
        export_fields=["id", "start_time", "end_time", "parent_run_id"],
        format_version="v1",
        compression="snappy",
        reuse="completed",
        cancel_on_kill=False,
        files_at="s3://aws_default@bulk",
        destination=ObjectStoragePath("s3://aws_default@lake/langsmith"),
        columns=["run_id"],
        deferrable=True,
        poll_interval="1m",
        timeout=timedelta(hours=5),
    )
    assert_type(bulk.execute({}), dict[str, Any])
    LangSmithBulkExportOperator(task_id="bulk", project="shop")  # type: ignore[call-arg]  # no bulk_destination_id
    LangSmithBulkExportOperator(task_id="bulk", project="shop", bulk_destination_id="a", reuse="never")  # type: ignore[arg-type]

    runs = LangSmithListRunsOperator(task_id="list", project="shop", select="run_id, name", limit="{{ params.limit }}")
    assert_type(runs.execute({}), list[dict[str, Any]])
    LangSmithListRunsOperator(task_id="list", project="shop", limit=0.5)  # type: ignore[arg-type]

    read = LangSmithReadRunOperator(
        task_id="read",
        run_id="https://smith.langchain.com/public/c0ffee/r",
        project="shop",
        load_children=True,
        columns=["name", "outputs"],
        missing_ok="{{ params.missing_ok }}",
        langsmith_conn_id="langsmith_default",
    )
    assert_type(read.execute({}), dict[str, Any] | None)

    load = LangSmithLoadOperator(
        task_id="load",
        exported=["s3://lake/langsmith/runs/project=shop/date=2026-03-01/_manifest.json", {"manifest": "s3://..."}],
        table="postgres://warehouse/langsmith.runs",
        mode="replace",
        schema_changes="fail",
    )
    assert_type(load.execute({}), dict[str, Any])
    LangSmithLoadOperator(task_id="load", exported="{{ params.manifest }}", table="delta:///lake/runs", mode="append")  # type: ignore[arg-type]


def sensors() -> None:
    """Make each sensor with its own arguments and those of waiting."""
    LangSmithFeedbackSensor(
        task_id="wait",
        project="shop",
        condition="coverage(user_score) >= 0.9",
        fail_when="share(user_score, 0) > 0.33",
        min_runs=10,
        poke_interval="5m",
        timeout=3600,
        deferrable=True,
        soft_fail=True,
    )
    LangSmithBulkExportSensor(task_id="written", bulk_export_id="{{ params.bulk_export_id }}", deferrable=True)
    LangSmithBulkExportSensor(task_id="scheduled", schedule_id="82345678-...", window="1d", timeout=3600)
    LangSmithBulkExportSensor(task_id="wait", schedule_id=7)  # type: ignore[arg-type]
    LangSmithSettledSensor(
        task_id="settled", project="shop", quiet_for=timedelta(minutes=10), pending_timeout=None, poke_interval=60
    )
    LangSmithFeedbackSensor(task_id="wait", project="shop", condition=None)  # type: ignore[arg-type]


def triggers() -> Asset:
    """Watch feedback by an asset."""
    trigger = LangSmithFeedbackEventTrigger(
        project="shop",
        condition="count(user_score) >= 50",
        window="1d",
        min_runs=10,
        poke_interval=timedelta(minutes=5),
        langsmith_conn_id="langsmith_default",
        run_type="chain",
        is_root=True,
        error=False,
        filter=filters.metadata("env", "prod"),
        trace_filter=None,
        tree_filter=None,
        trace_id=None,
        run_ids=("a", "b"),
        reference_example_id=None,
    )
    LangSmithFeedbackEventTrigger(project="shop", condition="count(x) > 1", is_rooot=True)  # type: ignore[call-arg]
    return Asset("judged", watchers=[AssetWatcher(name="feedback", trigger=trigger)])


def hook() -> None:
    """Call each method of the hook."""
    with LangSmithHook("langsmith_default") as langsmith:
        runs = langsmith.query_runs(
            project=["shop", "billing"],
            start_time=START,
            end_time=START + DAY,
            run_type="llm",
            is_root=False,
            error=True,
            filter=filters.eq("name", "agent"),
            trace_filter=None,
            tree_filter=None,
            trace_id=None,
            run_ids=None,
            reference_example_id=None,
            select=["id", "name"],
            limit=10,
            parent_run_id=None,
        )
        assert_type(runs, Iterator[Run])
        langsmith.query_runs(project="shop", start_time="2026-03-01")  # type: ignore[arg-type]
        langsmith.query_runs(run_type="llm")  # type: ignore[call-arg]  # no project
        assert_type(langsmith.count_runs(project="shop", error=True), int)
        assert_type(langsmith.read_run("0f9f5a3e", "shop", ["inputs"]), Run)
        assert_type(langsmith.read_trace("0f9f5a3e", "shop"), list[Run])
        assert_type(langsmith.read_thread("thread-1", "shop"), list[Run])
        feedback = langsmith.list_feedback(
            project="shop", run_ids=None, keys=["user_score"], created_after=START, created_before=None
        )
        assert_type(feedback, Iterator[Feedback])
        assert_type(langsmith.list_projects("shop"), Iterator[Project])
        assert_type(langsmith.project_id("shop"), str)
        started = langsmith.create_bulk_export(
            project="shop",
            bulk_destination_id="22345678-...",
            start_time=START,
            end_time=START + DAY,
            filter=filters.failed(),
            export_fields=["id"],
            format_version="v2_beta",
            compression="zstandard",
        )
        assert_type(started, BulkExport)
        assert_type(langsmith.get_bulk_export(started.id), BulkExport)
        assert_type(langsmith.list_bulk_exports(), Iterator[BulkExport])
        assert_type(langsmith.bulk_export_runs(started.id), Iterator[BulkExportRun])
        assert_type(langsmith.cancel_bulk_export(started.id), BulkExport)
        assert_type(langsmith.list_bulk_destinations(), list[BulkDestination])
        langsmith.validate_filter(filters.failed(), project="shop", trace_filter=None, tree_filter=None)
        assert_type(langsmith.test_connection(), tuple[bool, str])
        langsmith.plain(runs)
        langsmith.close()


def windows() -> None:
    """Split windows, and go back."""
    window = TimeWindow(START, START + DAY)
    assert_type(window.arguments(), dict[str, str])
    assert_type(split(window, every="6h"), list[dict[str, str]])
    assert_type(split({"data_interval_end": START}, timedelta(hours=6), "Europe/Berlin"), list[dict[str, str]])
    assert_type(trailing(window, days=3), list[dict[str, str]])
    assert_type(resolve({"data_interval_end": START}, window="1d"), TimeWindow)
    split(window, every=6)  # type: ignore[arg-type]


def language() -> Filter:
    """Write a filter with each function."""
    value: Value = START
    text: Expression = 'has(tags, "prod")'
    names = filters.or_(filters.eq("name", "a"), filters.neq("name", "b"), filters.in_("name", ["c", "d"]))
    times = filters.and_(filters.gt("start_time", value), filters.gte("start_time", value))
    times = filters.and_(times, filters.lt("end_time", value), filters.lte("end_time", value))
    texts = filters.or_(filters.has("tags", "a"), filters.like("name", "agent%"), filters.search("refund"), text)
    pairs = filters.and_(filters.inputs("k", "v"), filters.outputs("k"), filters.metadata.absent("k"))
    sugar = filters.and_(filters.feedback("user_score", gte=0.5), filters.tag("a"), filters.thread("t"))
    filters.eq("name", ["a"])  # type: ignore[arg-type]
    return filters.failed() & names & times & texts & pairs | sugar


def manifest() -> None:
    """Read a manifest."""
    published = read_manifest({"manifest": "s3://lake@traces/_manifest.json"})
    assert_type(published, Manifest)
    assert_type(published.uri, str)
    assert_type(published.uris(), list[str])
    assert_type(published.files, tuple[ManifestFile, ...])
    assert_type(published.columns, tuple[ManifestColumn, ...])
    assert_type(published.attachments, tuple[ManifestAttachment, ...])
    assert_type(published.rows, int)


def recovery(langsmith: LangSmithHook) -> bool:
    """Catch errors by what cures them."""
    try:
        langsmith.count_runs(project="shop")
    except errors.AuthenticationError as error:
        assert_type(error.status, int)
        return False
    except errors.LangSmithError as error:
        return error.retriable
    return True


def testing() -> None:
    """Test a DAG against the stand-in."""
    with LangSmithStandIn(version="0.16.3", backend="smithdb") as langsmith:
        run = langsmith.add_run(project="shop", start_time=START)
        langsmith.add_feedback(run, key="user_score", score=1)
        langsmith.load(sample_runs(start=START, days=1), sample_feedback(start=START, days=1))
        langsmith.misbehave("rate_limit", retry_after=1)
        assert_type(langsmith.unspent_faults, list[Fault])
        assert_type(langsmith.requests, list[RecordedRequest])
        assert_type(langsmith.connection(), str)
        langsmith.misbehave("rate_limt")  # type: ignore[arg-type]
    with LangSmithStandIn(bulk=BulkExportBehaviour(partition=timedelta(hours=1), layout="runs")) as langsmith:
        lake = langsmith.add_bulk_destination("/tmp/lake", region="eu-central-1")
        langsmith.add_bucket("other-lake", ObjectStoragePath("file:///tmp/other-lake"))
        langsmith.misbehave_bulk_export("fail_run", run=1, errors={"retry_0": "Timed out"})
        langsmith.add_bulk_export(project="shop", start_time=START, end_time=START + DAY, destination_id=lake)
        langsmith.misbehave("lose_answer", path="/bulk-exports", method="POST")
        langsmith.bulk.running_seconds = 60
        assert_type(langsmith.bulk_exports, list[dict[str, Any]])
