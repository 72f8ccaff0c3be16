"""Windows of time ``[start, end)`` in UTC: the window of a task, and lists of windows to map over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from itertools import count, pairwise, takewhile
from typing import Any

from airflow_langsmith.errors import WindowError
from airflow_langsmith.windows.context import resolve
from airflow_langsmith.windows.time_window import DAY, Calendar, TimeWindow, duration, read_timezone

__all__ = ["TimeWindow", "resolve", "split", "trailing"]


def split(
    window: TimeWindow | Mapping[str, Any], every: str | timedelta, window_timezone: str | None = None
) -> list[dict[str, str]]:
    """
    Return the windows of length ``every`` that a window consists of, as arguments for ``expand_kwargs``.

    The last one may be shorter. Whole days are days of ``window_timezone``, with 23 or 25 hours if DST begins or ends.
    Airflow maps over at most ``[core] max_map_length`` (1024) of them.

    :param window: A window, its arguments, or the task's context.
    :param window_timezone: By default that of the schedule, if the context or :func:`resolve` knows it, or UTC.
    """
    whole, step = _window(window), duration(every, "every")
    days = _calendar(whole, window_timezone)
    calendar = Calendar() if step % DAY else days
    # Each is counted from the start, because a midnight that DST skips must not shift the next.
    starts = takewhile(lambda start: start < whole.end, (calendar.add(whole.start, n * step) for n in count(1)))
    return [TimeWindow(start, end).arguments() for start, end in pairwise([whole.start, *starts, whole.end])]


def trailing(
    window: TimeWindow | Mapping[str, Any], days: int, window_timezone: str | None = None
) -> list[dict[str, str]]:
    """
    Return the windows of the last ``days`` days up to this one, oldest first, as arguments for ``expand_kwargs``.

    They are adjacent and as long as this one, in local days if it is whole local days. So each is the same partition
    as when it was new, and exporting it again adds late data.

    :param window: A window, its arguments, or the task's context.
    :param window_timezone: By default that of the schedule, if the context or :func:`resolve` knows it, or UTC.
    """
    last = _window(window)
    calendar = _calendar(last, window_timezone)
    if days < 1:
        raise WindowError(f"days is {days}; it has to be 1 or more.")
    length = calendar.local(last.end) - calendar.local(last.start)
    if length <= timedelta(0) or (length % DAY and not calendar.local_hours):
        length = last.length
    if DAY % length and length % DAY:
        raise WindowError(
            f"Windows of {length} do not fill days of {calendar.timezone}, so there is no list of earlier ones. Use "
            "windows of whole days, or windows that divide a day."
        )
    return [
        TimeWindow(calendar.add(last.start, -n * length), calendar.add(last.end, -n * length)).arguments()
        for n in reversed(range(max(1, DAY * days // length)))
    ]


def _window(window: TimeWindow | Mapping[str, Any]) -> TimeWindow:
    if isinstance(window, TimeWindow) or {"start_time", "end_time"} & window.keys():
        return TimeWindow.of(window)
    return resolve(window)


def _calendar(window: TimeWindow, window_timezone: str | None) -> Calendar:
    return window.calendar if window_timezone is None else Calendar(read_timezone(window_timezone))
