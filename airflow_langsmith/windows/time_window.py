"""A window of time, and how its bounds, its length and its time zone are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

import pendulum

from airflow_langsmith.errors import WindowError

Timezone = pendulum.Timezone | pendulum.FixedTimezone

DAY = timedelta(days=1)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LENGTH = re.compile(r"(\d+)\s*([smhdw])")
_MAX_LENGTH = timedelta(days=36_525)  # no window before year 1
_YEARS = range(1900, 9000)
_NO_VALUE = ("", "None", "none", "null")  # a template makes one of a missing value


@dataclass(frozen=True)
class Calendar:
    """
    A time zone, and how lengths are added in it.

    Days are local: if DST begins or ends, a day has 23 or 25 hours. Hours are elapsed time, unless ``local_hours``:
    then the six hours from 00:00 to 06:00 take five or seven in such a night.
    """

    timezone: Timezone = field(default_factory=lambda: pendulum.UTC)  # in pendulum 3.2.0 it has no hash
    local_hours: bool = False

    def local(self, moment: datetime) -> datetime:
        """Return the local time of a moment, without a time zone."""
        return to_utc(moment).astimezone(self.timezone).replace(tzinfo=None)

    def moment(self, local: datetime) -> datetime:
        """
        Return the moment of a local time, as Airflow's timetables do.

        If DST repeats it, that is the second one. If DST skips it, it is later by the length of the gap.
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

    ``source`` says where it comes from, ``calendar`` how its length counts. They are no part of its identity.
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
        """Return a window from itself, or from its :meth:`arguments`."""
        if isinstance(window, TimeWindow):
            return window
        bounds: Any = window
        return TimeWindow(bounds.get("start_time"), bounds.get("end_time"))

    def __str__(self) -> str:
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"


def duration(length: str | timedelta, name: str, *, may_be_zero: bool = False) -> timedelta:
    """
    Return a length of time, longer than zero unless it ``may_be_zero``.

    >>> duration("6h", "window")
    datetime.timedelta(seconds=21600)

    :raises WindowError: if it cannot be read.
    """
    if isinstance(length, str) and (match := _LENGTH.fullmatch(length.strip())):
        length = timedelta(**{_UNITS[match[2]]: min(int(match[1]), 10**8)})  # more does not fit a timedelta
    if not isinstance(length, timedelta):
        raise WindowError(
            f"{name} is {length!r}; write a timedelta, or a number and a unit: '1w', '1d', '6h', '30m', '10s' (m is "
            "minutes)."
        )
    if isinstance(length, pendulum.Duration):
        if (length.years or length.months) and not isinstance(length, pendulum.Interval):  # those are exact
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
    """Return a bound in UTC, from a datetime or from its text."""
    if value is None or (isinstance(value, str) and value.strip() in _NO_VALUE):
        raise WindowError(
            f"{name} is {value!r}: start_time and end_time come both or not at all. If it is a template, this DAG run "
            "has no such value (manual and asset-triggered runs have no data interval)."
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
        raise WindowError(f"{name} is {value.isoformat()}; no trace is from such a year. Write a year near to now.")
    return to_utc(value)


def read_timezone(name: str) -> Timezone:
    """Return the time zone of an IANA name."""
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
