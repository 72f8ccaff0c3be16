"""
The window a task is about: ``[start, end)`` in UTC, from Airflow's run or from the user, never guessed.

In Airflow 3 a plain cron schedule gives an interval of zero length, a manual or asset-triggered run gives none, and a
partitioned one only a partition date. :func:`resolve` knows them all and fails, with the ways out, where a run says
nothing of a window.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_langsmith.api.errors import ConfigurationError, LangSmithError
from airflow_langsmith.api.messages import one_of

Align = Literal["hour", "day"]
MissingWindow = Literal["fail", "run_after"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d+)\s*([smhdw])")
_DAY = timedelta(days=1)
_LONGEST = timedelta(days=36_525)  # far from what would lead off the calendar
_YEARS = range(1900, 9000)
_NO_VALUE = ("", "None", "none", "null")  # what Jinja makes of a value that is not there


class WindowError(ConfigurationError):
    """A window that is not there, or cannot be meant; the DAG has to change."""


class WindowNotClosedError(LangSmithError):
    """The window ends too late to be complete yet; a later try will find it closed."""

    retriable: ClassVar[bool] = True


@dataclass(frozen=True)
class TimeWindow:
    """
    A stretch of time, ``start`` inside and ``end`` outside, both UTC.

    ``source`` says where it came from and is no part of its identity.
    """

    start: datetime
    end: datetime
    source: str = field(default="given", compare=False)

    def __post_init__(self) -> None:
        """Refuse a window that is none."""
        for name, bound in (("start", self.start), ("end", self.end)):
            if bound.tzinfo is None:
                raise WindowError(f"The window's {name} has no time zone: {bound.isoformat()}. Write one, e.g. +00:00.")
        object.__setattr__(self, "start", _plain(self.start))
        object.__setattr__(self, "end", _plain(self.end))
        if self.start >= self.end:
            raise WindowError(f"The window is empty: its start {self.start} is not before its end {self.end}.")

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.start

    def arguments(self) -> dict[str, str]:
        """
        Write it as operator arguments, for ``expand_kwargs``.

        >>> TimeWindow(datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 2, tzinfo=UTC)).arguments()
        {'start_time': '2025-03-01T00:00:00+00:00', 'end_time': '2025-03-02T00:00:00+00:00'}
        """
        return {"start_time": self.start.isoformat(), "end_time": self.end.isoformat()}

    @classmethod
    def of(cls, window: TimeWindow | Mapping[str, str]) -> Self:
        """Read a window, or the arguments of one, as they come back through XCom."""
        if isinstance(window, Mapping):
            return cls(_bound(window.get("start_time"), "start_time"), _bound(window.get("end_time"), "end_time"))
        return cls(window.start, window.end, window.source)

    def __str__(self) -> str:
        """Print it half-open, as it is."""
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"


def resolve(
    context: Mapping[str, Any],
    *,
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    window: str | timedelta | None = None,
    align: Align | None = None,
    window_timezone: str = "UTC",
    lag: str | timedelta | None = None,
    missing_window: MissingWindow = "fail",
    now: datetime | None = None,
) -> TimeWindow:
    """
    Find the window of a task instance.

    In this order: ``start_time`` and ``end_time``; the run's partition date and ``window``; a data interval longer
    than zero; the end of a zero-length interval, minus ``window``; with ``missing_window="run_after"`` the run's
    ``run_after``, minus ``window``. Then both ends are floored to ``align`` in ``window_timezone``, and the window has
    to have closed at least ``lag`` ago.

    :param context: Airflow's task context.
    :param window: How long, as a timedelta or like ``"1d"``, ``"6h"``, ``"30m"``.
    :raises WindowError: where there is no window, or none that can be meant; the DAG has to change.
    :raises WindowNotClosedError: where the window has not closed yet; a retry later will do.
    """
    length = None if window is None else duration(window, "window")
    waited = timedelta(0) if lag is None else duration(lag, "lag", may_be_zero=True)
    if align not in (None, "hour", "day"):
        raise WindowError(f"align is {align!r}. {one_of(align, get_args(Align))}")
    if missing_window not in ("fail", "run_after"):
        raise WindowError(f"missing_window is {missing_window!r}. {one_of(missing_window, get_args(MissingWindow))}")
    zone = _zone(window_timezone)
    start, end, source = _found(context, start_time, end_time, length, missing_window, zone)
    if align:
        start, end, source = _floor(start, align, zone), _floor(end, align, zone), f"{source}, aligned to the {align}"
        if start == end:
            raise WindowError(f"Aligned to the {align}, the window from {source} is empty: it is shorter than that.")
    found = TimeWindow(start, end, source)
    moment = now or datetime.now(UTC)
    if found.end + waited > moment:
        ago = f" {waited} ago" if waited else ""
        raise WindowNotClosedError(
            f"The window {found} (from {source}) has to have closed{ago} and it is {moment.isoformat()}: runs are "
            "still coming in. A retry after that will do: set retries and retry_delay, or put a "
            "LangSmithSettledSensor before this task, which waits for it."
        )
    return found


def split(
    window: TimeWindow | Mapping[str, str], every: str | timedelta, window_timezone: str = "UTC"
) -> list[dict[str, str]]:
    """
    Cut a window into stretches of ``every``, the last one perhaps shorter, as arguments for ``expand_kwargs``.

    Whole days are days of ``window_timezone``, 23 or 25 hours long where its clocks change. Airflow maps over at most
    ``[core] max_map_length`` (1024) stretches.
    """
    whole = TimeWindow.of(window)
    step = duration(every, "every")
    zone = _zone("UTC" if step % _DAY else window_timezone)  # hours are hours, whatever clocks do
    pieces: list[dict[str, str]] = []
    start = whole.start
    while start < whole.end:
        # Counted from the start: a midnight that does not exist, where clocks change at night, must not move the next.
        end = min(_moved(whole.start, (len(pieces) + 1) * step, zone), whole.end)
        pieces.append(TimeWindow(start, end).arguments())
        start = end
    return pieces


def trailing(window: TimeWindow | Mapping[str, str], days: int, window_timezone: str = "UTC") -> list[dict[str, str]]:
    """
    List the windows of the last ``days`` days up to this one, oldest first, as arguments for ``expand_kwargs``.

    They lie edge to edge with this one and are as long, in days of ``window_timezone`` where they are whole days of
    it. So each is the same partition as when it was new: exporting them again picks up what came late.
    """
    last = TimeWindow.of(window)
    zone = _zone(window_timezone)
    if days < 1:
        raise WindowError(f"trailing goes back a whole number of days, 1 or more, not {days}.")
    start, end = (bound.astimezone(zone).replace(tzinfo=None) for bound in (last.start, last.end))
    length = last.length if (end - start) % _DAY or end <= start else end - start  # days by the wall clock
    if _DAY % length and length % _DAY:
        raise WindowError(
            f"Windows of {length} do not fill days of {window_timezone}, so earlier ones cannot be told from this one. "
            "Use windows of whole days, or that divide a day."
        )
    count = max(1, _DAY * days // length)
    zone = _zone("UTC" if length % _DAY else window_timezone)
    return [
        TimeWindow(_moved(last.start, -back * length, zone), _moved(last.end, -back * length, zone)).arguments()
        for back in reversed(range(count))
    ]


def duration(length: str | timedelta, name: str, *, may_be_zero: bool = False) -> timedelta:
    """
    Read a length of time, longer than nothing unless it ``may_be_zero``.

    >>> duration("6h", "window")
    datetime.timedelta(seconds=21600)

    :raises WindowError: for anything else.
    """
    if isinstance(length, str):
        spelled = _DURATION.fullmatch(length.strip().lower())
        if not spelled:
            raise WindowError(
                f"{name} is {length!r}; write a timedelta, or a number and a unit like '1d', '6h', '30m'."
            )
        try:
            length = timedelta(**{_UNITS[spelled[2]]: int(spelled[1])})
        except OverflowError:
            length = timedelta.max
    if not isinstance(length, timedelta):
        raise WindowError(f"{name} is {length!r}; write a timedelta, or a number and a unit like '1d', '6h', '30m'.")
    if length < timedelta(0) or (length == timedelta(0) and not may_be_zero):
        raise WindowError(f"{name} is {length}; it has to be longer than nothing.")
    if length > _LONGEST:
        raise WindowError(f"{name} is over a hundred years; it has to be shorter.")
    return length


def _found(
    context: Mapping[str, Any],
    start_time: str | datetime | None,
    end_time: str | datetime | None,
    length: timedelta | None,
    missing_window: MissingWindow,
    zone: ZoneInfo,
) -> tuple[datetime, datetime, str]:
    if start_time is not None or end_time is not None:
        return _bound(start_time, "start_time"), _bound(end_time, "end_time"), "start_time and end_time"
    dag_run = context.get("dag_run")
    partition_date = context.get("partition_date")
    if partition_date is not None and length is not None:
        return _bound(partition_date, "the partition date"), _moved(partition_date, length, zone), "the partition date"
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is not None and end is not None:
        if start < end:
            return _plain(start), _plain(end), "the data interval"
        if length is not None:
            return _moved(end, -length, zone), _plain(end), "the end of a zero-length data interval, minus window"
    if missing_window == "run_after" and length is not None:
        run_after = getattr(dag_run, "run_after", None)
        if run_after is not None:
            return _moved(run_after, -length, zone), _plain(run_after), "run_after, minus window"
    raise WindowError(_no_window(context, length, missing_window))


def _no_window(context: Mapping[str, Any], length: timedelta | None, missing_window: MissingWindow) -> str:
    """Say what the run lacks, whose doing that is, and the ways out."""
    dag_run = context.get("dag_run")
    run_type = str(getattr(getattr(dag_run, "run_type", None), "value", getattr(dag_run, "run_type", "unknown")))
    timetable = getattr(getattr(context.get("dag"), "timetable", None), "summary", None)
    timetable = f"{type(getattr(context.get('dag'), 'timetable', None)).__name__} {timetable or ''}".strip()
    if context.get("partition_date") is not None:
        lacks = f"partition date {context['partition_date']}, and no length to go with it"
    elif context.get("partition_key") is not None:
        lacks = f"partition key {context['partition_key']!r}, which is no date"
    elif context.get("data_interval_end") is not None:
        lacks = f"data interval of zero length, at {context['data_interval_end']}"
    else:
        lacks = "no data interval (no logical date)"
    ways = [
        (
            "schedule the DAG with schedule=CronDataIntervalTimetable('0 0 * * *', timezone='UTC') (a plain cron "
            "string or '@daily' gives intervals of zero length in Airflow 3)"
        ),
        "give the operator window='1d'" if length is None else "give start_time and end_time",
    ]
    if missing_window == "fail" and context.get("data_interval_end") is None:
        ways.append("for manual and asset-triggered runs, window='1d' with missing_window='run_after'")
    return (
        f"This {run_type} run (timetable {timetable}) says nothing of a time window: {lacks}. "
        f"To do: {'; or '.join(ways)}. Nothing was read."
    )


def _bound(value: str | datetime | None, name: str) -> datetime:
    """Read a bound, as a datetime or as the text templates make of one."""
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
        raise WindowError(f"{name} is {value.isoformat()}, without a time zone. Write one: 2025-03-01T00:00:00+00:00.")
    if value.year not in _YEARS:
        raise WindowError(f"{name} is {value.isoformat()}; no trace is from such a year. Write one nearer to now.")
    return value


def _moved(moment: datetime, by: timedelta, zone: ZoneInfo) -> datetime:
    """Move a moment: whole days by the wall clock of a time zone, anything else by the clock that never changes."""
    return _plain(moment) + by if by % _DAY else (_plain(moment).astimezone(zone) + by).astimezone(UTC)


def _plain(moment: datetime) -> datetime:
    """Make any datetime, pendulum's too, a plain one in UTC."""
    moment = moment.astimezone(UTC)
    return datetime.combine(moment.date(), moment.timetz().replace(tzinfo=UTC))


def _floor(moment: datetime, align: Align, zone: ZoneInfo) -> datetime:
    local = moment.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    return (local.replace(hour=0, fold=0) if align == "day" else local).astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise WindowError(f"window_timezone is {name!r}; write an IANA name like 'Europe/Berlin'.") from None
