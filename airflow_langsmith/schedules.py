"""What a DAG's timetable says of the clock that its runs go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pendulum

from airflow_langsmith.clocks import Zone, ZoneClock, changes

# Airflow's names for crons. Its own timetables have them written out, but for those of 3.2 in a task.
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
    A timetable, as far as windows go by it.

    Of ``"0 2 * * *"`` in Berlin::

        Schedule(
            name="CronTriggerTimetable",
            cron="0 2 * * *",
            clock=ZoneClock(Timezone("Europe/Berlin"), by_wall=True),
        )

    ``clock`` is the clock that its runs go by, None if it has none. It goes by the wall if runs come at times of day,
    so that an hour more or less is between two of them when clocks change. Runs of every hour, and of a timedelta, come
    as time passes. ``own_length`` says that all its data intervals have one length, whatever clocks do.
    """

    name: str = "unknown"
    cron: str | None = None
    clock: ZoneClock | None = None
    own_length: bool = False

    @classmethod
    def of(cls, dag: Any) -> Self:
        """Read the timetable of a DAG, in the task's process."""
        timetable = getattr(dag, "timetable", None)
        timetable = getattr(timetable, "timetable", timetable)  # of an AssetOrTimeSchedule
        if timetable is None:
            return cls()
        said = _said(timetable)
        written = said.get("expressions") or [said.get("expression")]
        crons = [_PRESETS.get(cron, cron) for cron in written if isinstance(cron, str)]
        clock = ZoneClock(pendulum.UTC) if said.get("delta") else None
        if crons and (zone := _zone(said.get("timezone"))):
            every_hour = all(cron.split()[1:2] == ["*"] for cron in crons)  # Airflow draws the same line
            halves = any(by % timedelta(hours=1) for by in changes(zone, datetime.now(UTC).year).values())  # Lord Howe
            clock = ZoneClock(zone, by_wall=not every_hour or halves)
        return cls(type(timetable).__name__, crons[0] if len(crons) == 1 else None, clock, bool(said.get("interval")))

    @property
    def gives_intervals(self) -> bool:
        """Whether its scheduled runs have intervals that lie edge to edge."""
        return "DataInterval" in self.name

    @property
    def with_intervals(self) -> str:
        """The argument that gives a DAG intervals, at the times of this schedule."""
        zone = self.clock.zone if self.clock else "UTC"
        return f"schedule=CronDataIntervalTimetable({self.cron or '@daily'!r}, timezone='{zone}')"

    def __str__(self) -> str:
        """Print it for an error."""
        return f"{self.name} {self.cron}" if self.cron else self.name


def _said(timetable: Any) -> Mapping[str, Any]:
    """Read what a timetable is made of: Airflow's core writes it down, and its SDK has attributes."""
    if callable(write := getattr(timetable, "serialize", None)):
        said: Mapping[str, Any] = write()
        return said
    parts = getattr(timetable, "timetables", [timetable])  # of several crons, that share all else
    said = {name: getattr(parts[0], name, None) for name in ("timezone", "interval", "delta")}
    return {**said, "expressions": [getattr(part, "expression", None) for part in parts]}


def _zone(said: Any) -> Zone | None:
    """Read a zone: itself, its name, or its offset in seconds."""
    if isinstance(said, Zone):
        return said
    try:
        found: Zone = pendulum.timezone(said)
    except (ValueError, AttributeError, TypeError):
        return None
    return found
