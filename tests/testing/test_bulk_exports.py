"""Exports and schedules over time: states, windows, queues, limits, cancellation and lists."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn
from tests.testing.conftest import NOON, UNKNOWN_ID, BulkClient, Clock

TWO_DAYS = {"start_time": "2026-02-27T06:00:00Z", "end_time": "2026-03-01T00:00:00Z"}


def windows(runs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the windows of runs, without the date's year and the seconds."""
    return [(run["metadata"]["start_time"][5:16], run["metadata"]["end_time"][5:16]) for run in runs]


def test_an_export_has_the_fields_of_its_request_and_more(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """The answer has each field, times with a zone, and the defaults of LangSmith."""
    answer = bulk.post()
    assert answer.status_code == 200
    assert answer.json() == {
        "bulk_export_destination_id": bulk.destination_id,
        "session_id": bulk.project_id,
        "all_experiments": False,
        "start_time": "2026-02-28T00:00:00+00:00",
        "end_time": "2026-03-01T00:00:00+00:00",
        "filter": None,
        "format": "Parquet",
        "format_version": "v1",
        "compression": "zstandard",
        "interval_hours": None,
        "export_fields": None,
        "id": answer.json()["id"],
        "tenant_id": langsmith.workspace_id,
        "status": "Created",
        "created_at": "2026-03-01T12:00:00+00:00",
        "updated_at": "2026-03-01T12:00:00+00:00",
        "finished_at": None,
        "source_bulk_export_id": None,
    }


def test_an_export_is_created_then_running_then_completed(
    langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock
) -> None:
    """Its states follow the clock, and it has runs once it is running."""
    langsmith.bulk.queued_seconds, langsmith.bulk.running_seconds = 10, 20
    export_id = bulk.create()
    assert (bulk.status(export_id), bulk.runs(export_id)) == ("Created", [])
    clock.advance(seconds=10)
    assert bulk.status(export_id) == "Running"
    (run,) = bulk.runs(export_id)
    assert (run["status"], run["finished_at"], run["metadata"]["result"]) == ("Running", None, None)
    clock.advance(seconds=20)
    (export,) = langsmith.bulk_exports
    assert (export["status"], export["finished_at"]) == ("Completed", "2026-03-01T12:00:30+00:00")
    assert [run["status"] for run in bulk.runs(export_id)] == ["Completed"]


def test_a_run_says_what_it_wrote_and_where(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """A run has its window, the count of its rows, and its files with the bucket's name in front."""
    export_id = bulk.create()
    (run,) = bulk.runs(export_id)
    folder = f"bulk/export_id={export_id}/tenant_id={langsmith.workspace_id}/session_id={bulk.project_id}"
    folder += "/resource=runs/year=2026/month=2/day=28"
    result = run["metadata"].pop("result")
    assert result.pop("latest_cursor")
    assert result == {
        "rows_written": 3,
        "exported_files": [f"lake/{folder}/{run['id']}-0.parquet"],
        "export_path": folder,
        "pending_upload": None,
    }
    assert run == {
        "bulk_export_id": export_id,
        "session_id": bulk.project_id,
        "id": run["id"],
        "status": "Completed",
        "retry_number": 0,
        "errors": None,
        **dict.fromkeys(("created_at", "updated_at", "finished_at"), "2026-03-01T12:00:00+00:00"),
        "start_time": "2026-02-28T00:00:00+00:00",
        "end_time": "2026-03-01T00:00:00+00:00",
        "metadata": {
            "prefix": "bulk",
            "start_time": "2026-02-28T00:00:00+00:00",
            "end_time": "2026-03-01T00:00:00+00:00",
            "execution_backend": "smithdb",
        },
    }
    assert bulk.http.get(f"/api/v1/bulk-exports/{export_id}/runs/{run['id']}").json()["id"] == run["id"]
    assert [file.is_file() for file in bulk.files(export_id)] == [True]


@pytest.mark.parametrize(
    ("partition", "count", "first"),
    [
        (timedelta(days=1), 2, ("02-27T06:00", "02-28T00:00")),
        (timedelta(hours=1), 42, ("02-27T06:00", "02-27T07:00")),
        (timedelta(hours=4), 11, ("02-27T06:00", "02-27T08:00")),
    ],
)
def test_the_runs_tile_the_window(
    langsmith: LangSmithStandIn, bulk: BulkClient, partition: timedelta, count: int, first: tuple[str, str]
) -> None:
    """Windows are cut at multiples of the partition since midnight, without gap and overlap."""
    langsmith.bulk.partition = partition
    tiles = windows(bulk.runs(bulk.create(**TWO_DAYS)))
    assert (len(tiles), tiles[0], tiles[-1][1]) == (count, first, "03-01T00:00")
    assert all(tile[1] == following[0] for tile, following in pairwise(tiles))


def test_an_empty_partition_has_no_files(bulk: BulkClient) -> None:
    """A run without rows is complete, with zero rows and no file."""
    results = bulk.results(bulk.create(**TWO_DAYS))
    assert [(result["rows_written"], len(result["exported_files"])) for result in results] == [(0, 0), (3, 1)]


def test_runs_end_one_after_another(langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock) -> None:
    """In the middle of an export the first half of its runs is complete."""
    langsmith.bulk.running_seconds = 60
    export_id = bulk.create(**TWO_DAYS)
    clock.advance(seconds=30)
    assert [run["status"] for run in bulk.runs(export_id)] == ["Completed", "Running"]


def test_a_run_with_many_rows_writes_several_files(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """A file has at most ``max_rows_per_file`` rows."""
    langsmith.bulk.max_rows_per_file = 2
    assert [table.num_rows for table in bulk.tables(bulk.create())] == [2, 1]


def test_rows_on_the_bounds_of_the_window(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """A run exactly at the start is in the export, and one at the end is not."""
    export_id = bulk.create(start_time="2026-02-28T01:00:00Z", end_time="2026-02-28T23:00:00Z")
    assert [row["name"] for row in bulk.rows(export_id)] == ["run at 1", "run at 10"]


def test_a_filter_selects_rows(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """The filter language of runs applies, with feedback as it is when the export runs."""
    (run_id, *_) = [row["id"] for row in bulk.rows(bulk.create())]
    langsmith.add_feedback(run_id, key="prompt_intent", value="refund")
    export_id = bulk.create(filter='and(eq(is_root, true), eq(feedback_key, "prompt_intent"))')
    assert [row["id"] for row in bulk.rows(export_id)] == [run_id]


@pytest.mark.parametrize(("minutes", "rows"), [(4, 4), (6, 3)])
def test_rows_are_read_when_the_export_runs(
    langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock, minutes: int, rows: int
) -> None:
    """A run that arrives before the export runs is in it, and one that arrives later is not, whenever one looks."""
    langsmith.bulk.queued_seconds = 300
    export_id = bulk.create()
    clock.advance(minutes=minutes)
    langsmith.add_run(project="shop", start_time="2026-02-28T12:00:00Z")
    clock.advance(minutes=10)
    assert bulk.results(export_id)[0]["rows_written"] == rows


def test_a_run_may_be_late_from_the_start(langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock) -> None:
    """A run that says when it arrives is not in an export before that, and is in one after it."""
    langsmith.add_run(project="shop", start_time="2026-02-28T12:00:00Z", received_at=NOON + timedelta(minutes=10))
    before = bulk.create()
    clock.advance(minutes=10)
    assert [bulk.results(export_id)[0]["rows_written"] for export_id in (before, bulk.create())] == [3, 4]


def test_a_pending_run_stays_pending(langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock) -> None:
    """A run of LangSmith that ends after the export is pending in the files."""
    langsmith.bulk.running_seconds = 60
    run_id = langsmith.add_run(project="shop", name="slow", start_time="2026-02-28T12:00:00Z")
    export_id = bulk.create(filter='eq(name, "slow")')
    clock.advance(minutes=2)
    langsmith.update_run(run_id, end_time=clock.now, outputs={"answer": 42})
    assert [(row["status"], row["outputs"]) for row in bulk.rows(export_id)] == [("pending", None)]


def test_exports_queue(langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock) -> None:
    """While ``max_running`` exports run, the next stays created, and starts when one has ended."""
    langsmith.bulk.max_running, langsmith.bulk.running_seconds = 2, 60
    exports = [bulk.create() for _ in range(3)]
    clock.advance(seconds=59)
    assert list(map(bulk.status, exports)) == ["Running", "Running", "Created"]
    clock.advance(seconds=60)
    assert list(map(bulk.status, exports)) == ["Completed", "Completed", "Running"]
    clock.advance(seconds=1)
    assert langsmith.bulk_exports[-1]["finished_at"] == (NOON + timedelta(minutes=2)).isoformat()


def test_a_cancelled_export_makes_room(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """The next export in the queue starts when a running one is cancelled."""
    langsmith.bulk.max_running, langsmith.bulk.running_seconds = 1, 60
    first, second = bulk.create(), bulk.create()
    bulk.cancel(first)
    assert list(map(bulk.status, (first, second))) == ["Cancelled", "Running"]


def test_a_cancelled_export_leaves_files(langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock) -> None:
    """Complete runs keep their files, and the run that was interrupted leaves a file that nothing names."""
    langsmith.bulk.running_seconds, langsmith.bulk.partition = 60, timedelta(hours=12)
    langsmith.bulk.max_rows_per_file = 1
    langsmith.add_run(project="shop", start_time="2026-02-28T22:00:00Z")
    export_id = bulk.create()
    clock.advance(seconds=30)
    answer = bulk.cancel(export_id)
    assert (answer.status_code, answer.json()["status"]) == (200, "Cancelled")
    clock.advance(seconds=60)
    assert [run["status"] for run in bulk.runs(export_id)] == ["Completed", "Cancelled"]
    complete, interrupted = bulk.results(export_id)
    assert (complete["rows_written"], len(complete["exported_files"]), interrupted) == (2, 2, None)
    assert len(list(bulk.bucket.rglob("*.parquet"))) == 3


def test_an_export_that_has_ended_cannot_be_cancelled(bulk: BulkClient) -> None:
    """It is 400, and the export stays as it is."""
    export_id = bulk.create()
    answer = bulk.cancel(export_id)
    assert (answer.status_code, answer.json()) == (
        400,
        {"detail": "Cannot cancel a bulk export with status Completed"},
    )
    assert bulk.status(export_id) == "Completed"


def test_cancelled_is_the_only_status_to_set(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """It is also the default; another status is 422."""
    langsmith.bulk.running_seconds = 60
    path = f"/api/v1/bulk-exports/{bulk.create()}"
    refused = bulk.http.patch(path, json={"status": "Completed"})
    assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "status"])
    assert bulk.http.patch(path, json={}).json()["status"] == "Cancelled"


def test_a_schedule_makes_exports(langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock) -> None:
    """Ten minutes after each window it makes an export of it, until it is cancelled."""
    schedule = bulk.create(start_time="2026-03-01T12:00:00Z", end_time=None, interval_hours=1)
    assert bulk.status(schedule) == "IntervalScheduled"
    clock.advance(minutes=69)
    assert len(langsmith.bulk_exports) == 1
    clock.advance(minutes=62)
    _, first, second = langsmith.bulk_exports
    assert first == {
        **first,
        "source_bulk_export_id": schedule,
        "start_time": "2026-03-01T12:00:00+00:00",
        "end_time": "2026-03-01T13:00:00+00:00",
        "created_at": "2026-03-01T13:10:00+00:00",
        "interval_hours": None,
        "status": "Completed",
    }
    assert (second["start_time"], second["created_at"]) == ("2026-03-01T13:00:00+00:00", "2026-03-01T14:10:00+00:00")
    assert bulk.cancel(schedule).json()["status"] == "Cancelled"
    clock.advance(days=1)
    assert len(langsmith.bulk_exports) == 3
    runs = bulk.http.get("/api/v1/bulk-exports/runs", params={"source_bulk_export_id": schedule}).json()
    assert [run["bulk_export_id"] for run in runs] == [first["id"], second["id"]]


def test_a_schedule_that_starts_in_the_past_catches_up(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """It makes the exports of all windows that are over."""
    bulk.create(end_time=None, interval_hours=12)
    assert [export["start_time"][5:16] for export in langsmith.bulk_exports[1:]] == [
        "02-28T00:00",
        "02-28T12:00",
    ]


def test_cancelling_a_schedule_does_not_cancel_its_exports(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """What it has made goes on."""
    langsmith.bulk.running_seconds = 60
    schedule = bulk.create(end_time=None, interval_hours=24)
    bulk.cancel(schedule)
    assert [export["status"] for export in langsmith.bulk_exports] == ["Cancelled", "Running"]


def test_creations_per_hour_are_limited(langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock) -> None:
    """One more creation in a rolling hour is 429, and what schedules create counts."""
    langsmith.bulk.max_creations_per_hour = 3
    bulk.create(end_time=None, interval_hours=24)
    bulk.create()
    refused = bulk.post()
    assert (refused.status_code, refused.json()) == (429, {"detail": "Limit of 3 bulk exports per hour exceeded"})
    clock.advance(hours=1)
    assert bulk.post().status_code == 200
    langsmith.bulk.max_creations_per_hour = None
    assert [bulk.post().status_code for _ in range(3)] == [200] * 3


def test_active_schedules_are_limited(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """One more active schedule is 429; a cancelled one makes room."""
    langsmith.bulk.max_schedules = 1
    schedule = {"start_time": "2026-03-01T00:00:00Z", "end_time": None, "interval_hours": 24}
    first = bulk.create(**schedule)
    refused = bulk.post(**schedule)
    assert refused.status_code == 429
    assert refused.json() == {"detail": "Limit of 1 active scheduled bulk exports exceeded"}
    bulk.cancel(first)
    assert bulk.post(**schedule).status_code == 200


def test_exports_are_listed_in_pages(langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock) -> None:
    """By default the newest come first; a switch turns the order."""

    def listed(**query: int) -> list[str]:
        return [export["id"] for export in bulk.http.get("/api/v1/bulk-exports", params=query).json()]

    exports = []
    for _ in range(3):
        exports.append(bulk.create())
        clock.advance(seconds=1)
    assert listed() == exports[::-1]
    assert (listed(limit=2), listed(limit=2, offset=2), listed(offset=3)) == (exports[:0:-1], exports[:1], [])
    langsmith.bulk.newest_first = False
    assert listed() == exports


def test_runs_are_listed_in_pages(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """``limit`` and ``offset`` apply to the runs of an export, too."""
    path = f"/api/v1/bulk-exports/{bulk.create(**TWO_DAYS)}/runs"
    (run,) = bulk.http.get(path, params={"limit": 1, "offset": 1}).json()
    assert windows([run]) == [("02-28T00:00", "03-01T00:00")]


def test_another_client_has_made_an_export(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """A test can add an export with its source and its time of creation, which is then listed like all others."""
    day: dict[str, Any] = {"start_time": NOON - timedelta(days=1), "end_time": "2026-03-01T12:00:00Z"}
    fields = {"destination_id": bulk.destination_id, "format_version": "v2_beta", "source_bulk_export_id": UNKNOWN_ID}
    export_id = langsmith.add_bulk_export(project="shop", created_at=NOON - timedelta(hours=1), **day, **fields)
    (export,) = bulk.http.get("/api/v1/bulk-exports").json()
    assert export == langsmith.bulk_exports[0]
    assert (export["id"], export["status"], export["created_at"], export["source_bulk_export_id"]) == (
        export_id,
        "Completed",
        "2026-03-01T11:00:00+00:00",
        UNKNOWN_ID,
    )


def test_all_experiments_are_found_when_the_export_runs(
    langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock
) -> None:
    """Each project with a dataset has runs of its own; other projects have none."""
    langsmith.bulk.queued_seconds = 60
    empty = bulk.create(session_id=None, all_experiments=True)
    clock.advance(minutes=1)
    assert (bulk.status(empty), bulk.runs(empty)) == ("Completed", [])
    export_id = bulk.create(session_id=None, all_experiments=True)
    experiment = langsmith.add_project("experiment", reference_dataset_id=UNKNOWN_ID)
    langsmith.add_run(project="experiment", name="eval", start_time="2026-02-28T12:00:00Z")
    clock.advance(minutes=1)
    assert [run["session_id"] for run in bulk.runs(export_id)] == [experiment]
    assert [row["name"] for row in bulk.rows(export_id)] == ["eval"]


def test_old_bodies(langsmith: LangSmithStandIn, bulk: BulkClient, http: httpx.Client) -> None:
    """Bodies of 2025 have fewer fields, and a run has its window only in its metadata."""
    langsmith.bulk.old_bodies = True
    export_id = bulk.create()
    (export,), (run,) = http.get("/api/v1/bulk-exports").json(), bulk.runs(export_id)
    assert set(export) == set(
        "bulk_export_destination_id session_id start_time end_time format compression id tenant_id status created_at "
        "updated_at finished_at".split()
    )
    assert (run["start_time"], run["end_time"], "execution_backend" in run["metadata"]) == (None, None, False)
    assert datetime.fromisoformat(run["metadata"]["start_time"]) == datetime.fromisoformat(export["start_time"])
    (destination,) = http.get("/api/v1/bulk-exports/destinations").json()
    assert set(destination["config"]) == {"bucket_name", "prefix", "region", "endpoint_url"}


def test_the_status_may_be_in_upper_case(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """As in the documentation of LangSmith, for exports and for runs."""
    langsmith.bulk.upper_case_status = True
    export_id = bulk.create()
    assert (bulk.status(export_id), bulk.runs(export_id)[0]["status"]) == ("COMPLETED", "COMPLETED")


def test_a_lost_answer_leaves_an_export(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """The request is carried out, and the client gets no answer; requests with another method pass."""
    langsmith.misbehave("lose_answer", path="/bulk-exports", method="POST")
    assert bulk.http.get("/api/v1/bulk-exports").json() == []
    with pytest.raises(httpx.TransportError):
        bulk.post()
    assert [export["status"] for export in langsmith.bulk_exports] == ["Completed"]
    assert [request.status for request in langsmith.requests] == [200, 0]
    assert langsmith.unspent_faults == []
