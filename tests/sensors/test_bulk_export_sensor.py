"""The sensor of bulk exports: it succeeds when a window is written as a whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.airflow_errors import FailWhenError
from airflow_langsmith.airflow_sdk import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.sensors import LangSmithBulkExportSensor
from airflow_langsmith.testing import LangSmithStandIn
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MODES: dict[str, dict[str, Any]] = {"poke": {}, "deferred": {"deferrable": True}}

Run = Callable[..., Any]


@pytest.fixture
def shop(langsmith: LangSmithStandIn, connect: Callable[..., None]) -> LangSmithStandIn:
    """A project with a day of runs, and a connection to it."""
    connect(langsmith)
    for hour in range(24):
        langsmith.add_run(project="shop", start_time=START + hour * HOUR, end_time=START + hour * HOUR)
    return langsmith


@pytest.fixture
def export(shop: LangSmithStandIn, tmp_path: Path) -> Callable[..., str]:
    """Make a bulk export of the day, or of another window, or a schedule."""
    destination_id = shop.add_bulk_destination(tmp_path / "bucket")

    def make(start: datetime = START, end: datetime | None = START + DAY, **fields: Any) -> str:
        return shop.add_bulk_export(
            project="shop", start_time=start, end_time=end, destination_id=destination_id, **fields
        )

    return make


def sensor(**arguments: Any) -> LangSmithBulkExportSensor:
    """Return a sensor that looks often."""
    often: dict[str, Any] = {"poke_interval": 0.02, "timeout": 20, "deferrable": False}
    return LangSmithBulkExportSensor(task_id="written", **often | arguments)


@pytest.mark.parametrize("mode", MODES)
def test_a_bulk_export_is_waited_for(shop: LangSmithStandIn, export: Callable[..., str], run: Run, mode: str) -> None:
    """It waits until the export has completed, and returns its rows, its files and its window."""
    shop.bulk.running_seconds = 0.3
    export_id = export()
    result = run(sensor(bulk_export_id=export_id, **MODES[mode]))
    url = result.pop("url")
    assert result == {
        "bulk_export_ids": [export_id],
        "rows": 24,
        "files": 1,
        "window_start": "2026-03-01T00:00:00+00:00",
        "window_end": "2026-03-02T00:00:00+00:00",
    }
    assert f"/projects/p/{shop.project_id('shop')}?" in url


@pytest.mark.parametrize("mode", MODES)
def test_the_exports_of_a_schedule_have_to_cover_the_window(
    shop: LangSmithStandIn, export: Callable[..., str], run: Run, mode: str
) -> None:
    """Of a schedule, all exports that share time with the window count, and none may be missing."""
    shop.bulk.max_creations_per_hour = None
    schedule_id = "82345678-1234-4678-8234-567812345678"
    hours = [
        export(START + hour * HOUR, START + (hour + 1) * HOUR, source_bulk_export_id=schedule_id)
        for hour in (-1, 0, 1, 2, 4, 24)
    ]
    export(START + 3 * HOUR, START + 4 * HOUR)  # nobody's schedule
    bounds = {"start_time": START.isoformat(), "end_time": (START + 5 * HOUR).isoformat()}
    with pytest.raises(
        AirflowSensorTimeout, match=says(r"has no export from 2026-03-01T03:00:00\+00:00 on: LangSmith lists no such")
    ):
        run(sensor(schedule_id=schedule_id, timeout=0.2, **bounds, **MODES[mode]))
    missing = export(START + 3 * HOUR, START + 4 * HOUR, source_bulk_export_id=schedule_id)
    result = run(sensor(schedule_id=schedule_id, **bounds, **MODES[mode]))
    assert result["bulk_export_ids"] == [*hours[1:4], missing, hours[4]]
    assert (result["rows"], result["window_end"]) == (5, "2026-03-01T05:00:00+00:00")


def test_the_window_of_a_schedule_comes_from_airflow(export: Callable[..., str], run: Run) -> None:
    """Without bounds, the window is the data interval of the DAG's run."""
    export_id = export(source_bulk_export_id="82345678-1234-4678-8234-567812345678")
    result = run(sensor(schedule_id="82345678-1234-4678-8234-567812345678"))
    assert result["bulk_export_ids"] == [export_id]


def test_a_schedule_that_is_cancelled_fails_what_it_does_not_cover(
    shop: LangSmithStandIn, export: Callable[..., str], run: Run
) -> None:
    """Its exports count. A window without one fails at once, because no export will come."""
    shop.bulk.max_creations_per_hour = None
    now = datetime.now(UTC)
    schedule_id = export(now - 3 * HOUR, None, interval_hours=1)
    past = {"start_time": (now - 3 * HOUR).isoformat(), "end_time": (now - 2 * HOUR).isoformat()}
    future = {"start_time": (now + DAY).isoformat(), "end_time": (now + 2 * DAY).isoformat()}
    with pytest.raises(AirflowSensorTimeout, match=says("on yet")):
        run(sensor(schedule_id=schedule_id, timeout=0.1, **future))
    with LangSmithHook() as hook:
        hook.cancel_bulk_export(schedule_id)
    assert run(sensor(schedule_id=schedule_id, **past))["rows"] == 0
    with pytest.raises(FailWhenError, match=says("makes no more: it is Cancelled")):
        run(sensor(schedule_id=schedule_id, **future))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("fail_run", r"ended as Failed\. Its run .* says: Access Denied"),
        ("time_out", r"ended as TimedOut"),
        ("no_files", "names no file"),
        ("gap", "its runs end at"),
    ],
)
def test_what_is_not_whole_fails(  # fixtures
    shop: LangSmithStandIn, export: Callable[..., str], run: Run, mode: str, kind: Any, message: str
) -> None:
    """An export that failed or is not whole fails the sensor at once; ``soft_fail`` skips the task."""
    shop.misbehave_bulk_export(kind, errors={"retry_0": "Access Denied"})
    export_id = export()
    with pytest.raises(FailWhenError, match=says(message)) as caught:
        run(sensor(bulk_export_id=export_id, **MODES[mode]))
    assert "retry starts" not in str(caught.value)  # a sensor starts nothing
    with pytest.raises(AirflowSkipException):
        run(sensor(bulk_export_id=export_id, soft_fail=True, **MODES[mode]))


@pytest.mark.parametrize("mode", MODES)
def test_a_schedule_is_no_export(export: Callable[..., str], run: Run, mode: str) -> None:
    """A schedule never completes, so a sensor that takes it for an export fails at once."""
    schedule_id = export(end=None, interval_hours=24)
    with pytest.raises(FailWhenError, match=says(f"{schedule_id} is a schedule")):
        run(sensor(bulk_export_id=schedule_id, **MODES[mode]))


def test_a_body_without_later_fields_is_enough(shop: LangSmithStandIn, export: Callable[..., str], run: Run) -> None:
    """The sensor needs no destination, which an old server may leave out."""
    export_id = export()
    window = {"start_time": START.isoformat(), "end_time": (START + DAY).isoformat()}
    body = {"id": export_id, "status": "COMPLETED", **window}
    shop.misbehave("status", path=f"/bulk-exports/{export_id}", status=200, body=body)
    assert run(sensor(bulk_export_id=export_id))["rows"] == 24
    assert not shop.requests_to("/destinations")


def test_an_unknown_export_fails(shop: LangSmithStandIn, run: Run) -> None:
    """No retry cures a wrong id."""
    with pytest.raises(AirflowFailException, match="404"):
        run(sensor(bulk_export_id=shop.workspace_id))


@pytest.mark.parametrize("ids", [{}, {"bulk_export_id": "a", "schedule_id": "b"}, {"bulk_export_id": " "}], ids=str)
def test_one_id_is_needed(ids: dict[str, str]) -> None:
    """Neither or both of the ids are an import error of the DAG."""
    with pytest.raises(AirflowFailException, match=says("Give bulk_export_id= or schedule_id=, and not both")):
        sensor(**ids)
