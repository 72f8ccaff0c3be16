"""The timetable of a DAG, and whether DST leaves gaps between the windows of its DAG runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Self

import pendulum

from airflow_langsmith.errors import WindowError
from airflow_langsmith.windows.time_window import DAY, Calendar, Timezone


@dataclass(frozen=True)
class Schedule:
    """
    A timetable, as far as windows depend on it.

    ``"0 2 * * *"`` in Berlin is this::

        Schedule("CronTriggerTimetable", "0 2 * * *", Calendar(Timezone("Europe/Berlin"), local_hours=True))

    ``calendar`` is None if its DAG runs do not depend on time. It has local hours if they start at times of day, so
    that there is an hour more or less between two of them when DST ends or begins. DAG runs of every hour, and of a
    timedelta, start as time elapses. ``has_fixed_interval`` says that all data intervals have one length, also when
    DST begins or ends.
    """

    name: str = "unknown"
    cron: str | None = None
    calendar: Calendar | None = None
    has_fixed_interval: bool = False

    @classmethod
    def of(cls, dag: Any) -> Self:
        """Read the timetable of a DAG, in the task's process."""
        timetable = getattr(dag, "timetable", None)
        timetable = getattr(timetable, "timetable", timetable)  # of an AssetOrTimeSchedule
        if timetable is None:
            return cls()
        options = _options(timetable)
        expressions = options.get("expressions") or [options.get("expression")]
        crons = [cron for cron in expressions if isinstance(cron, str)]
        calendar = Calendar() if options.get("delta") else None
        if crons and (timezone := _timezone(options.get("timezone"))):
            # Airflow draws the same line. It writes "@hourly" out, except 3.2 in a task.
            is_hourly = all(cron == "@hourly" or cron.split()[1:2] == ["*"] for cron in crons)
            calendar = Calendar(timezone, local_hours=not is_hourly or _shifts_by_half_an_hour(timezone))
        cron = crons[0] if len(crons) == 1 else None
        return cls(type(timetable).__name__, cron, calendar, bool(options.get("interval")))

    @property
    def has_data_intervals(self) -> bool:
        """Whether its scheduled DAG runs have adjacent data intervals."""
        return "DataInterval" in self.name

    @property
    def data_interval_argument(self) -> str:
        """The argument that gives a DAG data intervals, at the times of this schedule."""
        timezone = self.calendar.timezone if self.calendar else "UTC"
        return f"schedule=CronDataIntervalTimetable({self.cron or '@daily'!r}, timezone='{timezone}')"

    def check_dst(
        self, scheduled_at: datetime, length: timedelta | None, *, has_interval: bool, days: Calendar | None
    ) -> None:
        """
        Refuse each DAG run of the schedule if its windows are not adjacent when DST begins or ends.

        :param length: The length of a window, unless the run ``has_interval``.
        :param days: The calendar of the days that windows are aligned to.
        """
        if self.calendar is None or not self.calendar.local_hours:
            return
        timezone, local = self.calendar.timezone, self.calendar.local(scheduled_at)
        dst_days = _dst_days(timezone, local.year)
        is_days = length is not None and not length % DAY
        lost = also = ""
        if has_interval:
            lost = "an hour" if self.has_fixed_interval and dst_days else ""
        elif length is not None and not (is_days and days):  # local days have no gaps, whatever the time of day
            times = [(local - n * length).time() for n in range(max(1, DAY // length))]
            local_times = [datetime.combine(day, at) for at in times for day in dst_days]
            lost = next((f"{at:%H:%M}" for at in local_times if _is_lost(at, timezone)), "")
            also = f", or align='day' and window_timezone='{timezone}'" if is_days else ""
        if lost:
            raise WindowError(
                f"No safe window: DST in {timezone} skips or repeats {lost}. The windows of {self} would leave out an "
                f"hour, or read it twice. Fix: {self.data_interval_argument}{also}."
            )
        if days and _crosses_midnight(self.calendar, local, days):
            other = f"window_timezone='{timezone}', or " if timezone != days.timezone else ""
            raise WindowError(
                f"No safe window: DST moves runs of {self} over midnight in {days.timezone}. Aligned to the day, a "
                f"window would be empty then, or two days long. Fix: {other}a time of day further from midnight."
            )

    def __str__(self) -> str:
        return f"{self.name} {self.cron}" if self.cron else self.name


def _options(timetable: Any) -> Mapping[str, Any]:
    """Return the arguments of a timetable: Airflow's core serializes them, and its SDK has attributes."""
    if callable(serialize := getattr(timetable, "serialize", None)):
        options: Mapping[str, Any] = serialize()
        return options
    parts = getattr(timetable, "timetables", [timetable])  # of several crons, which share all else
    options = {name: getattr(parts[0], name, None) for name in ("timezone", "interval", "delta")}
    return {**options, "expressions": [getattr(part, "expression", None) for part in parts]}


def _timezone(timezone: Any) -> Timezone | None:
    """Read a time zone: itself, its name, or its offset in seconds."""
    if isinstance(timezone, str | int):
        named: Timezone = pendulum.timezone(timezone)
        return named
    return timezone if isinstance(timezone, Timezone) else None


def _dst_days(timezone: Timezone, year: int) -> list[date]:
    """
    Return the days of a year on which DST begins or ends, each with its neighbour.

    >>> [f"{day:%d %B}" for day in _dst_days(pendulum.timezone("Europe/Berlin"), 2026)]
    ['28 March', '29 March', '24 October', '25 October']
    """
    noons = [datetime(year, 1, 1, 12, tzinfo=timezone) + n * DAY for n in range(367)]
    changes = [(before, after) for before, after in pairwise(noons) if before.utcoffset() != after.utcoffset()]
    return [noon.date() for change in changes for noon in change]


def _shifts_by_half_an_hour(timezone: Timezone) -> bool:
    """Return whether DST does, as on Lord Howe Island."""
    now = datetime.now(timezone)  # once, because a minute may begin between two calls
    return len({(now + n * timedelta(weeks=1)).astimezone(UTC).minute for n in range(53)}) > 1


def _is_lost(local: datetime, timezone: Timezone) -> bool:
    """Return whether DST skips or repeats a local time."""
    return timezone.utcoffset(local.replace(fold=0)) != timezone.utcoffset(local.replace(fold=1))


def _crosses_midnight(calendar: Calendar, local: datetime, days: Calendar) -> bool:
    """Return whether DST moves a time of day from one day of another calendar to the next."""
    dst_days = [*_dst_days(calendar.timezone, local.year), *_dst_days(days.timezone, local.year)]
    times = [datetime.combine(day, local.time()) for day in dst_days]
    return len({days.local(calendar.moment(time)).date() - time.date() for time in times}) > 1
