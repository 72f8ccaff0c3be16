"""The window of a task, for every kind of DAG run that Airflow 3 makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest

from airflow_langsmith.errors import WindowError, WindowNotClosedError
from airflow_langsmith.windows import TimeWindow, resolve, split, trailing
from tests.wording import says, words

NOW = datetime(2026, 11, 22, 10, 2, 34, tzinfo=UTC)
DAY = timedelta(days=1)


def at(text: str) -> datetime:
    """Write a moment of November 2026 as day and hour: ``21T02:00``."""
    return datetime.fromisoformat(f"2026-11-{text}+00:00")


def run(
    interval: tuple[str, str] | None = None, run_after: str = "22T10:02", run_type: str = "scheduled", **more: Any
) -> dict[str, Any]:
    """Return a task context as in Airflow: keys without a value are missing."""
    context = {"dag_run": SimpleNamespace(run_type=run_type, run_after=at(run_after)), **more}
    context.setdefault("partition_date", None)
    context.setdefault("partition_key", None)
    if interval:
        start, end = map(at, interval)
        context.update(data_interval_start=start, data_interval_end=end, logical_date=start)
    return context


def bounds(window: TimeWindow) -> tuple[datetime, datetime]:
    """Return a window's two ends."""
    return window.start, window.end


# The data interval of a scheduled run, and the window without and with ``window="1d"``.
SCHEDULED = {
    "cron string": (("22T02:00", "22T02:00"), None, ("21T02:00", "22T02:00")),
    "@daily, @hourly, timedelta, @once": (("22T00:00", "22T00:00"), None, ("21T00:00", "22T00:00")),
    "CronDataIntervalTimetable @daily": (("21T00:00", "22T00:00"), ("21T00:00", "22T00:00"), ("21T00:00", "22T00:00")),
    "CronDataIntervalTimetable 2 h": (("01T02:00", "02T02:00"), ("01T02:00", "02T02:00"), ("01T02:00", "02T02:00")),
    "CronTriggerTimetable interval=1d": (("21T02:00", "22T02:00"), ("21T02:00", "22T02:00"), ("21T02:00", "22T02:00")),
    "DeltaDataIntervalTimetable": (("01T00:00", "02T00:00"), ("01T00:00", "02T00:00"), ("01T00:00", "02T00:00")),
    "CronDataIntervalTimetable on a day of 25 h": (("01T04:00", "02T05:00"),) * 3,
    "@continuous": (("20T00:00", "22T09:00"), ("20T00:00", "22T09:00"), ("20T00:00", "22T09:00")),
}

# The data interval of a manual run, by how it was made.
MANUAL = {
    "logical date, cron string": (("03T09:17", "03T09:17"), None, ("02T09:17", "03T09:17")),
    "logical date, CronDataInterval": (("02T00:00", "03T00:00"), ("02T00:00", "03T00:00"), ("02T00:00", "03T00:00")),
    "logical date, CronTrigger interval": (
        ("02T09:17", "03T09:17"),
        ("02T09:17", "03T09:17"),
        ("02T09:17", "03T09:17"),
    ),
    "logical date, CronPartition": (("03T09:17", "03T09:17"), None, ("02T09:17", "03T09:17")),
    "explicit interval": (("01T00:00", "02T00:00"), ("01T00:00", "02T00:00"), ("01T00:00", "02T00:00")),
    "command line, cron string": (("22T10:02", "22T10:02"), None, ("21T10:02", "22T10:02")),
    "command line, CronDataInterval": (("21T00:00", "22T00:00"), ("21T00:00", "22T00:00"), ("21T00:00", "22T00:00")),
}

# The data interval of a run of `airflow backfill create`.
BACKFILL = {
    "CronDataInterval": (("05T00:00", "06T00:00"), ("05T00:00", "06T00:00"), ("05T00:00", "06T00:00")),
    "cron string": (("05T02:00", "05T02:00"), None, ("04T02:00", "05T02:00")),
    "CronTrigger interval": (("04T02:00", "05T02:00"), ("04T02:00", "05T02:00"), ("04T02:00", "05T02:00")),
}


@pytest.mark.parametrize(
    ("run_type", "interval", "alone", "with_window"),
    [
        pytest.param(run_type, *row, id=f"{run_type}: {name}")
        for run_type, rows in (("scheduled", SCHEDULED), ("manual", MANUAL), ("backfill", BACKFILL))
        for name, row in rows.items()
    ],
)
def test_every_interval_airflow_gives(
    run_type: str, interval: tuple[str, str], alone: tuple[str, str] | None, with_window: tuple[str, str]
) -> None:
    """A data interval is the window; one of zero length needs ``window``, or fails."""
    context = run(interval, run_type=run_type)
    assert bounds(resolve(context, window="1d", now=NOW)) == tuple(map(at, with_window))
    if alone is None:
        with pytest.raises(WindowError, match=says("zero length")) as caught:
            resolve(context, now=NOW)
        assert "schedule=CronDataIntervalTimetable(" in str(caught.value)
        assert "window='1d'" in str(caught.value)
        assert run_type in str(caught.value)
    else:
        assert bounds(resolve(context, now=NOW)) == tuple(map(at, alone))


@pytest.mark.parametrize(
    "context",
    [
        pytest.param(run(run_type="manual"), id="manual, no logical date"),
        pytest.param(run(run_type="asset_triggered"), id="asset-triggered"),
        pytest.param(run(run_type="manual", partition_key="north"), id="partition key that is no date"),
        pytest.param(run(run_type="asset_triggered", partition_key="2026-11-20"), id="partition key typed by hand"),
    ],
)
def test_runs_without_any_time(context: dict[str, Any]) -> None:
    """A run without interval and partition date has no window, unless ``missing_window`` is ``run_after``."""
    with pytest.raises(WindowError, match="missing_window='run_after'"):
        resolve(context, window="1d", now=NOW)
    with pytest.raises(WindowError, match="window='1d'"):
        resolve(context, missing_window="run_after", now=NOW)
    window = resolve(context, window="1d", missing_window="run_after", now=NOW)
    assert bounds(window) == (at("21T10:02"), at("22T10:02"))


def test_a_partitioned_run() -> None:
    """A partition date starts the window, and ``window`` is its length."""
    context = run(partition_key="2026-11-21", partition_date=at("21T00:00"))
    assert bounds(resolve(context, window=DAY, now=NOW)) == (at("21T00:00"), at("22T00:00"))
    with pytest.raises(WindowError, match=says("partition date 2026-11-21")):
        resolve(context, now=NOW)


def test_explicit_times_win() -> None:
    """Explicit bounds go before all times of the run, in each spelling."""
    context = run(("21T00:00", "22T00:00"), partition_date=at("20T00:00"))
    spellings: list[tuple[str | datetime, str | datetime]] = [
        (at("01T00:00"), at("02T00:00")),
        ("2026-11-01T00:00:00+00:00", "2026-11-02T00:00:00Z"),
        ("2026-11-01 00:00:00+00:00", "2026-11-02 01:00:00+01:00"),
        (pendulum.datetime(2026, 11, 1), " 2026-11-02T00:00:00+00:00 "),
    ]
    for start, end in spellings:
        window = resolve(context, start_time=start, end_time=end, now=NOW)
        assert bounds(window) == (at("01T00:00"), at("02T00:00"))
        assert type(window.start) is datetime
        assert window.source == "start_time and end_time"


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        ("2026-11-01T00:00:00Z", None, "come both or not at all"),
        (None, "2026-11-01T00:00:00Z", "come both or not at all"),
        ("None", "None", "no data interval"),
        ("", "", "come both or not at all"),
        ("2026-11-01T00:00:00", "2026-11-02T00:00:00Z", "time zone"),
        (datetime(2026, 11, 1), at("02T00:00"), "time zone"),  # noqa: DTZ001  # what is refused
        ("yesterday", "2026-11-02T00:00:00Z", "write it as"),
        (1767225600, "2026-11-02T00:00:00Z", "write a datetime"),
        ("2026-11-02T00:00:00Z", "2026-11-02T00:00:00Z", "empty"),
        ("2026-11-03T00:00:00Z", "2026-11-02T00:00:00Z", "empty"),
        ("0001-01-01T00:00:00+01:00", "2026-11-02T00:00:00Z", "such a year"),
        (at("02T00:00"), datetime.max.replace(tzinfo=UTC), "such a year"),
    ],
)
def test_bounds_that_cannot_be_meant(start: Any, end: Any, why: str) -> None:
    """A missing, unreadable, zoneless or reversed bound fails, also if the run has a window."""
    with pytest.raises(WindowError, match=says(why)):
        resolve(run(("21T00:00", "22T00:00")), start_time=start, end_time=end, now=NOW)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"window": "a day"}, "write a timedelta"),
        ({"window": "0d"}, "longer than zero"),
        ({"window": "1M"}, "m is minutes"),
        ({"window": "1D"}, "a number and a unit"),
        ({"window": "1d12h"}, "a number and a unit"),
        ({"window": "P1D"}, "a number and a unit"),
        ({"window": "None"}, "a number and a unit"),
        ({"window": pendulum.duration(months=1)}, "months and years differ in length"),
        ({"lag": pendulum.duration(years=1)}, "months and years differ in length"),
        ({"window": pendulum.duration(days=-1)}, "longer than zero"),
        ({"window": timedelta(hours=-1)}, "longer than zero"),
        ({"align": "week"}, "align"),
        ({"missing_window": "guess"}, "missing_window"),
        ({"window_timezone": "Mars/Base"}, "IANA"),
        ({"window_timezone": "../etc/passwd"}, "IANA"),
        ({"lag": "soon"}, "lag"),
        ({"lag": 3600}, "lag"),
        ({"window": "999999999999d"}, "over a hundred years"),
        ({"window": "999999d"}, "over a hundred years"),
        ({"lag": timedelta.max}, "over a hundred years"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments: dict[str, Any], why: str) -> None:
    """A wrong window argument fails, and the error names it."""
    with pytest.raises(WindowError, match=says(why)):
        resolve(run(("21T00:00", "22T00:00")), now=NOW, **arguments)


@pytest.mark.parametrize(
    ("length", "start"),
    [
        (pendulum.duration(days=1), "21T00:00"),
        (pendulum.duration(weeks=1), "15T00:00"),
        (pendulum.duration(hours=6, minutes=30), "21T17:30"),
        (pendulum.datetime(2026, 1, 3) - pendulum.datetime(2026, 1, 1), "20T00:00"),
        (timedelta(days=1), "21T00:00"),
        (" 2w ", "08T00:00"),
        ("90m", "21T22:30"),
    ],
    ids=str,
)
def test_lengths_of_windows(length: Any, start: str) -> None:
    """A length is a timedelta, pendulum's too, or a number and a unit, and the bounds are plain datetimes in UTC."""
    window = resolve(run(("22T00:00", "22T00:00")), window=length, lag=length, now=NOW + timedelta(days=60))
    assert bounds(window) == (at(start), at("22T00:00"))
    assert type(window.start) is type(window.end) is datetime
    assert window.start.tzinfo is window.end.tzinfo is UTC
    assert type(window.length) is timedelta


def test_lists_of_windows_take_the_task_s_context() -> None:
    """Lists of windows accept the task's context, and fail like a task if it has no window."""
    context = run(("21T00:00", "22T00:00"))
    whole = TimeWindow(at("21T00:00"), at("22T00:00"))
    assert trailing(context, days=2) == trailing(whole, days=2)
    assert split(context, every="12h") == split(whole, every="12h")
    with pytest.raises(WindowError, match=says("this manual run has no data interval")):
        trailing(run(run_type="manual"), days=3)
    with pytest.raises(WindowError, match=says("this manual run has no data interval")):
        split(run(run_type="manual"), every="1h")


# The run, the arguments in its DAG, and the first fix in the error.
REMEDIES = [
    (run(("22T00:00", "22T00:00")), "@daily", {}, "schedule=CronDataIntervalTimetable('"),
    (run(run_type="manual"), "data intervals", {}, "give the run a logical date in the trigger form, or window='1d'"),
    (run(run_type="manual"), "data intervals", {"window": "1d"}, "give the run a logical date in the trigger form"),
    (run(run_type="manual"), "@daily", {}, "give the run a logical date in the trigger form, and the task window='1d'"),
    (run(run_type="asset_triggered"), None, {}, "window='1d' and missing_window='run_after'"),
    (run(run_type="asset_triggered"), None, {"window": "1d"}, "missing_window='run_after'"),
    (run(partition_date=at("21T00:00")), None, {}, "window='1d'"),
]


@pytest.mark.parametrize(("context", "schedule", "arguments", "remedy"), REMEDIES)
def test_the_remedy_fits_the_run(
    context: dict[str, Any], schedule: Any, arguments: Any, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first fix in the error is one that the DAG does not have yet."""
    from airflow.sdk import DAG  # noqa: PLC0415  # slow to import
    from airflow.timetables.interval import CronDataIntervalTimetable  # noqa: PLC0415

    monkeypatch.setenv("AIRFLOW__SCHEDULER__CREATE_CRON_DATA_INTERVALS", "False")
    intervals = CronDataIntervalTimetable("@daily", timezone="UTC")
    dag = DAG("d", schedule=intervals if schedule == "data intervals" else schedule)
    ti = SimpleNamespace(task_id="runs", dag_id="d", run_id="r1")
    with pytest.raises(WindowError) as caught:
        resolve({**context, "dag": dag, "ti": ti}, now=NOW, **arguments)
    first, fix = words(caught.value).split(" Fix: ")
    assert first.startswith(f"No time window: this {context['dag_run'].run_type} run has ")
    assert fix.startswith(remedy)
    assert "Task runs of DAG d, run r1, timetable " in fix


def test_align_makes_a_late_manual_run_the_same_partition() -> None:
    """An aligned manual run has the window of the scheduled run of the day."""
    manual = run(("22T10:02", "22T10:02"), run_type="manual")
    assert bounds(resolve(manual, window="1d", align="day", now=NOW)) == (at("21T00:00"), at("22T00:00"))
    assert bounds(resolve(manual, window="1h", align="hour", now=NOW)) == (at("22T09:00"), at("22T10:00"))
    in_berlin = resolve(manual, window="1d", align="day", window_timezone="Europe/Berlin", now=NOW)
    assert bounds(in_berlin) == (at("20T23:00"), at("21T23:00"))
    with pytest.raises(WindowError, match=says("shorter than that")):
        resolve(run(("22T10:00", "22T10:30")), align="hour", now=NOW)


def test_align_to_days_that_are_not_24_hours_long() -> None:
    """Aligned to local days, the day on which DST ends is 25 hours long."""
    autumn = {"data_interval_end": datetime(2026, 11, 2, 9, tzinfo=UTC)}
    autumn["data_interval_start"] = autumn["data_interval_end"]
    window = resolve(autumn, window="1d", align="day", window_timezone="America/New_York", now=NOW)
    assert window.length == timedelta(hours=25)
    assert window.end.astimezone(ZoneInfo("America/New_York")).hour == 0


@pytest.mark.parametrize(
    ("zone", "day", "hour"),
    [("Africa/Cairo", "2026-04-24", 1), ("America/Havana", "2026-03-08", 1), ("America/Havana", "2026-11-01", 0)],
)
def test_align_to_a_day_whose_midnight_dst_skips_or_repeats(zone: str, day: str, hour: int) -> None:
    """A run at any hour of that day floors to the same start as the window of the day before ends at."""
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo(zone))
    later = datetime(2027, 1, 1, tzinfo=UTC)
    before, after = (
        resolve(
            {"data_interval_start": at, "data_interval_end": at},
            window="1d",
            align="day",
            window_timezone=zone,
            now=later,
        )
        for at in (noon, noon + DAY)
    )
    assert before.end == after.start
    start = after.start.astimezone(ZoneInfo(zone))
    assert (start.date().isoformat(), start.hour) == (day, hour)


@pytest.mark.parametrize("change", [datetime(2026, 3, 27).date(), datetime(2026, 10, 23).date()])  # noqa: DTZ001
@pytest.mark.parametrize("align", [None, "day"])
def test_local_days_are_adjacent_when_dst_begins_or_ends(change: Any, align: Any) -> None:
    """``window="1d"`` is a day of ``window_timezone``: no hour is lost or doubled."""
    berlin, later = ZoneInfo("Europe/Berlin"), datetime(2027, 1, 1, tzinfo=UTC)
    windows = []
    for day in range(5):
        midnight = datetime.combine(change + day * DAY, datetime.min.time(), berlin)
        context = {"data_interval_start": midnight, "data_interval_end": midnight}
        windows.append(resolve(context, window="1d", window_timezone="Europe/Berlin", align=align, now=later))
    assert all(before.end == after.start for before, after in pairwise(windows))
    assert len({window.length for window in windows}) == 2


def test_a_window_still_open_fails_in_a_way_that_a_retry_cures() -> None:
    """A window that has not closed ``lag`` ago fails for a retry, and is found later."""
    context = run(("21T00:00", "22T00:00"))
    for lag, moment in [(None, at("21T23:59")), ("30m", at("22T00:29")), (timedelta(hours=2), at("22T01:59"))]:
        with pytest.raises(WindowNotClosedError, match=says("set retries and retry_delay")) as caught:
            resolve(context, lag=lag, now=moment)
        assert (" ago " in str(caught.value)) is (lag is not None)
        assert caught.value.retriable
    assert resolve(context, lag="30m", now=at("22T00:30")).end == at("22T00:00")
    assert not WindowError.retriable


def test_real_timetables_give_the_intervals_above() -> None:
    """The data intervals in these tests are those of Airflow's timetables."""
    from airflow.timetables.base import Timetable  # noqa: PLC0415  # slow to import
    from airflow.timetables.interval import CronDataIntervalTimetable  # noqa: PLC0415
    from airflow.timetables.trigger import CronTriggerTimetable  # noqa: PLC0415

    ends = pendulum.datetime(2026, 11, 22, 10, 2)
    rows: list[tuple[Timetable, tuple[str, str]]] = [
        (CronTriggerTimetable("0 2 * * *", timezone="UTC"), ("22T10:02", "22T10:02")),
        (CronDataIntervalTimetable("@daily", timezone="UTC"), ("21T00:00", "22T00:00")),
        (CronTriggerTimetable("0 2 * * *", timezone="UTC", interval=DAY), ("21T10:02", "22T10:02")),
    ]
    for timetable, expected in rows:
        interval = timetable.infer_manual_data_interval(run_after=ends)
        assert (interval.start, interval.end) == tuple(map(at, expected))
