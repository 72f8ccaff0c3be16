"""Bulk exports by the hook: created once, recognised by their request, and verified by their runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airflow_langsmith.api.bulk_records import BulkDestination, BulkDestinationConfig, BulkExport, BulkExportRun
from airflow_langsmith.api.bulk_request import BulkExportRequest, filter_of
from airflow_langsmith.api.bulk_rows import EXPORT_FIELDS
from airflow_langsmith.api.bulk_verification import failure_of, verified_output
from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.errors import (
    ApiError,
    AuthenticationError,
    BulkExportError,
    ConfigurationError,
    InvalidQueryError,
    NotFoundError,
    RateLimitError,
    TransportError,
)
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.windows import TimeWindow
from tests.wording import says, words

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def hook(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A hook for a workspace with a project and a day of runs."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(max_retries=1))
    langsmith.add_run(project="shop", start_time=START, end_time=START)
    with LangSmithHook() as hook:
        yield hook


@pytest.fixture
def day(langsmith: LangSmithStandIn, tmp_path: Path) -> dict[str, Any]:
    """The arguments of an export of the day."""
    destination_id = langsmith.add_bulk_destination(tmp_path / "bucket")
    return {"project": "shop", "bulk_destination_id": destination_id, "start_time": START, "end_time": START + DAY}


def test_an_export_from_creation_to_its_files(hook: LangSmithHook, day: dict[str, Any]) -> None:
    """The hook creates an export, reads it, and lists exports, runs and destinations."""
    (destination,) = hook.list_bulk_destinations()
    created = hook.create_bulk_export(**day, filter='eq(name, "run")', export_fields=["name", "id"], compression="gzip")
    assert (destination.id, destination.config.bucket_name) == (day["bulk_destination_id"], "lake")
    assert hook.get_bulk_export(created.id).status == "Completed"
    assert [export.id for export in hook.list_bulk_exports()] == [created.id]
    (run,) = hook.bulk_export_runs(created.id)
    assert run.metadata.result is not None
    assert run.metadata.result.rows_written == 1
    assert destination.key_of(run.metadata.result.exported_files[0]).startswith(f"bulk/export_id={created.id}/")
    plain = hook.plain(created)
    assert plain["export_fields"] == ["id", "name"]
    assert plain["filter"] == 'eq(name, "run")'
    assert "internal" not in json.dumps(plain)


def test_a_cancelled_export_stays_as_it_ended(
    hook: LangSmithHook, langsmith: LangSmithStandIn, day: dict[str, Any]
) -> None:
    """To cancel is safe twice, and after the end."""
    langsmith.bulk.running_seconds = 1e6
    running = hook.create_bulk_export(**day)
    assert hook.cancel_bulk_export(running.id).status == "Cancelled"
    assert hook.cancel_bulk_export(running.id).status == "Cancelled"
    langsmith.bulk.running_seconds = 0.0
    assert hook.cancel_bulk_export(hook.create_bulk_export(**day).id).status == "Completed"
    with pytest.raises(NotFoundError):
        hook.cancel_bulk_export(langsmith.workspace_id)


@pytest.mark.parametrize("kind", ["lose_answer", "reset", "truncate", "html"])
def test_a_lost_answer_makes_one_export(
    hook: LangSmithHook, langsmith: LangSmithStandIn, day: dict[str, Any], kind: Any
) -> None:
    """Made or not, the export is there once, though another one of the same request was there before."""
    before = hook.create_bulk_export(**day)
    langsmith.misbehave(kind, path="/v1/bulk-exports", method="POST")
    created = hook.create_bulk_export(**day)
    assert [export["id"] for export in langsmith.bulk_exports] == [before.id, created.id]


def test_an_answer_that_stays_lost_is_an_error(
    hook: LangSmithHook, langsmith: LangSmithStandIn, day: dict[str, Any]
) -> None:
    """If no answer comes and the list shows nothing, the hook gives up after its retries."""
    langsmith.misbehave("reset", path="/v1/bulk-exports", method="POST", times=None)
    with pytest.raises(TransportError):
        hook.create_bulk_export(**day)
    assert len([request for request in langsmith.requests if request.method == "POST"]) == 2
    assert langsmith.bulk_exports == []


def test_the_limit_of_creations_pauses_nothing_else(
    hook: LangSmithHook, langsmith: LangSmithStandIn, day: dict[str, Any]
) -> None:
    """A 429 of a creation says what the limit is, and other requests go on."""
    langsmith.misbehave("rate_limit", path="/v1/bulk-exports", method="POST", retry_after=0.01)
    assert hook.create_bulk_export(**day).id
    langsmith.bulk.max_creations_per_hour = 0
    with pytest.raises(RateLimitError, match=says("250 new bulk exports an hour")):
        hook.create_bulk_export(**day)


def test_what_langsmith_refuses(hook: LangSmithHook, langsmith: LangSmithStandIn, day: dict[str, Any]) -> None:
    """A refusal is an error that no retry cures, in LangSmith's words."""
    with pytest.raises(InvalidQueryError, match="eq"):
        hook.create_bulk_export(**day, filter='eq(nothing, "x")')
    langsmith.bulk.has_plan = False
    with pytest.raises(AuthenticationError, match=says("needs an Enterprise plan")):
        hook.create_bulk_export(**day)
    assert langsmith.bulk_exports == []


@pytest.mark.parametrize("status", [402, 403])
def test_a_refusal_at_any_address_names_the_plan_and_the_permissions(
    hook: LangSmithHook, langsmith: LangSmithStandIn, day: dict[str, Any], status: int
) -> None:
    """Who may not even read bulk exports learns which permission and plan are missing."""
    export_id = hook.create_bulk_export(**day).id
    langsmith.misbehave("status", path="", status=status, body={"detail": "Forbidden"}, times=None)
    for read in (
        lambda: hook.get_bulk_export(export_id),
        lambda: list(hook.list_bulk_exports()),
        lambda: list(hook.bulk_export_runs(export_id)),
        lambda: hook.cancel_bulk_export(export_id),
        hook.list_bulk_destinations,
    ):
        with pytest.raises(ApiError, match=says("needs an Enterprise plan .* bulk-exports:read and")):
            read()


def test_wrong_arguments_send_no_request(hook: LangSmithHook, langsmith: LangSmithStandIn, day: dict[str, Any]) -> None:
    """A format, a compression or a column that does not exist is an error before a request is sent."""
    for wrong in ({"format_version": "v3"}, {"compression": "zstd"}, {"export_fields": ["inputz"]}):
        with pytest.raises(ConfigurationError, match=r"Did you mean|It is one of|has"):
            hook.create_bulk_export(**day, **wrong)
    assert not langsmith.requests_to("/bulk-exports")


REQUEST = BulkExportRequest(destination_id="d", project_id="p", window=TimeWindow(START, START + DAY))
BODY: dict[str, Any] = {
    "id": "e",
    "status": "Running",
    "bulk_export_destination_id": "d",
    "session_id": "p",
    "start_time": "2026-03-01T01:00:00+01:00",
    "end_time": "2026-03-02T00:00:00",
    "compression": "zstandard",
}
NEW: dict[str, Any] = {"format_version": "v2_beta", "filter": None, "export_fields": None, "interval_hours": None}
LATER = ["id", *(name for name in EXPORT_FIELDS if name not in ("id", "feedbacks"))]


@pytest.mark.parametrize(
    ("request_", "body", "matches", "matches_new"),
    [
        (REQUEST, NEW, True, True),
        (REQUEST, {**NEW, "export_fields": LATER}, True, True),
        (REQUEST, {**NEW, "export_fields": ["id"]}, False, False),
        (REQUEST, {**NEW, "export_fields": [*LATER, "feedbacks"]}, False, False),
        (REQUEST, {**NEW, "session_id": "q"}, False, False),
        (REQUEST, {**NEW, "all_experiments": True}, False, False),
        (REQUEST, {**NEW, "interval_hours": 24}, False, False),
        (REQUEST, {**NEW, "end_time": None}, False, False),
        (REQUEST, {}, False, True),  # an old server says neither
        (REQUEST, {**NEW, "compression": "gzip"}, False, False),
    ],
)
def test_an_export_is_recognised_by_its_request(
    request_: BulkExportRequest, body: dict[str, Any], matches: bool, matches_new: bool
) -> None:
    """Times compare as moments, columns as sets, and a field that is left out as its default or, if new, as any."""
    export = msgspec.convert({**BODY, **body}, BulkExport)
    assert request_.matches(export) is matches
    assert request_.matches(export, is_new=True) is matches_new


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, None),
        ({"filter": 'has(tags, "prod")'}, 'has(tags, "prod")'),
        ({"is_root": False}, "eq(is_root, false)"),
        ({"error": False}, 'neq(status, "error")'),
        (
            {"run_type": "LLM", "error": True, "trace_id": "t", "run_ids": ["a", "b"], "filter": 'eq(name, "x")'},
            'and(eq(run_type, "llm"), eq(status, "error"), eq(trace_id, "t"), in(id, ["a", "b"]), eq(name, "x"))',
        ),
    ],
)
def test_arguments_that_narrow_become_one_filter(arguments: dict[str, Any], expected: str | None) -> None:
    """Bulk Export has only a filter, so the other arguments are written in it."""
    assert filter_of(RunFilter.parse(arguments)) == expected


DESTINATION = BulkDestination(id="d", config=BulkDestinationConfig(bucket_name="lake"))
EXPORT = msgspec.convert({**BODY, **NEW, "status": "COMPLETED"}, BulkExport)
EMPTY: dict[str, Any] = {"rows_written": 0, "exported_files": []}


def run_of(start: int, end: int, result: dict[str, Any] | None = None, **fields: Any) -> BulkExportRun:
    """Return a run of some hours of the day."""
    bounds = {"start_time": START + timedelta(hours=start), "end_time": START + timedelta(hours=end)}
    metadata = {**bounds, "result": EMPTY if result is None else result}
    return msgspec.convert({"id": f"run-{start}", "status": "COMPLETED", "metadata": metadata, **fields}, BulkExportRun)


def test_runs_that_tile_the_window_are_its_parts() -> None:
    """Parts come in the order of their windows, with the rows and the files that LangSmith names."""
    late = run_of(6, 24, {"rows_written": 7, "exported_files": ["lake/bulk/a.parquet", "lake/bulk/b.parquet"]})
    output = verified_output(EXPORT, [late, run_of(0, 6)], DESTINATION)
    assert (output.rows, output.files) == (7, ("bulk/a.parquet", "bulk/b.parquet"))
    assert [part.run_id for part in output.parts] == ["run-0", "run-6"]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "runs end at 2026-03-01 00:00, and not at 2026-03-02 00:00"),
        ([run_of(0, 6), run_of(7, 24)], r"run run-7 of .* leaves a gap: it has to start at 2026-03-01 06:00"),
        ([run_of(0, 6), run_of(5, 24)], "run run-5 of .* overlaps another run"),
        ([run_of(0, 12), run_of(12, 13)], "runs end at 2026-03-01 13:00"),
        ([run_of(0, 25)], "runs end at 2026-03-02 01:00"),
        ([run_of(-1, 24)], "overlaps another run"),
        ([run_of(0, 24), run_of(24, 24)], "has no window"),
        ([run_of(0, 24, status="Running")], "did not complete"),
        ([run_of(0, 24, {"rows_written": 1, "exported_files": []})], "wrote 1 rows, but names no file"),
        ([run_of(0, 24, {**EMPTY, "pending_upload": {"file_path": "x"}})], "one of its uploads did not"),
    ],
)
def test_runs_that_do_not_tile_the_window_are_refused(runs: list[BulkExportRun], message: str) -> None:
    """A status of Completed is not enough."""
    with pytest.raises(BulkExportError, match=says(message)):
        verified_output(EXPORT, runs, DESTINATION)


def test_a_failure_has_the_last_words_of_the_run() -> None:
    """Of twenty tries the error quotes the last one, by number and not by spelling."""
    errors = {f"retry_{number}": f"error {number}" for number in range(20)}
    failed = msgspec.convert({**BODY, "status": "Failed"}, BulkExport)
    error = failure_of(failed, [run_of(0, 12), run_of(12, 24, status="Failed", errors=errors)])
    assert says("run-12 of .* says: error 19").search(str(error))
    assert error.retriable


def test_a_traceback_of_a_run_is_cut() -> None:
    """The words of a run are on one line, and of a readable length."""
    errors = {"retry_0": "Traceback:\n" + "  File x\n" * 5000}
    failed = msgspec.convert({**BODY, "status": "Failed"}, BulkExport)
    error = failure_of(failed, [run_of(0, 24, status="Failed", errors=errors)])
    assert "Traceback: File x File x" in words(error)
    assert len(str(error)) < 1500


@pytest.mark.parametrize(
    ("includes_bucket", "file", "key"),
    [
        (True, "lake/bulk/a", "bulk/a"),
        (None, "lake/bulk/a", "bulk/a"),
        (None, "bulk/a", "bulk/a"),
        (False, "lake/bulk/a", "lake/bulk/a"),
    ],
)
def test_the_key_of_a_file(includes_bucket: bool | None, file: str, key: str) -> None:
    """Names of files begin with the bucket, unless the destination says that its host does."""
    config = BulkDestinationConfig(bucket_name="lake", include_bucket_in_prefix=includes_bucket)
    assert BulkDestination(id="d", config=config).key_of(file) == key
