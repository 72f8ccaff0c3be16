"""What exports do wrong, each as a client sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.bulk.behaviour import BulkFaultKind
from tests.testing.conftest import BulkClient, Clock


def rows_in_files(bulk: BulkClient, export_id: str) -> int:
    """Count the rows of the files of an export."""
    return len(bulk.rows(export_id))


def hours(runs: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Return the hours of the windows of runs; the next midnight is 24."""
    times = [(run["metadata"]["start_time"], run["metadata"]["end_time"]) for run in runs]
    return [(int(start[11:13]), int(end[11:13]) or 24) for start, end in times]


def test_an_export_can_be_stuck(langsmith: LangSmithStandIn, bulk: BulkClient, clock: Clock) -> None:
    """It stays running for ever, until it is cancelled."""
    langsmith.misbehave_bulk_export("stuck")
    export_id = bulk.create()
    clock.advance(days=30)
    assert (bulk.status(export_id), bulk.runs(export_id)[0]["status"]) == ("Running", "Running")
    assert bulk.cancel(export_id).json()["status"] == "Cancelled"


def test_a_run_can_fail(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """Its errors are those of the test, the other runs are complete, and the export has failed."""
    langsmith.bulk.partition = timedelta(hours=8)
    errors = {"retry_0": "Timed out", "retry_1": "Out of memory"}
    langsmith.misbehave_bulk_export("fail_run", run=1, errors=errors)
    export_id = bulk.create()
    assert bulk.status(export_id) == "Failed"
    assert [(run["status"], run["errors"], run["retry_number"]) for run in bulk.runs(export_id)] == [
        ("Completed", None, 0),
        ("Failed", errors, 1),
        ("Completed", None, 0),
    ]
    assert [result and result["rows_written"] for result in bulk.results(export_id)] == [1, None, 1]
    assert len(list(bulk.bucket.rglob("*.parquet"))) == 3  # also one of the run that failed


def test_an_export_can_time_out(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """Its last run and the export have timed out."""
    langsmith.bulk.partition = timedelta(hours=8)
    langsmith.misbehave_bulk_export("time_out", run=-1)
    export_id = bulk.create()
    assert bulk.status(export_id) == "TimedOut"
    assert [run["status"] for run in bulk.runs(export_id)] == ["Completed", "Completed", "TimedOut"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("gap", [(0, 8), (8, 12), (16, 24)]), ("overlap", [(0, 8), (8, 16), (12, 16), (16, 24)])],
)
def test_windows_can_have_a_gap_or_an_overlap(
    langsmith: LangSmithStandIn, bulk: BulkClient, kind: BulkFaultKind, expected: list[tuple[int, int]]
) -> None:
    """The windows of the runs do not tile the window of the export, which is complete all the same."""
    langsmith.bulk.partition = timedelta(hours=8)
    langsmith.misbehave_bulk_export(kind, run=1)
    export_id = bulk.create()
    assert bulk.status(export_id) == "Completed"
    assert hours(bulk.runs(export_id)) == expected


def test_an_export_of_one_run_can_have_an_overlap(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """The rows of the second half of the window are there twice."""
    langsmith.misbehave_bulk_export("overlap")
    export_id = bulk.create()
    assert hours(bulk.runs(export_id)) == [(0, 24), (12, 24)]
    assert [result["rows_written"] for result in bulk.results(export_id)] == [3, 1]


@pytest.mark.parametrize(
    ("kind", "written", "files", "rows"),
    [("wrong_rows", 4, 1, 3), ("doubled_rows", 4, 2, 4), ("pending_upload", 3, 1, 3), ("retried", 3, 1, 3)],
)
def test_a_result_can_be_wrong(
    langsmith: LangSmithStandIn, bulk: BulkClient, kind: BulkFaultKind, written: int, files: int, rows: int
) -> None:
    """The export is complete, but its rows, files or uploads do not fit together."""
    langsmith.misbehave_bulk_export(kind)
    export_id = bulk.create()
    (run,) = bulk.runs(export_id)
    result = run["metadata"]["result"]
    assert (bulk.status(export_id), result["rows_written"], len(result["exported_files"])) == (
        "Completed",
        written,
        files,
    )
    assert rows_in_files(bulk, export_id) == rows
    assert (result["pending_upload"] is not None, run["errors"] is not None) == (
        kind == "pending_upload",
        kind == "retried",
    )


def test_a_run_can_name_no_file(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """It says that it wrote rows, and there is no file."""
    langsmith.misbehave_bulk_export("no_files", times=2)
    for fields in ({}, {"filter": 'eq(name, "none")'}):
        (result,) = bulk.results(bulk.create(**fields))
        assert result["rows_written"] > 0
        assert result["exported_files"] == []
    assert list(bulk.bucket.rglob("*.parquet")) == []


def test_files_can_be_lost(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """A run names a file that is not in the bucket."""
    langsmith.misbehave_bulk_export("lost_files")
    (file,) = bulk.files(bulk.create())
    assert not file.exists()


def test_a_file_can_be_cut(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """It begins as Parquet does, and cannot be read."""
    langsmith.misbehave_bulk_export("cut_file")
    (file,) = bulk.files(bulk.create())
    assert file.read_bytes()[:4] == b"PAR1"
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(file, partitioning=None)


def test_faults_happen_in_order(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """Each export takes the next fault, also one that a schedule makes; without faults all is well."""
    langsmith.misbehave_bulk_export("time_out")
    langsmith.misbehave_bulk_export("fail_run", times=2)
    exports = [bulk.create() for _ in range(2)]
    bulk.create(end_time=None, interval_hours=24)
    exports.append(bulk.create())
    assert list(map(bulk.status, exports)) == ["TimedOut", "Failed", "Completed"]
    assert [export["status"] for export in langsmith.bulk_exports if export["source_bulk_export_id"]] == ["Failed"]


def test_a_fault_may_last_until_exports_behave(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """Without an end it happens to each export, until ``behave``."""
    langsmith.misbehave_bulk_export("time_out", times=None)
    assert [bulk.status(bulk.create()) for _ in range(3)] == ["TimedOut"] * 3
    langsmith.behave()
    assert bulk.status(bulk.create()) == "Completed"


def test_a_fault_that_cannot_happen_is_refused(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """An unknown kind is refused at once, and a run that the export does not have when it is made."""
    with pytest.raises(ValueError, match="'explode' is no misbehaviour: choose one of stuck, fail_run"):
        langsmith.misbehave_bulk_export("explode")  # type: ignore[arg-type]
    langsmith.misbehave_bulk_export("fail_run", run=7)
    with pytest.raises(ValueError, match="'fail_run' is for run 7, and the export has 1"):
        langsmith.add_bulk_export(
            project="shop",
            start_time="2026-02-28T00:00:00Z",
            end_time="2026-03-01T00:00:00Z",
            destination_id=bulk.destination_id,
        )
