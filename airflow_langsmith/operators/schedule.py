"""What a DAG's timetable says of its DAG runs, and whether DST would leave gaps between their windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Self

import pendulum

from airflow_langsmith.errors import WindowError
from airflow_langsmith.windows import DAY, Calendar, Timezone

# Airflow's names for crons. Its own timetables have them written out, except those of 3.2 in a task.
_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}


@dataclass(frozen=True)
class Schedule:
    """
    A timetable, as far as windows depend on it.

    ``"0 2 * * *"`` in Berlin is this::

        Schedule("CronTriggerTimetable", "0 2 * * *", Calendar(Timezone("Europe/Berlin"), local_hours=True))

    ``calendar`` is None if its DAG runs do not come by time. It has local hours if they come at times of day, so that
    there is an hour more or less between two of them when DST ends or begins. DAG runs of every hour, and of a
    timedelta, come as time elapses. ``has_fixed_interval`` says that all data intervals have one length, whatever DST
    does.
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
        crons = [_PRESETS.get(cron, cron) for cron in expressions if isinstance(cron, str)]
        calendar = Calendar() if options.get("delta") else None
        if crons and (timezone := _timezone(options.get("timezone"))):
            is_hourly = all(cron.split()[1:2] == ["*"] for cron in crons)  # Airflow draws the same line
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

    def refuse_gaps(
        self, scheduled_at: datetime, length: timedelta | None, *, has_interval: bool, is_aligned_to_days: bool
    ) -> None:
        """
        Refuse any DAG run of the schedule if its windows are not adjacent when DST begins or ends.

        The windows are its data intervals if it ``has_interval``, or else as long as ``length``.
        """
        if self.calendar is None or not self.calendar.local_hours:
            return
        timezone, by_days = self.calendar.timezone, length is not None and not length % DAY
        lost = also = ""
        if has_interval:
            lost = "an hour" if self.has_fixed_interval and _dst_days(timezone, scheduled_at.year) else ""
        elif length is not None and not (by_days and is_aligned_to_days):  # local days have no gaps at any time of day
            at = _lost_time(self.calendar, scheduled_at, length)
            lost = f"{at:%H:%M}" if at else ""
            also = f", or align='day' and window_timezone='{timezone}'" if by_days else ""
        if lost:
            raise WindowError(
                f"No safe window: DST in {timezone} skips or repeats {lost}. The windows of {self} would leave out an "
                f"hour, or read it twice. Fix: {self.data_interval_argument}{also}."
            )

    def refuse_other_days(self, scheduled_at: datetime, days: Calendar) -> None:
        """Refuse any DAG run of the schedule if DST moves its time of day over a midnight of ``days``."""
        calendar = self.calendar
        if calendar is None or not calendar.local_hours:
            return
        at = calendar.local(scheduled_at)
        dst_days = [*_dst_days(calendar.timezone, at.year), *_dst_days(days.timezone, at.year)]
        local_times = [datetime.combine(day, at.time()) for day in dst_days]
        if len({days.local(calendar.moment(local)).date() - local.date() for local in local_times}) > 1:
            other = f"window_timezone='{calendar.timezone}', or " if calendar.timezone != days.timezone else ""
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
    if isinstance(timezone, Timezone):
        return timezone
    try:
        named: Timezone = pendulum.timezone(timezone)
    except (ValueError, AttributeError, TypeError):  # of a user's own timetable
        return None
    return named


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
    weeks = [datetime.now(timezone) + n * timedelta(weeks=1) for n in range(53)]
    return len({week.astimezone(UTC).minute for week in weeks}) > 1


def _lost_time(calendar: Calendar, scheduled_at: datetime, length: timedelta) -> time | None:
    """Return a time of day at which a window starts or ends, and which DST skips or repeats in that year."""
    local = calendar.local(scheduled_at)
    times = [(local - n * length).time() for n in range(max(1, DAY // length))]
    days = _dst_days(calendar.timezone, local.year)
    return next((at for at in times for day in days if _is_lost(datetime.combine(day, at), calendar.timezone)), None)


def _is_lost(local: datetime, timezone: Timezone) -> bool:
    return timezone.utcoffset(local.replace(fold=0)) != timezone.utcoffset(local.replace(fold=1))
