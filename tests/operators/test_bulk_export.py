"""A bulk export as a task: it adopts or starts one export, waits, verifies, and publishes its rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from airflow_langsmith.airflow_errors import LangSmithException
from airflow_langsmith.airflow_sdk import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import LangSmithBulkExportOperator, LangSmithExportOperator, LangSmithLoadOperator
from airflow_langsmith.testing import LangSmithStandIn
from tests.versions import needs_state_store
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)

Run = Callable[..., Any]
ReadRows = Callable[[str], list[dict[str, Any]]]


class Store(dict[str, Any]):
    """The state of a task that Airflow stores between its tries."""

    set = dict.__setitem__

    def delete(self, key: str) -> None:
        """Delete a key, if it is there."""
        self.pop(key, None)


def _task_instance(try_number: int, max_tries: int) -> Any:
    names = {"dag_id": "dag", "run_id": "run", "task_id": "bulk", "map_index": -1, "stats_tags": {}}
    return SimpleNamespace(**names, try_number=try_number, max_tries=max_tries)


class Bulk:
    """A project with two days of runs, a bucket, and tasks that export the first day."""

    def __init__(self, langsmith: LangSmithStandIn, folder: Path, run: Run) -> None:
        self.langsmith, self.run, self.store = langsmith, run, Store()
        self.bucket, self.lake = f"file://{folder}/bucket", f"file://{folder}/lake"
        langsmith.load_sample(start=START, days=2, traces_per_day=10, project="shop")
        self.destination_id = langsmith.add_bulk_destination(folder / "bucket")

    def task(self, **arguments: Any) -> LangSmithBulkExportOperator:
        """Return a task that looks often."""
        plain: dict[str, Any] = {
            "project": "shop",
            "bulk_destination_id": self.destination_id,
            "poll_interval": 0.02,
            "timeout": 20,
            "deferrable": False,
        }
        return LangSmithBulkExportOperator(task_id="bulk", **plain | arguments)

    def rewriting(self, **arguments: Any) -> LangSmithBulkExportOperator:
        """Return a task that publishes the rows, too."""
        return self.task(**{"files_at": self.bucket, "destination": self.lake, **arguments})

    def try_task(self, task: LangSmithBulkExportOperator, try_number: int = 1, max_tries: int = 1) -> Any:
        """Run a try of the task; its state survives from try to try."""
        return self.run(task, ti=_task_instance(try_number, max_tries), task_state_store=self.store)

    def resume(
        self, task: LangSmithBulkExportOperator, try_number: int = 1, fails_by: str | None = None, trigger: Any = None
    ) -> Any:
        """Run the task after its trigger has fired or failed."""
        extra = trigger.event_extra if trigger else {}
        method: str = "execute_complete"
        arguments: dict[str, Any] = {"event": {"state": "met", **extra}}
        if fails_by:
            method, arguments = "__fail__", {"error": fails_by, "traceback": ["ValueError"]}
        context: Any = {"ti": _task_instance(try_number, 1), "task_state_store": self.store}
        context |= {"data_interval_start": START, "data_interval_end": START + DAY}
        return task.resume_execution(method, arguments, context)

    def another(self, **fields: Any) -> str:
        """Let somebody else start the same export."""
        same = {"project": "shop", "start_time": START, "end_time": START + DAY, "destination_id": self.destination_id}
        return self.langsmith.add_bulk_export(
            **{"format_version": "v2_beta", "compression": "zstandard", **same, **fields}
        )

    def running(self, **fields: Any) -> str:
        """Let somebody else start the same export, which ends when it is looked at for the second time."""
        self.langsmith.bulk.running_seconds = 1e6
        export_id = self.another(**fields)
        end = partial(setattr, self.langsmith.bulk, "running_seconds", 0.0)
        self.langsmith.misbehave("meanwhile", path=f"/bulk-exports/{export_id}", after=1, action=end)
        return export_id

    @property
    def statuses(self) -> list[str]:
        """The statuses of all exports, the oldest first."""
        return [export["status"] for export in self.langsmith.bulk_exports]


@pytest.fixture
def bulk(langsmith: LangSmithStandIn, tmp_path: Path, run: Run, connect: Callable[..., None]) -> Bulk:
    """A project whose days can be exported in bulk."""
    connect(langsmith)
    return Bulk(langsmith, tmp_path, run)


def test_the_rows_land_like_those_of_any_export(bulk: Bulk, read_rows: ReadRows) -> None:
    """The partition, the columns, the rows and what the task returns are those of an export, whichever ran first."""
    exporting: dict[str, Any] = {"task_id": "export", "project": "shop", "destination": bulk.lake}
    rows = []
    for task in (bulk.rewriting(), LangSmithExportOperator(**exporting), bulk.rewriting()):
        result = bulk.run(task)
        manifest = read_manifest(result)
        assert result["manifest"] == f"{bulk.lake}/runs/project=shop/date=2026-03-01/_manifest.json"
        assert result["rows"] == manifest.rows == len(read_rows(result["manifest"]))
        rows.append({row["run_id"]: row for row in read_rows(result["manifest"])})
    assert rows[0] == rows[2]
    assert rows[0]
    assert rows[0].keys() == rows[1].keys()
    export = bulk.langsmith.bulk_exports[-1]
    assert (manifest.api_version, manifest.bulk_export_id) == ("bulk v2_beta", export["id"])
    assert (result["bulk_export_id"], result["status"], result["files"]) == (export["id"], "Completed", 1)
    assert result["seconds"] > 0
    assert result["requests"] > 0


def test_a_load_sees_no_difference(bulk: Bulk, tmp_path: Path) -> None:
    """A day loaded from a bulk export, then from the API, then from a bulk export again is in the table once."""
    table = f"duckdb:///{tmp_path}/warehouse.duckdb?table=runs"
    exporting: dict[str, Any] = {"task_id": "export", "project": "shop", "destination": bulk.lake}
    for task in (bulk.rewriting(), LangSmithExportOperator(**exporting), bulk.rewriting(format_version="v1")):
        exported = bulk.run(task)
        loaded = bulk.run(LangSmithLoadOperator(task_id="load", exported=exported, table=table))
        assert loaded["rows_added"] == exported["rows"]
        bulk.langsmith.add_run(project="shop", start_time=START, end_time=START)
    with duckdb.connect(f"{tmp_path}/warehouse.duckdb") as connection:
        counted = connection.execute("select count(*), count(distinct run_id) from runs").fetchall()
    assert counted == [(exported["rows"], exported["rows"])]


def test_what_it_returns_fits_into_an_xcom(bulk: Bulk) -> None:
    """The result stays under 2 KB, with the longest names there are."""
    project = "p" * 5000
    bulk.langsmith.add_run(project=project, start_time=START, end_time=START)
    result = bulk.run(bulk.rewriting(project=project, destination=f"{bulk.lake}/{'d/' * 400}"))
    assert len(json.dumps(result)) < 2048


def test_without_files_at_the_export_is_verified_by_its_runs(bulk: Bulk) -> None:
    """A worker that cannot read the bucket still knows that the window is whole, and how many rows it has."""
    result = bulk.run(bulk.task())
    assert result["rows"] == bulk.run(bulk.rewriting())["rows"]
    assert (result["status"], result["files"], result["bytes"], result["manifest"]) == ("Completed", 1, None, None)


def test_files_at_alone_counts_the_rows_in_the_files(bulk: Bulk) -> None:
    """With ``files_at`` and no destination, the bytes are known and nothing is published."""
    result = bulk.run(bulk.task(files_at=bulk.bucket))
    assert result["bytes"] > 0
    assert result["manifest"] is None


def test_rows_are_narrowed_redacted_flattened_and_sampled(bulk: Bulk, read_rows: ReadRows) -> None:
    """The arguments about runs and rows mean the same as for an export."""
    arguments: dict[str, Any] = {
        "run_type": "llm",
        "error": False,
        "filter": 'neq(name, "nobody")',
        "columns": ["run_id", "run_type", "inputs", "total_tokens"],
        "flatten": ["inputs.messages"],
        "redact": {"inputs.messages": "drop"},
        "sample": 0.5,
        "partition": "dt={start:%Y-%m-%d}",
    }
    result = bulk.run(bulk.rewriting(**arguments))
    rows = read_rows(result["manifest"])
    exporting: dict[str, Any] = {"task_id": "export", "project": "shop", "destination": bulk.lake, **arguments}
    same = bulk.run(LangSmithExportOperator(**exporting))
    assert same["manifest"] == result["manifest"]
    assert 0 < len(rows) < bulk.run(bulk.rewriting())["rows"]
    assert sorted(map(repr, rows)) == sorted(map(repr, read_rows(same["manifest"])))
    assert bulk.langsmith.bulk_exports[0]["filter"] == (
        'and(eq(run_type, "llm"), neq(status, "error"), neq(name, "nobody"))'
    )


def test_an_empty_window_is_written_skipped_or_failed(bulk: Bulk) -> None:
    """A window without runs is no error of Bulk Export: ``on_empty`` decides."""
    arguments: dict[str, Any] = {"filter": 'eq(name, "nobody")'}
    assert bulk.run(bulk.rewriting(**arguments))["rows"] == 0
    with pytest.raises(AirflowSkipException):
        bulk.run(bulk.rewriting(**arguments, on_empty="skip"))
    with pytest.raises(LangSmithException, match="on_empty='fail'"):
        bulk.run(bulk.rewriting(**arguments, on_empty="fail"))


def test_a_running_export_of_the_same_request_is_adopted(bulk: Bulk) -> None:
    """The task waits for an export that somebody else started, and starts none."""
    export_id = bulk.running()
    assert bulk.run(bulk.rewriting())["bulk_export_id"] == export_id
    assert bulk.statuses == ["Completed"]


@pytest.mark.parametrize(
    "fields",
    [
        {"end_time": START + 2 * DAY},
        {"start_time": START - DAY},
        {"project": "another"},
        {"filter": "eq(is_root, true)"},
        {"format_version": "v1"},
        {"compression": "gzip"},
        {"export_fields": ["id"]},
        {"end_time": None, "interval_hours": 24},
    ],
    ids=str,
)
def test_an_export_of_another_request_is_not_adopted(bulk: Bulk, fields: dict[str, Any]) -> None:
    """Each field of the request counts, so the task starts its own export."""
    bulk.langsmith.bulk.max_creations_per_hour = None
    export_id = bulk.running(**fields)
    bulk.langsmith.bulk.running_seconds = 0.0
    assert bulk.run(bulk.task())["bulk_export_id"] != export_id


@pytest.mark.parametrize(
    ("reuse", "running", "completed"), [("running", True, False), ("completed", True, True), ("none", False, False)]
)
def test_reuse_says_which_exports_are_adopted(bulk: Bulk, reuse: Any, running: bool, completed: bool) -> None:
    """``running`` adopts what runs, ``completed`` also what is done, ``none`` nothing."""
    export_id = bulk.another()
    assert (bulk.run(bulk.task(reuse=reuse))["bulk_export_id"] == export_id) is completed
    export_id = bulk.running()
    if not running:
        bulk.langsmith.bulk.running_seconds = 0.0
    assert (bulk.run(bulk.task(reuse=reuse))["bulk_export_id"] == export_id) is running


def test_a_completed_export_that_is_not_whole_is_not_adopted(bulk: Bulk, caplog: pytest.LogCaptureFixture) -> None:
    """``reuse="completed"`` looks into the files first, goes on to the next export, and logs why in short lines."""
    caplog.set_level("INFO")
    whole = bulk.another()
    bulk.langsmith.misbehave_bulk_export("lost_files")
    bulk.another()
    assert bulk.run(bulk.rewriting(reuse="completed"))["bulk_export_id"] == whole
    assert len(bulk.statuses) == 2
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_langsmith")]
    assert any(line.startswith("Not adopting bulk export") for line in lines)
    assert f"Adopting bulk export {whole}, which is Completed" in lines
    assert [line for line in lines if len(line) > 90] == []


def test_old_servers_leave_fields_out(bulk: Bulk) -> None:
    """An export whose body lacks the later fields is adopted only for what it meant then, and is found after a loss."""
    bulk.langsmith.bulk.old_bodies = True
    export_id = bulk.running(format_version="v1", filter=None)
    assert bulk.run(bulk.task(format_version="v1"))["bulk_export_id"] == export_id
    bulk.langsmith.misbehave("lose_answer", path="/v1/bulk-exports", method="POST")
    bulk.run(bulk.task(filter="eq(is_root, true)"))
    assert bulk.statuses == ["Completed", "Completed"]


def test_statuses_in_capitals_are_the_same(bulk: Bulk) -> None:
    """LangSmith's documentation writes statuses in capitals, its service does not."""
    bulk.langsmith.bulk.upper_case_status = True
    assert bulk.run(bulk.rewriting())["rows"] > 0


@pytest.mark.parametrize("layout", ["resource=runs", "runs"])
@pytest.mark.parametrize("includes_bucket", [True, False])
def test_files_are_where_the_destination_says(bulk: Bulk, tmp_path: Path, layout: Any, includes_bucket: bool) -> None:
    """Both layouts are read, files named with and without the bucket, a prefix or none, and a left-over of a check."""
    bulk.langsmith.bulk.layout = layout
    bulk.langsmith.bulk.leaves_tmp = True
    for prefix in ("", "lake/of langsmith"):
        bulk.destination_id = bulk.langsmith.add_bulk_destination(
            tmp_path / "bucket", prefix=prefix, include_bucket_in_prefix=includes_bucket
        )
        assert bulk.run(bulk.rewriting())["rows"] > 0


# What goes wrong -> what the error says. After all of these, a retry starts another export.
FAULTS = {
    "fail_run": r"ended as Failed\. Its run [0-9a-f-]+ of \[2026-03-01 00:00, 2026-03-02 00:00\) says: Access Denied\.",
    "time_out": r"ended as TimedOut",
    "gap": r"not whole: run .* (leaves a gap|its runs end at)|its runs end at",
    "overlap": r"overlaps another run|its runs end at",
    "no_files": r"wrote \d+ rows, but names no file",
    "lost_files": r"is not there",
    "wrong_rows": r"has \d+ rows in its files, and reports \d+",
    "cut_file": r"File: ",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_is_not_whole_fails_and_a_retry_starts_another(bulk: Bulk, kind: Any) -> None:
    """An export that failed or is not whole is an error that names its run, and is not adopted again."""
    bulk.langsmith.misbehave_bulk_export(kind, errors={"retry_0": "Timeout", "retry_10": "Access Denied"})
    with pytest.raises(LangSmithException, match=says(f"(?:{FAULTS[kind]}).*A retry starts another one")):
        bulk.try_task(bulk.rewriting(reuse="completed"))
    assert bulk.try_task(bulk.rewriting(), try_number=2)["rows"] > 0
    assert len(bulk.statuses) == 2


def test_rows_in_two_files_land_once(bulk: Bulk, read_rows: ReadRows) -> None:
    """A run that comes twice in the files of an export has one row."""
    expected = bulk.run(bulk.rewriting())["rows"]
    bulk.langsmith.misbehave_bulk_export("doubled_rows")
    result = bulk.run(bulk.rewriting())
    ids = [row["run_id"] for row in read_rows(result["manifest"])]
    assert len(ids) == len(set(ids)) == expected


def test_an_unfinished_upload_needs_a_count_of_the_rows(bulk: Bulk) -> None:
    """A completed run with a pending upload is refused, unless the rows in its files are counted."""
    bulk.langsmith.misbehave_bulk_export("pending_upload", times=2)
    with pytest.raises(LangSmithException, match=says("one of its uploads did not")):
        bulk.run(bulk.task())
    assert bulk.run(bulk.rewriting())["rows"] > 0


@needs_state_store
def test_a_stuck_export_is_waited_for_again_and_cancelled_at_last(bulk: Bulk) -> None:
    """After the timeout a retry waits for the same export; the last try cancels it."""
    bulk.langsmith.misbehave_bulk_export("stuck")
    with pytest.raises(LangSmithException, match=says("has not ended within the timeout")):
        bulk.try_task(bulk.task(timeout=0.1))
    assert bulk.statuses == ["Running"]
    with pytest.raises(LangSmithException, match=says("has not ended within the timeout")):
        bulk.try_task(bulk.task(timeout=0.1), try_number=2)
    assert bulk.statuses == ["Cancelled"]


def test_an_adopted_export_is_never_cancelled(bulk: Bulk) -> None:
    """The task leaves what somebody else started as it is, however it ends."""
    bulk.langsmith.misbehave_bulk_export("stuck")
    bulk.another()
    with pytest.raises(LangSmithException, match=says("has not ended within the timeout")):
        bulk.try_task(bulk.task(timeout=0.1), try_number=2)
    assert bulk.statuses == ["Running"]


def test_an_export_that_somebody_cancels_is_an_error(bulk: Bulk) -> None:
    """The task says so, and a retry starts another one."""
    export_id = bulk.running()
    bulk.langsmith.behave()

    def cancel() -> None:
        with LangSmithHook() as hook:
            hook.cancel_bulk_export(export_id)

    bulk.langsmith.misbehave("meanwhile", path=f"/bulk-exports/{export_id}", after=2, action=cancel)
    with pytest.raises(LangSmithException, match=says(f"Bulk export {export_id} was cancelled in LangSmith")):
        bulk.try_task(bulk.task())
    bulk.langsmith.bulk.running_seconds = 0.0
    assert bulk.try_task(bulk.task(), try_number=2)["rows"] > 0


@needs_state_store
def test_a_retry_goes_on_with_the_export_of_the_try_before(bulk: Bulk) -> None:
    """The id is in the task's state, also when the export has completed meanwhile and publishing failed."""
    bulk.langsmith.misbehave("status", path="/runs", status=500, times=6)
    with pytest.raises(LangSmithException):
        bulk.try_task(bulk.rewriting())
    assert bulk.try_task(bulk.rewriting(reuse="none"), try_number=2)["rows"] > 0
    assert bulk.statuses == ["Completed"]


@needs_state_store
def test_a_retry_goes_on_with_an_export_in_an_unknown_state(bulk: Bulk) -> None:
    """A state that LangSmith may add is no end, so a retry starts no second export."""
    bulk.langsmith.misbehave_bulk_export("stuck")
    with pytest.raises(LangSmithException):
        bulk.try_task(bulk.task(timeout=0.1))
    (export,) = bulk.langsmith.bulk_exports
    paused = {**export, "status": "Paused"}
    bulk.langsmith.misbehave("status", path=f"/bulk-exports/{export['id']}", method="GET", status=200, body=paused)
    with pytest.raises(LangSmithException, match=says("has not ended within the timeout")):
        bulk.try_task(bulk.task(timeout=0.1, reuse="none"), try_number=2)
    assert bulk.statuses == ["Cancelled"]


def test_a_retry_looks_for_rows_that_come_late(bulk: Bulk) -> None:
    """With ``on_empty="fail"`` a retry starts another export, because the empty one stays empty."""
    arguments: dict[str, Any] = {"filter": 'eq(name, "late")', "on_empty": "fail"}
    with pytest.raises(LangSmithException, match="on_empty='fail'"):
        bulk.try_task(bulk.rewriting(**arguments))
    bulk.langsmith.add_run(project="shop", name="late", start_time=START, end_time=START)
    assert bulk.try_task(bulk.rewriting(**arguments), try_number=2)["rows"] == 1


def test_a_task_that_changes_while_it_is_deferred_publishes_nothing(bulk: Bulk) -> None:
    """An export of the old arguments is no export of the new ones, so a retry starts another one."""
    bulk.langsmith.bulk.running_seconds = 1e6
    with pytest.raises(TaskDeferred) as deferred:
        bulk.try_task(bulk.rewriting(deferrable=True, filter="eq(is_root, true)"))
    bulk.langsmith.bulk.running_seconds = 0.0
    with pytest.raises(LangSmithException, match=says("arguments of the task changed while it waited")):
        bulk.resume(bulk.rewriting(), trigger=deferred.value.trigger)
    assert not list(Path(bulk.lake.removeprefix("file://")).rglob("*.parquet"))
    expected = bulk.run(bulk.rewriting())["rows"]
    assert bulk.try_task(bulk.rewriting(), try_number=2)["rows"] == expected


@needs_state_store
@pytest.mark.parametrize(
    ("failure", "message"), [("Trigger failure", "The trigger .* failed"), ("Trigger timeout", "No trigger has looked")]
)
def test_a_trigger_that_fails_is_a_try_that_fails(bulk: Bulk, failure: str, message: str) -> None:
    """A retry waits for the same export, and the last try cancels it."""
    bulk.langsmith.misbehave_bulk_export("stuck")
    for try_number, statuses in ((1, ["Running"]), (2, ["Cancelled"])):
        task = bulk.task(deferrable=True)
        with pytest.raises(TaskDeferred):
            bulk.try_task(task, try_number)
        with pytest.raises(LangSmithException, match=says(message)):
            bulk.resume(task, try_number, fails_by=failure)
        assert bulk.statuses == statuses


@pytest.mark.parametrize("state", ["text", ["list"], {"id": "a"}, {"task": "t", "request": {"filter": 1}}], ids=str)
def test_a_stored_state_of_another_release_is_ignored(bulk: Bulk, state: Any) -> None:
    """What an earlier release or somebody else stored ends no task."""
    bulk.store.set("langsmith_bulk_export", state)
    assert bulk.try_task(bulk.task())["rows"] > 0


def test_a_cleared_task_starts_anew(bulk: Bulk) -> None:
    """A user who clears a task wants fresh rows, so it does not go on with an export that has completed."""
    bulk.try_task(bulk.rewriting())
    bulk.langsmith.add_run(project="shop", name="late", start_time=START, end_time=START)
    before = read_manifest(f"{bulk.lake}/runs/project=shop/date=2026-03-01").rows
    assert bulk.try_task(bulk.rewriting(), try_number=2, max_tries=2)["rows"] == before + 1


@pytest.mark.parametrize("kind", ["lose_answer", "status", "reset", "truncate"])
def test_a_lost_answer_makes_no_second_export(bulk: Bulk, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the answer to a creation is lost or a gateway's error, the exports are listed before it is sent again."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", bulk.langsmith.connection(max_retries=1))
    bulk.langsmith.misbehave(kind, path="/v1/bulk-exports", method="POST", status=502)
    assert bulk.run(bulk.task())["rows"] > 0
    assert bulk.statuses == ["Completed"]


def test_a_plan_without_bulk_export_is_said_so(bulk: Bulk) -> None:
    """A refusal of the creation names the plan and the permission, and no retry helps."""
    bulk.langsmith.bulk.has_plan = False
    with pytest.raises(AirflowFailException, match=says(r"needs an Enterprise plan .* bulk-exports:manage")):
        bulk.run(bulk.task())


def test_the_limit_of_creations_is_a_retry(bulk: Bulk) -> None:
    """250 creations an hour are allowed; beyond, Airflow tries again."""
    bulk.langsmith.bulk.max_creations_per_hour = 0
    with pytest.raises(LangSmithException, match="429"):
        bulk.run(bulk.task())


def test_a_destination_that_does_not_exist_lists_those_that_do(bulk: Bulk) -> None:
    """The error names the destinations of the workspace, with ids and buckets."""
    unknown = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(
        AirflowFailException, match=says(rf"no bulk export destination '{unknown}'.*'lake' {bulk.destination_id}")
    ):
        bulk.run(bulk.task(bulk_destination_id=unknown))
    assert bulk.statuses == []


def test_another_bucket_is_refused_before_anything_starts(bulk: Bulk) -> None:
    """``files_at`` of another bucket than the destination's is an error, because its files would not be there."""
    with pytest.raises(AirflowFailException, match=says("'mine', but LangSmith writes to 'lake'")):
        bulk.run(bulk.task(files_at="s3://conn@mine"))
    assert bulk.statuses == []


def test_a_folder_of_the_bucket_is_refused_before_anything_starts(bulk: Bulk) -> None:
    """``files_at`` with the prefix of the destination is an error, because the names of files have it, too."""
    with pytest.raises(AirflowFailException, match=says(r"names the folder 'bulk/x/'.*Give s3://conn@lake\.")):
        bulk.run(bulk.task(files_at="s3://conn@lake/bulk/x/"))
    assert bulk.statuses == []


def test_a_destination_that_cannot_be_written_fails_before_anything_starts(bulk: Bulk) -> None:
    """The destination of the rows is probed before hours of waiting."""
    with pytest.raises(LangSmithException, match="file:///proc/lake"):
        bulk.run(bulk.rewriting(destination="file:///proc/lake"))
    assert bulk.statuses == []


TEMPLATE = "{{ params.value }}"
WRONG_AT_RUN_TIME: list[tuple[str, Any, str]] = [
    ("files_at", "", "destination needs files_at"),
    ("export_fields", "id,name", "export_fields lacks"),
    ("columns", "run_id,inputz", "inputz"),
    ("flatten", "inputz.a", "inputz"),
    ("redact_conn_id", "nobody", "Connection 'nobody' is not defined"),
    ("timeout", "soon", "timeout is 'soon'"),
    ("poll_interval", "0", "poll_interval"),
    ("reuse", "all", "reuse is 'all'"),
    ("schema_changes", "allow", "schema_changes is 'allow'"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG_AT_RUN_TIME, ids=lambda value: str(value)[:40])
def test_wrong_values_of_templates_fail_before_anything_starts(bulk: Bulk, name: str, value: Any, message: str) -> None:
    """A mistake that no parser can see shows before hours of waiting, as in mapped tasks, which no parser checks."""
    with pytest.raises(AirflowFailException, match=says(message)):
        bulk.run(bulk.rewriting(**{name: TEMPLATE}), params={"value": value})
    assert bulk.statuses == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"reuse": "all"}, "reuse is 'all'"),
    ({"format_version": "v3"}, "format_version is 'v3'"),
    ({"compression": "zstd"}, "compression is 'zstd'"),
    ({"export_fields": ["id", "inputz"]}, "no column 'inputz'"),
    ({"trace_filter": "eq(is_root, true)"}, "cannot narrow by trace_filter"),
    ({"tree_filter": "eq(is_root, true)"}, "cannot narrow by tree_filter"),
    ({"reference_example_id": "a"}, "cannot narrow by reference_example_id"),
    ({"destination": "file:///lake"}, "destination needs files_at"),
    ({"sample": 0.1}, "sample is about the rows"),
    ({"files_at": "file:///b", "destination": "file:///l", "export_fields": "id,name"}, "export_fields lacks"),
    ({"columns": "run_id", "export_fields": "id"}, "export_fields lacks end_time, start_time"),
    ({"columns": "run_id", "sample": 0.1, "export_fields": "id,end_time,start_time"}, "export_fields lacks trace_id"),
    ({"poll_interval": 0}, "poll_interval"),
    ({"timeout": "soon"}, "timeout"),
    ({"bulk_destination_id": " "}, "bulk_destination_id is empty"),
    ({"files_at": "lake"}, "is no place"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_arguments_are_import_errors(arguments: dict[str, Any], message: str) -> None:
    """A mistake shows when the DAG is parsed."""
    places = {"files_at": "file:///b", "destination": "file:///l"} if "columns" in arguments else {}
    plain: dict[str, Any] = {"task_id": "bulk", "project": "shop", "bulk_destination_id": "d", **places}
    with pytest.raises(AirflowFailException, match=says(message)):
        LangSmithBulkExportOperator(**plain | arguments)
