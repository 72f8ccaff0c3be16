"""
The window a task is about: ``[start, end)`` in UTC, from Airflow's run or from the user, never guessed.

In Airflow 3 a plain cron schedule gives an interval of zero length, a manual or asset-triggered run gives none, and a
partitioned one only a partition date. :func:`resolve` knows them all and fails, with the ways out, where a run says
nothing of a window.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self, get_args

import pendulum

from airflow_langsmith.clocks import DAY, Zone, ZoneClock, changes, plain
from airflow_langsmith.errors import WindowError, WindowNotClosedError
from airflow_langsmith.messages import suggest
from airflow_langsmith.schedules import Schedule

Align = Literal["hour", "day"]
MissingWindow = Literal["fail", "run_after"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LENGTH = re.compile(r"(\d+)\s*([smhdw])")
_LONGEST = timedelta(days=36_525)  # far from what would lead off the calendar
_YEARS = range(1900, 9000)
_NO_VALUE = ("", "None", "none", "null")  # what Jinja makes of a value that is not there


@dataclass(frozen=True)
class TimeWindow:
    """
    A stretch of time, ``start`` inside and ``end`` outside, both UTC.

    ``source`` says where it came from, and ``clock`` what it is measured by. They are no part of its identity.
    """

    start: datetime
    end: datetime
    source: str = field(default="given", compare=False)
    clock: ZoneClock = field(default=ZoneClock(pendulum.UTC), compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a window that is none."""
        for name, bound in (("start", self.start), ("end", self.end)):
            if bound.tzinfo is None:
                raise WindowError(f"The window's {name} has no time zone: {bound.isoformat()}. Write one, e.g. +00:00.")
        object.__setattr__(self, "start", plain(self.start))
        object.__setattr__(self, "end", plain(self.end))
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
    def of(cls, window: TimeWindow | Mapping[str, Any]) -> Self:
        """Read a window, the arguments of one as they come back through XCom, or the task's context."""
        if isinstance(window, Mapping) and not {"start_time", "end_time"} & window.keys():
            window = resolve(window)
        if isinstance(window, Mapping):
            return cls(_bound(window.get("start_time"), "start_time"), _bound(window.get("end_time"), "end_time"))
        return cls(window.start, window.end, window.source, window.clock)

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

    ``window`` counts by the clocks of the schedule: a day is 23 or 25 hours long when they change, and so the windows
    of two runs lie edge to edge. Where they would not, no run of the schedule has a window.

    :param context: Airflow's task context.
    :param window: How long, as a timedelta or like ``"1d"``, ``"6h"``, ``"30m"``.
    :param window_timezone: The zone of ``align``, and of ``window`` where the schedule has none.
    :raises WindowError: where there is no window, or none that can be meant; the DAG has to change.
    :raises WindowNotClosedError: where the window has not closed yet; a retry later will do.
    """
    length = None if window is None else duration(window, "window")
    waited = timedelta(0) if lag is None else duration(lag, "lag", may_be_zero=True)
    if align not in (None, "hour", "day"):
        raise WindowError(f"align is {align!r}. {suggest(align, get_args(Align))}")
    if missing_window not in ("fail", "run_after"):
        raise WindowError(f"missing_window is {missing_window!r}. {suggest(missing_window, get_args(MissingWindow))}")
    clock, schedule = ZoneClock(_zone(window_timezone)), Schedule.of(context.get("dag"))
    if start_time is not None or end_time is not None:
        found = TimeWindow(_bound(start_time, "start_time"), _bound(end_time, "end_time"), "start_time and end_time")
    else:
        if length is not None or schedule.own_length:
            _refuse_lost_hours(context, schedule, length, align)
        if align == "day":
            _refuse_changing_days(context, schedule, clock)
        found = _of_run(context, length, missing_window, schedule.clock or clock)
    if align:
        start, end, source = clock.floor(found.start, align), clock.floor(found.end, align), found.source
        if start == end:
            raise WindowError(f"Aligned to the {align}, the window from {source} is empty: it is shorter than that.")
        found = TimeWindow(start, end, f"{source}, aligned to the {align}")
    moment = now or datetime.now(UTC)
    if found.end + waited > moment:
        ago = f" {waited} ago" if waited else ""
        raise WindowNotClosedError(
            f"The window {found} has to have closed{ago} before it is read. It is {moment.isoformat()}, and runs are "
            "still coming in. Fix: set retries and retry_delay, or put a LangSmithSettledSensor before this task. It "
            f"waits for the end. The window is from {found.source}."
        )
    return replace(found, clock=schedule.clock or clock)


def split(
    window: TimeWindow | Mapping[str, Any], every: str | timedelta, window_timezone: str | None = None
) -> list[dict[str, str]]:
    """
    Cut a window into stretches of ``every``, the last one perhaps shorter, as arguments for ``expand_kwargs``.

    Whole days are days of ``window_timezone``, 23 or 25 hours long where its clocks change. Airflow maps over at most
    ``[core] max_map_length`` (1024) stretches.

    :param window: A window, its arguments, or the task's context.
    :param window_timezone: By default the zone of the schedule, as the context or :func:`resolve` knows it, else UTC.
    """
    whole, step = TimeWindow.of(window), duration(every, "every")
    zone = _clock(whole, window_timezone).zone
    clock = ZoneClock(pendulum.UTC if step % DAY else zone)  # hours are hours, whatever clocks do
    pieces: list[dict[str, str]] = []
    start = whole.start
    while start < whole.end:
        # Counted from the start: a midnight that does not exist, where clocks change at night, must not move the next.
        end = min(clock.moved(whole.start, (len(pieces) + 1) * step), whole.end)
        pieces.append(TimeWindow(start, end).arguments())
        start = end
    return pieces


def trailing(
    window: TimeWindow | Mapping[str, Any], days: int, window_timezone: str | None = None
) -> list[dict[str, str]]:
    """
    List the windows of the last ``days`` days up to this one, oldest first, as arguments for ``expand_kwargs``.

    They lie edge to edge with this one and are as long, in days of ``window_timezone`` where they are whole days of
    it. So each is the same partition as when it was new: exporting them again picks up what came late.

    :param window: A window, its arguments, or the task's context.
    :param window_timezone: By default the zone of the schedule, as the context or :func:`resolve` knows it, else UTC.
    """
    last = TimeWindow.of(window)
    clock = _clock(last, window_timezone)
    if days < 1:
        raise WindowError(f"trailing goes back a whole number of days, 1 or more, not {days}.")
    length = clock.wall(last.end) - clock.wall(last.start)
    if not clock.by_wall and (length % DAY or length <= timedelta(0)):
        length = last.length
    if length <= timedelta(0) or (DAY % length and length % DAY):
        raise WindowError(
            f"Windows of {length} do not fill days of {clock.zone}, so earlier ones cannot be told from this one. "
            "Use windows of whole days, or that divide a day."
        )
    return [
        TimeWindow(clock.moved(last.start, -back * length), clock.moved(last.end, -back * length)).arguments()
        for back in reversed(range(max(1, DAY * days // length)))
    ]


def duration(length: str | timedelta, name: str, *, may_be_zero: bool = False) -> timedelta:
    """
    Read a length of time, longer than nothing unless it ``may_be_zero``.

    >>> duration("6h", "window")
    datetime.timedelta(seconds=21600)

    :raises WindowError: for anything else.
    """
    if isinstance(length, str) and (spelled := _LENGTH.fullmatch(length.strip())):
        try:
            length = timedelta(**{_UNITS[spelled[2]]: int(spelled[1])})
        except OverflowError:
            length = timedelta.max
    if not isinstance(length, timedelta):
        raise WindowError(
            f"{name} is {length!r}; write a timedelta, or a number and a unit: '1w', '1d', '6h', '30m', '10s' (m is "
            "minutes)."
        )
    if isinstance(length, pendulum.Duration):
        if not isinstance(length, pendulum.Interval) and (length.years or length.months):
            raise WindowError(
                f"{name} is {length!r}; months and years differ in length. Write days, or use "
                "schedule=CronDataIntervalTimetable('@monthly', timezone='UTC'), whose data intervals are months."
            )
        length = length.as_timedelta()
    if length < timedelta(0) or (length == timedelta(0) and not may_be_zero):
        raise WindowError(f"{name} is {length}; it has to be longer than nothing.")
    if length > _LONGEST:
        raise WindowError(f"{name} is over a hundred years; it has to be shorter.")
    return length


def seconds(length: float | str | timedelta, name: str) -> float:
    """
    Read a length of time, longer than nothing, as seconds; a number is seconds.

    >>> seconds(0.5, "poke_interval"), seconds("5m", "poke_interval")
    (0.5, 300.0)

    :raises WindowError: for anything else.
    """
    if not isinstance(length, int | float):
        return duration(length, name).total_seconds()
    if not 0 < length <= _LONGEST.total_seconds():  # NaN is neither
        raise WindowError(f"{name} is {length}. Write a number of seconds above zero, a timedelta, or like '5m'.")
    return float(length)


def _clock(window: TimeWindow, window_timezone: str | None) -> ZoneClock:
    return window.clock if window_timezone is None else ZoneClock(_zone(window_timezone))


def _of_run(
    context: Mapping[str, Any], length: timedelta | None, missing_window: MissingWindow, clock: ZoneClock
) -> TimeWindow:
    """Find the window that Airflow's run speaks of."""
    partition_date = context.get("partition_date")
    if partition_date is not None and length is not None:
        start = _bound(partition_date, "the partition date")
        return TimeWindow(start, clock.moved(start, length), "the partition date")
    begin, end = context.get("data_interval_start"), context.get("data_interval_end")
    if begin is not None and end is not None:
        if begin < end:
            return TimeWindow(begin, end, "the data interval")
        if length is not None:
            source = "the end of a zero-length data interval, minus window"
            return TimeWindow(clock.moved(end, -length), end, source)
    run_after = getattr(context.get("dag_run"), "run_after", None)
    if missing_window == "run_after" and length is not None and run_after is not None:
        return TimeWindow(clock.moved(run_after, -length), run_after, "run_after, minus window")
    raise WindowError(_no_window(context, length, missing_window))


def _refuse_lost_hours(
    context: Mapping[str, Any], schedule: Schedule, length: timedelta | None, align: Align | None
) -> None:
    """Refuse every run of a schedule whose windows would not lie edge to edge when clocks change."""
    tick, clock = _tick(context), schedule.clock
    if clock is None or not clock.by_wall or tick is None:
        return
    by_days = length is not None and not length % DAY
    lost = also = ""
    if _has_interval(context):
        lost = "an hour" if schedule.own_length and changes(clock.zone, tick.year) else ""
    elif not (by_days and align == "day"):  # days are whole, whatever the time of day
        at = clock.lost_time(tick, length or DAY)
        lost = f"{at:%H:%M}" if at else ""
        also = f", or align='day' and window_timezone='{clock.zone}'" if by_days else ""
    if lost:
        raise WindowError(
            f"No safe window: clocks in {clock.zone} skip or repeat {lost} when they change. The windows of {schedule} "
            f"would leave out an hour, or read it twice. Fix: {schedule.with_intervals}{also}."
        )


def _refuse_changing_days(context: Mapping[str, Any], schedule: Schedule, days: ZoneClock) -> None:
    """Refuse every run of a schedule whose runs are on one day or the next of another clock, as clocks change."""
    tick, clock = _tick(context), schedule.clock
    if clock is None or not clock.by_wall or tick is None or not clock.changes_day(tick, days):
        return
    other = f"window_timezone='{clock.zone}', or " if str(clock.zone) != str(days.zone) else ""
    raise WindowError(
        f"No safe window: when clocks change, runs of {schedule} move over midnight in {days.zone}. Aligned to the "
        f"day, a window would be empty then, or two days long. Fix: {other}a time of day further from midnight."
    )


def _tick(context: Mapping[str, Any]) -> datetime | None:
    """Give the moment that a schedule made a run for."""
    if _run_type(context) not in ("scheduled", "backfill"):
        return None
    return context.get("partition_date") or context.get("data_interval_end")


def _has_interval(context: Mapping[str, Any]) -> bool:
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    return start is not None and end is not None and start < end


def _no_window(context: Mapping[str, Any], length: timedelta | None, missing_window: MissingWindow) -> str:
    """Say what the run lacks and what to do about it, the nearest remedy first."""
    run_type, schedule = _run_type(context), Schedule.of(context.get("dag"))
    needs = "" if length is not None else "window='1d'"
    if context.get("partition_date") is not None:
        lacks, fixes = f"partition date {context['partition_date']} and no length", [needs]
    elif context.get("data_interval_end") is not None:
        lacks, fixes = "a data interval of zero length", [schedule.with_intervals, needs]
    else:
        key = context.get("partition_key")
        lacks = "no data interval" if key is None else f"partition key {key!r}, which is no date"
        after = "" if missing_window == "run_after" else "missing_window='run_after'"
        fixes = [" and ".join(filter(None, (needs, after)))]
        if run_type == "manual" and key is None:
            dated = "give the run a logical date in the trigger form"
            fixes.insert(0, dated if schedule.gives_intervals or not needs else f"{dated}, and the task {needs}")
    fix = ", or ".join(filter(None, fixes)) or "give start_time and end_time"
    ti: Any = context.get("ti")
    where = f"Task {ti.task_id} of DAG {ti.dag_id}, run {ti.run_id}, t" if hasattr(ti, "dag_id") else "T"
    return f"No time window: this {run_type} run has {lacks}. Fix: {fix}. {where}imetable {schedule}."


def _run_type(context: Mapping[str, Any]) -> str:
    run_type = getattr(context.get("dag_run"), "run_type", "unknown")
    return str(getattr(run_type, "value", run_type))


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
        raise WindowError(f"{name} is {value.isoformat()}, without a time zone. Write one: {value.isoformat()}+00:00.")
    if value.year not in _YEARS:
        raise WindowError(f"{name} is {value.isoformat()}; no trace is from such a year. Write one nearer to now.")
    return value


def _zone(name: str) -> Zone:
    try:
        if isinstance(name, str):
            return pendulum.timezone(name)
    except (ValueError, OSError):  # a name is looked up as a file
        pass
    raise WindowError(f"window_timezone is {name!r}; write an IANA name like 'Europe/Berlin'.")
