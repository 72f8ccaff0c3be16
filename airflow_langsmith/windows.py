"""
Windows of time, lists of them, and how their bounds and lengths are read.

Which window a task has, :mod:`airflow_langsmith.operators.window` reads from Airflow's run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import count, pairwise, takewhile
from typing import Any, Literal

import pendulum

from airflow_langsmith.errors import WindowError

__all__ = ["TimeWindow", "resolve", "split", "trailing"]

Timezone = pendulum.Timezone | pendulum.FixedTimezone

DAY = timedelta(days=1)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LENGTH = re.compile(r"(\d+)\s*([smhdw])")
_MAX_LENGTH = timedelta(days=36_525)  # no window before year 1
_YEARS = range(1900, 9000)
_NO_VALUE = ("", "None", "none", "null")  # what Jinja makes of a value that is not there


@dataclass(frozen=True)
class Calendar:
    """
    A time zone, and how lengths are added in it.

    Days are local: one in which DST begins or ends has 23 or 25 hours. Hours are elapsed time, unless ``local_hours``:
    then six hours from 00:00 to 06:00 are five or seven in such a night.
    """

    timezone: Timezone = pendulum.UTC
    local_hours: bool = False

    def local(self, moment: datetime) -> datetime:
        """Return the local time of a moment, without a time zone."""
        return to_utc(moment).astimezone(self.timezone).replace(tzinfo=None)

    def moment(self, local: datetime) -> datetime:
        """
        Return the moment of a local time, as Airflow's timetables do.

        If DST repeats it, that is the second one. If DST skips it, it comes as much later.
        """
        return to_utc(self.timezone.convert(local.replace(fold=1)))

    def add(self, moment: datetime, length: timedelta) -> datetime:
        """Return the moment that is ``length`` later."""
        if length % DAY and not self.local_hours:
            return to_utc(moment) + length
        return self.moment(self.local(moment) + length)

    def start_of(self, unit: Literal["hour", "day"], moment: datetime) -> datetime:
        """Return the start of the local hour or day."""
        if unit == "day":  # not by pendulum: if DST skips midnight, it returns the hour before
            return self.moment(datetime.combine(self.local(moment), time.min))
        return to_utc(pendulum.instance(moment).in_timezone(self.timezone).start_of(unit))


@dataclass(frozen=True)
class TimeWindow:
    """
    A window ``[start, end)`` in UTC: a run that starts at ``start`` is in it, one that starts at ``end`` is not.

    ``source`` and ``calendar`` say where it came from and how its length was counted. They are no part of its identity.
    """

    start: datetime
    end: datetime
    source: str = field(default="start_time and end_time", compare=False)
    calendar: Calendar = field(default=Calendar(), compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", _read_bound(self.start, "start_time"))
        object.__setattr__(self, "end", _read_bound(self.end, "end_time"))
        if self.start >= self.end:
            raise WindowError(f"The window is empty: its start {self.start} is not before its end {self.end}.")

    @property
    def length(self) -> timedelta:
        """The elapsed time from start to end."""
        return self.end - self.start

    def arguments(self) -> dict[str, str]:
        """
        Return it as arguments of an operator, for ``expand_kwargs``.

        >>> TimeWindow(datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 2, tzinfo=UTC)).arguments()
        {'start_time': '2025-03-01T00:00:00+00:00', 'end_time': '2025-03-02T00:00:00+00:00'}
        """
        return {"start_time": self.start.isoformat(), "end_time": self.end.isoformat()}

    @staticmethod
    def of(window: TimeWindow | Mapping[str, Any]) -> TimeWindow:
        """Return a window from itself, from its :meth:`arguments`, or from a task's context."""
        if isinstance(window, TimeWindow):
            return window
        if {"start_time", "end_time"} & window.keys():
            bounds: Any = window
            return TimeWindow(bounds.get("start_time"), bounds.get("end_time"))
        return resolve(window)

    def __str__(self) -> str:
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"


def resolve(context: Mapping[str, Any], **arguments: Any) -> TimeWindow:
    """Return the window of a task. The arguments are those of operators: ``window="1d"``, ``align="day"``."""
    from airflow_langsmith.operators.window import resolve as resolve_window  # noqa: PLC0415  # needs Airflow

    return resolve_window(context, **arguments)


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
    whole, step = TimeWindow.of(window), duration(every, "every")
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
    as when it was new, and exporting it again picks up what came late.

    :param window: A window, its arguments, or the task's context.
    :param window_timezone: By default that of the schedule, if the context or :func:`resolve` knows it, or UTC.
    """
    last = TimeWindow.of(window)
    calendar = _calendar(last, window_timezone)
    if days < 1:
        raise WindowError(f"trailing goes back a whole number of days, 1 or more, not {days}.")
    length = calendar.local(last.end) - calendar.local(last.start)
    if length <= timedelta(0) or (length % DAY and not calendar.local_hours):
        length = last.length
    if DAY % length and length % DAY:
        raise WindowError(
            f"Windows of {length} do not fill days of {calendar.timezone}, so earlier ones cannot be told from this "
            "one. Use windows of whole days, or that divide a day."
        )
    return [
        TimeWindow(calendar.add(last.start, -n * length), calendar.add(last.end, -n * length)).arguments()
        for n in reversed(range(max(1, DAY * days // length)))
    ]


def _calendar(window: TimeWindow, window_timezone: str | None) -> Calendar:
    return window.calendar if window_timezone is None else Calendar(read_timezone(window_timezone))


def duration(length: str | timedelta, name: str, *, may_be_zero: bool = False) -> timedelta:
    """
    Return a length of time, longer than zero unless it ``may_be_zero``.

    >>> duration("6h", "window")
    datetime.timedelta(seconds=21600)

    :raises WindowError: if it cannot be read.
    """
    if isinstance(length, str) and (match := _LENGTH.fullmatch(length.strip())):
        try:
            length = timedelta(**{_UNITS[match[2]]: int(match[1])})
        except OverflowError:
            length = timedelta.max
    if not isinstance(length, timedelta):
        raise WindowError(
            f"{name} is {length!r}; write a timedelta, or a number and a unit: '1w', '1d', '6h', '30m', '10s' (m is "
            "minutes)."
        )
    if isinstance(length, pendulum.Duration):
        if not isinstance(length, pendulum.Interval) and (
            length.years or length.months
        ):  # those of an interval are exact
            raise WindowError(
                f"{name} is {length!r}; months and years differ in length. Write days, or use "
                "schedule=CronDataIntervalTimetable('@monthly', timezone='UTC'), whose data intervals are months."
            )
        length = length.as_timedelta()
    if length < timedelta(0) or (length == timedelta(0) and not may_be_zero):
        raise WindowError(f"{name} is {length}; it has to be longer than zero.")
    if length > _MAX_LENGTH:
        raise WindowError(f"{name} is over a hundred years; it has to be shorter.")
    return length


def seconds(length: float | str | timedelta, name: str) -> float:
    """
    Return a length of time, longer than zero, as seconds; a number is seconds.

    >>> seconds(0.5, "poke_interval"), seconds("5m", "poke_interval")
    (0.5, 300.0)

    :raises WindowError: if it cannot be read.
    """
    if not isinstance(length, int | float):
        return duration(length, name).total_seconds()
    if not 0 < length <= _MAX_LENGTH.total_seconds():  # NaN is neither
        raise WindowError(f"{name} is {length}. Write a number of seconds above zero, a timedelta, or like '5m'.")
    return float(length)


def _read_bound(value: str | datetime | None, name: str) -> datetime:
    """Return a bound in UTC, from a datetime or from the text that a template makes of one."""
    if value is None or (isinstance(value, str) and value.strip() in _NO_VALUE):
        raise WindowError(
            f"{name} is {value!r}: start_time and end_time come both or not at all. If a template gave nothing, this "
            "run has no such value (manual and asset-triggered runs have no data interval)."
        )
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise WindowError(f"{name} is {value!r}; write it as 2025-03-01T00:00:00+00:00.") from None
    if not isinstance(value, datetime):
        raise WindowError(f"{name} is {value!r}; write a datetime, or a text like 2025-03-01T00:00:00+00:00.")
    if value.tzinfo is None:
        raise WindowError(f"{name} is {value.isoformat()} and has no time zone. Write one: {value.isoformat()}+00:00.")
    if value.year not in _YEARS:
        raise WindowError(f"{name} is {value.isoformat()}; no trace is from such a year. Write one nearer to now.")
    return to_utc(value)


def read_timezone(name: str) -> Timezone:
    """Return the time zone of an argument ``window_timezone``."""
    try:
        if isinstance(name, str):
            return pendulum.timezone(name)
    except (ValueError, OSError):  # a name is looked up as a file
        pass
    raise WindowError(f"window_timezone is {name!r}; write an IANA name like 'Europe/Berlin'.")


def to_utc(moment: datetime) -> datetime:
    """Return a moment in UTC, as a datetime of the standard library also if it is pendulum's."""
    moment = moment.astimezone(UTC)
    return datetime.combine(moment.date(), moment.time(), UTC)
