"""Clocks on the wall: where a moment is on them, moving it by them, and the days on which they change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal

import pendulum

Zone = pendulum.Timezone | pendulum.FixedTimezone
DAY = timedelta(days=1)


def plain(moment: datetime) -> datetime:
    """Make any datetime, pendulum's too, a plain one in UTC."""
    moment = moment.astimezone(UTC)
    return datetime.combine(moment.date(), moment.timetz().replace(tzinfo=UTC))


@dataclass(frozen=True)
class ZoneClock:
    """
    The clock of a zone.

    It counts days by the wall: one is 23 or 25 hours long when clocks change. It counts hours so only if it goes
    ``by_wall``, else as time passes.
    """

    zone: Zone
    by_wall: bool = False

    def wall(self, moment: datetime) -> datetime:
        """Read a moment from the wall, as a datetime without a zone."""
        return plain(moment).astimezone(self.zone).replace(tzinfo=None)

    def moment(self, wall: datetime) -> datetime:
        """
        Find the moment of a time on the wall, as Airflow's schedules do.

        Of a time that occurs twice the second is meant. One that does not exist comes as much later as clocks skip.
        """
        return plain(pendulum.instance(wall.replace(fold=1), tz=self.zone))

    def moved(self, moment: datetime, by: timedelta) -> datetime:
        """Move a moment, by days or by hours."""
        if by % DAY and not self.by_wall:
            return plain(moment) + by
        return self.moment(self.wall(moment) + by)

    def floor(self, moment: datetime, unit: Literal["hour", "day"]) -> datetime:
        """Find the start of the hour or the day that a moment is in."""
        if unit == "day":
            return self.moment(datetime.combine(self.wall(moment).date(), time.min))
        return plain(pendulum.instance(moment).in_timezone(self.zone).start_of("hour"))

    def lost_time(self, moment: datetime, every: timedelta) -> time | None:
        """Find a time of day that clocks skip or repeat in that year: that of a moment, or ``every`` so long before."""
        wall = self.wall(moment)
        times = [(wall - back * every).time() for back in range(max(1, DAY // every))]
        days = changes(self.zone, wall.year)
        return next((at for at in times for day in days if self._is_lost(datetime.combine(day, at))), None)

    def changes_day(self, moment: datetime, other: ZoneClock) -> bool:
        """Tell whether a moment's time of day is, on another clock, on one day or the next as clocks change."""
        wall = self.wall(moment)
        at = [
            datetime.combine(day, wall.time()) for zone in (self.zone, other.zone) for day in changes(zone, wall.year)
        ]
        return len({other.wall(self.moment(one)).date() - one.date() for one in at}) > 1

    def _is_lost(self, wall: datetime) -> bool:
        first, second = (wall.replace(tzinfo=self.zone, fold=fold).utcoffset() for fold in (0, 1))
        return first != second


def changes(zone: Zone, year: int) -> dict[date, timedelta]:
    """
    Find the days of a year on which the clocks of a zone change, each with its neighbour, and by how much.

    >>> changes(pendulum.timezone("Europe/Berlin"), 2026)[date(2026, 3, 29)]
    datetime.timedelta(seconds=3600)
    """
    found: dict[date, timedelta] = {}
    days = [datetime(year, 1, 1, tzinfo=zone) + number * DAY for number in range(367)]
    for before, after in pairwise(days):
        if by := (after.utcoffset() or timedelta(0)) - (before.utcoffset() or timedelta(0)):
            found |= {before.date(): by, after.date(): by}
    return found
