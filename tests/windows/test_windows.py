"""Windows, and lists of them that are adjacent, also when DST begins or ends."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_langsmith.errors import WindowError, WindowNotClosedError
from airflow_langsmith.windows import TimeWindow, resolve, split, trailing
from airflow_langsmith.windows.time_window import duration
from tests.wording import says

DAY = timedelta(days=1)


def at(text: str) -> datetime:
    """Write a moment of November 2026 as day and hour: ``21T02:00``."""
    return datetime.fromisoformat(f"2026-11-{text}+00:00")


def bounds(window: TimeWindow) -> tuple[datetime, datetime]:
    """Return a window's two ends."""
    return window.start, window.end


def test_split_if_dst_skips_a_midnight() -> None:
    """After a day that begins at one o'clock, days begin at midnight again."""
    cairo = ZoneInfo("Africa/Cairo")
    whole = TimeWindow(datetime(2026, 4, 22, tzinfo=cairo), datetime(2026, 4, 27, tzinfo=cairo))
    starts = [TimeWindow.of(piece).start.astimezone(cairo).hour for piece in split(whole, "1d", "Africa/Cairo")]
    assert starts == [0, 0, 1, 0, 0]


@settings(deadline=None)  # hundreds of pieces, on a machine that is busy
@example(datetime(2027, 3, 12, 8, tzinfo=UTC), 2 * DAY, timedelta(minutes=10), "America/New_York")  # DST skips an hour
@example(datetime(2026, 10, 31, 3, 30, tzinfo=UTC), 2 * DAY, timedelta(minutes=30), "America/New_York")  # or repeat one
@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    length=st.timedeltas(timedelta(microseconds=1), timedelta(days=3)),
    every=st.timedeltas(timedelta(minutes=10), timedelta(days=2)),
    zone=st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe"]),
)
def test_split_covers_a_window_once(start: datetime, length: timedelta, every: timedelta, zone: str) -> None:
    """The parts of a window are adjacent, from its start to its end."""
    whole = TimeWindow(start, start + length)
    pieces = [TimeWindow.of(piece) for piece in split(whole, every, zone)]
    assert (pieces[0].start, pieces[-1].end) == bounds(whole)
    assert all(before.end == after.start for before, after in pairwise(pieces))
    assert not every % DAY or all(piece.end - piece.start == every for piece in pieces[:-1])


@given(
    day=st.dates(datetime(2020, 1, 1).date(), datetime(2030, 1, 1).date()),  # noqa: DTZ001
    days=st.integers(1, 40),
    zone=st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_trailing_days_are_the_partitions_of_those_days(day: Any, days: int, zone: str) -> None:
    """Trailing windows start and end at local midnights, also when DST begins or ends."""
    midnight = datetime.combine(day, datetime.min.time(), ZoneInfo(zone))
    last = TimeWindow(midnight, midnight + DAY)
    windows = [TimeWindow.of(piece) for piece in trailing(last, days, zone)]
    assert len(windows) == days
    assert windows[-1] == last
    assert all(before.end == after.start for before, after in pairwise(windows))
    assert {window.start.astimezone(ZoneInfo(zone)).time() for window in windows} == {midnight.time()}


def test_trailing_hours() -> None:
    """Hourly windows trail by the hour; windows that do not fill days are refused."""
    hour = TimeWindow(at("21T09:00"), at("21T10:00"))
    windows = trailing(hour, 2)
    assert len(windows) == 48
    assert windows[0] == {"start_time": "2026-11-19T10:00:00+00:00", "end_time": "2026-11-19T11:00:00+00:00"}
    assert windows[-1] == hour.arguments()
    across_dst = TimeWindow(datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 3, 8, 8, tzinfo=UTC))
    assert len(trailing(across_dst, 1, "America/New_York")) == 24
    with pytest.raises(WindowError, match=says("do not fill days")):
        trailing(TimeWindow(at("21T00:00"), at("21T07:00")), 2)
    with pytest.raises(WindowError, match=says("1 or more")):
        trailing(hour, 0)


def test_windows_travel_through_xcom_as_arguments() -> None:
    """A window's arguments are JSON, and read back they are the same window."""
    window = TimeWindow(at("21T00:00"), at("22T00:00") + timedelta(microseconds=1))
    assert TimeWindow.of(window.arguments()) == window
    assert bounds(resolve({}, **cast("Any", window.arguments()))) == bounds(window)


def test_errors_pickle() -> None:
    """A window error survives the way from a worker's child process."""
    for error in (WindowError("a"), WindowNotClosedError("b")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_interval_is_as_long_as_it_is() -> None:
    """What pendulum measures between two moments is a length, also over months; a month by itself is none."""
    start, end = pendulum.datetime(2026, 3, 1), pendulum.datetime(2026, 5, 1)
    assert duration(end - start, "lookback") == timedelta(days=61)
    with pytest.raises(WindowError, match=says("months and years differ in length")):
        duration(pendulum.duration(months=2), "lookback")
