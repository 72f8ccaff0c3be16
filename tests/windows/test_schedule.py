"""DST: the windows of consecutive DAG runs are adjacent, or the schedule is refused, with the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pendulum
import pytest
from airflow.sdk import DAG, Asset
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.base import DataInterval, TimeRestriction, Timetable
from airflow.timetables.interval import CronDataIntervalTimetable, DeltaDataIntervalTimetable
from airflow.timetables.trigger import CronTriggerTimetable, DeltaTriggerTimetable, MultipleCronTriggerTimetable

from airflow_langsmith.errors import WindowError
from airflow_langsmith.windows import TimeWindow, resolve, split, trailing
from tests.wording import words

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)

# DST begins at 2, 2, 2 (by half an hour), midnight, midnight, and never.
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana", "UTC"]
WITHOUT_MIDNIGHTS = [zone for zone in ZONES if zone not in ("Africa/Cairo", "America/Havana")]
WHOLE_HOURS = [zone for zone in ZONES if zone != "Australia/Lord_Howe"]

# A schedule, and the window of its tasks. For a text or a timedelta Airflow chooses the timetable.
SCHEDULES: dict[str, tuple[Any, str | None]] = {
    "@daily": ("@daily", "1d"),
    "@hourly": ("@hourly", "1h"),
    "@weekly": ("@weekly", "7d"),
    "at 2": ("0 2 * * *", "1d"),
    "at half past 2": ("30 2 * * *", "1d"),
    "at 3": ("0 3 * * *", "1d"),
    "at noon": ("0 12 * * *", "1d"),
    "on Mondays at 1": ("0 1 * * 1", "1w"),
    "every 6 hours": ("0 */6 * * *", "6h"),
    "every 2 hours": ("0 */2 * * *", "2h"),
    "every half hour": ("*/30 * * * *", "30m"),
    "twice a day": ("0 2,14 * * *", "12h"),
    "two crons": (lambda zone: MultipleCronTriggerTimetable("0 5 * * *", "0 17 * * *", timezone=zone), "12h"),
    "its own interval": (lambda zone: CronTriggerTimetable("0 4 * * *", timezone=zone, interval=DAY), None),
    "of its own hour": (lambda zone: CronTriggerTimetable("@hourly", timezone=zone, interval=HOUR), None),
    "data intervals": (lambda zone: CronDataIntervalTimetable("@daily", zone), None),
    "data intervals at 2": (lambda zone: CronDataIntervalTimetable("0 2 * * *", zone), None),
    "a timedelta": (DAY, "1d"),
    "a timedelta of hours": (timedelta(hours=6), "6h"),
    "data intervals of a timedelta": (lambda _: DeltaDataIntervalTimetable(DAY), None),
}


@pytest.fixture(autouse=True)
def airflow_s_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read cron strings as in production, because Airflow's test mode reads them as Airflow 2 did."""
    monkeypatch.setenv("AIRFLOW__SCHEDULER__CREATE_CRON_DATA_INTERVALS", "False")


def core(schedule: Any, zone: Any) -> Timetable:
    """Return the timetable with which Airflow's scheduler makes the runs of a schedule."""
    if callable(schedule):
        return schedule(zone)  # type: ignore[no-any-return]
    return (
        CronTriggerTimetable(schedule, timezone=zone) if isinstance(schedule, str) else DeltaTriggerTimetable(schedule)
    )


def dag_of(schedule: Any, zone: Any) -> DAG:
    """Return the DAG as a user writes it: its start has the time zone."""
    start = pendulum.datetime(2025, 1, 1, tz=zone)
    return DAG("d", schedule=schedule(zone) if callable(schedule) else schedule, start_date=start)


def dst_days(zone: Any) -> list[datetime]:
    """Return the days of a year before which DST begins or ends in a zone."""
    days = [datetime(2026, 1, 1, tzinfo=UTC) + number * DAY for number in range(366)]
    days_of_change = [
        day for before, day in pairwise(days) if before.astimezone(zone).utcoffset() != day.astimezone(zone).utcoffset()
    ]
    return days_of_change or [datetime(2026, 3, 29, tzinfo=UTC)]


def runs(schedule: Any, zone: Any, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Yield the contexts of the scheduled runs between two moments, by Airflow's timetables."""
    timetable, dag = core(schedule, zone), dag_of(schedule, zone)
    restriction, last = TimeRestriction(pendulum.instance(start), None, catchup=True), cast("DataInterval | None", None)
    while (info := timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)) is not None:
        if info.run_after > end:
            return
        last = cast("DataInterval", info.data_interval)
        dag_run = SimpleNamespace(run_type="scheduled", run_after=info.run_after)
        yield {"dag": dag, "dag_run": dag_run, "data_interval_start": last.start, "data_interval_end": last.end}


def windows(
    schedule: Any, zone: Any, start: datetime, end: datetime, **arguments: Any
) -> list[TimeWindow | WindowError]:
    """Resolve the window of each of those runs."""
    results: list[TimeWindow | WindowError] = []
    for context in runs(schedule, zone, start, end):
        try:
            results.append(resolve(context, now=LATER, **arguments))
        except WindowError as error:
            results.append(error)
    return results


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("name", "align"),
    [(name, None) for name in SCHEDULES]
    + [(name, "day") for name, (_, window) in SCHEDULES.items() if window in ("1d", "7d", "1w")],
)
def test_windows_are_adjacent_or_refused(name: str, zone: str, align: Any) -> None:
    """When DST begins or ends, no hour is left out or read twice, or the schedule is refused on any day."""
    schedule, window = SCHEDULES[name]
    place = pendulum.timezone(zone)
    arguments = {"window": window, "align": align, "window_timezone": zone}
    span = 22 * DAY if "w" in name or "on" in name else 3 * DAY
    ordinary = windows(
        schedule, place, datetime(2026, 1, 12, tzinfo=UTC), datetime(2026, 1, 22, tzinfo=UTC), **arguments
    )
    for change in dst_days(place):
        results = windows(schedule, place, change - span, change + span, **arguments)
        assert len(results) > 2
        for before, after in pairwise(results):
            if isinstance(before, TimeWindow) and isinstance(after, TimeWindow):
                assert before.end == after.start
        refused = [words(error) for error in results if isinstance(error, WindowError)]
        assert all("Fix: schedule=CronDataIntervalTimetable(" in error and zone in error for error in refused)
        assert bool(refused) == any(isinstance(result, WindowError) for result in ordinary)


@pytest.mark.parametrize(
    ("name", "zone", "align"),
    [
        *(("@daily", zone, None) for zone in WITHOUT_MIDNIGHTS),
        *((name, zone, "day") for name in ("@daily", "at 2") for zone in ZONES),
        *((name, zone, None) for name in ("@hourly", "every half hour", "of its own hour") for zone in WHOLE_HOURS),
        *(
            (name, zone, None)
            for name in ("data intervals at 2", "a timedelta", "a timedelta of hours")
            for zone in ZONES
        ),
        *((name, "Europe/Berlin", None) for name in ("@weekly", "at 3", "at noon", "every 6 hours", "two crons")),
    ],
)
def test_a_schedule_without_gaps_is_accepted(name: str, zone: str, align: Any) -> None:
    """A schedule whose windows are adjacent is never refused."""
    schedule, window = SCHEDULES[name]
    for change in dst_days(pendulum.timezone(zone)):
        results = windows(
            schedule,
            pendulum.timezone(zone),
            change - 15 * DAY,
            change + 15 * DAY,
            window=window,
            align=align,
            window_timezone=zone,
        )
        assert len(results) > 3
        assert [result for result in results if isinstance(result, WindowError)] == []


@pytest.mark.parametrize(
    ("schedule", "zone", "days", "safe"),
    [
        ("@daily", "Europe/London", "UTC", False),  # midnight in winter, 23:00 the day before in summer
        (lambda zone: CronDataIntervalTimetable("@daily", zone), "Europe/London", "UTC", False),
        ("0 1 * * *", "Europe/Berlin", "UTC", False),
        ("30 1 * * *", "Europe/Berlin", "UTC", False),
        ("0 19 * * *", "America/New_York", "UTC", False),
        ("59 23 * * *", "America/Nuuk", "America/Nuuk", False),  # a time that is skipped, into the next day
        ("@daily", "UTC", "Europe/London", True),
        ("0 23 * * *", "UTC", "Europe/London", False),
        ("@daily", "Europe/Berlin", "UTC", True),
        ("0 2 * * *", "Europe/Berlin", "UTC", True),
        ("@daily", "Asia/Kolkata", "UTC", True),
        ("@daily", "Europe/London", "Europe/London", True),
    ],
)
def test_days_of_another_zone(schedule: Any, zone: str, days: str, *, safe: bool) -> None:
    """Aligned to days of another zone, windows are adjacent, a day each, or the schedule is refused on any day."""
    results = [
        window
        for change in {*dst_days(pendulum.timezone(zone)), *dst_days(pendulum.timezone(days))}
        for window in windows(
            schedule,
            pendulum.timezone(zone),
            change - 4 * DAY,
            change + 4 * DAY,
            window="1d",
            align="day",
            window_timezone=days,
        )
    ]
    assert len(results) >= 8
    if safe:
        lengths = {result.length for result in results if isinstance(result, TimeWindow)}
        assert all(isinstance(result, TimeWindow) for result in results)
        assert max(lengths) - min(lengths) <= 2 * HOUR
    else:
        refused = [words(result) for result in results if isinstance(result, WindowError)]
        assert len(refused) >= len(results) - (zone == days)  # a run at a time that is skipped comes at another
        assert all(error.startswith("No safe window: DST moves runs of") for error in refused)
        assert all(("window_timezone" in error) == (zone != days) for error in refused)


def test_days_of_berlin() -> None:
    """In Berlin a daily window at midnight has 25 hours in autumn; at 02:00 it is refused on any day."""
    berlin = pendulum.timezone("Europe/Berlin")
    autumn = datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC)
    lengths = [
        window.length for window in windows("@daily", berlin, *autumn, window="1d") if isinstance(window, TimeWindow)
    ]
    assert lengths == [DAY, DAY + HOUR, DAY]
    (refused, *_) = windows("0 2 * * *", berlin, *autumn, window="1d")
    assert words(refused).startswith("No safe window: DST in Europe/Berlin skips or repeats 02:00.")
    assert "Fix: schedule=CronDataIntervalTimetable('0 2 * * *', timezone='Europe/Berlin'), or align='day'" in words(
        refused
    )


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("name", ["data intervals", "@daily", "every 6 hours"])
def test_trailing_windows_are_those_of_their_runs(name: str, zone: str) -> None:
    """Trailing windows are those that the DAG runs before had, also when DST began or ended in between."""
    place, (schedule, window) = pendulum.timezone(zone), SCHEDULES[name]
    for change in dst_days(place):
        contexts = list(runs(schedule, place, change - 4 * DAY, change + 4 * DAY))
        own = [resolve(context, window=window, now=LATER) for context in contexts]
        last: Any = contexts[-1] if window is None else own[-1]
        earlier = [TimeWindow.of(window) for window in trailing(last, days=5)]
        assert earlier == own[-len(earlier) :]
        assert earlier[0].start < change - DAY
        assert [TimeWindow.of(piece) for piece in split(last, every="1d")] == own[-1:]


def test_a_schedule_beside_assets() -> None:
    """Scheduled runs of a DAG that assets trigger too have windows by the clock of its timetable."""
    berlin = pendulum.timezone("Europe/Berlin")
    timetable = CronTriggerTimetable("@daily", timezone=berlin)
    mixed = AssetOrTimeSchedule(timetable=timetable, assets=cast("Any", [Asset("lake")]))
    midnight = pendulum.datetime(2026, 10, 26, tz="Europe/Berlin")
    context = {**next(runs("@daily", berlin, midnight, midnight + DAY)), "dag": DAG("d", schedule=mixed)}
    assert resolve(context, window="1d", now=LATER).length == DAY + HOUR
