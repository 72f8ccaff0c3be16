"""Instants as LangSmith writes and reads them: naive UTC in v1, RFC 3339 with a zone in v2."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

__all__ = ["EPOCH", "MICROSECOND", "micros", "naive", "parse", "stamp", "zoned"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_FORM = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<clock>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"(?P<zone>[Zz]|[+-]\d\d:\d\d)?"
)


def parse(text: str, *, zone_required: bool) -> datetime:
    """
    Read an ISO 8601 instant as an aware UTC datetime; without a zone it means UTC, where that is allowed.

    >>> parse("2026-03-01T00:00:00.25+01:00", zone_required=True).isoformat()
    '2026-02-28T23:00:00.250000+00:00'
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError(f"{text!r} is not an ISO 8601 date-time")
    zone = form["zone"]
    if zone is None and zone_required:
        raise ValueError(f"{text!r} has no time zone")
    moment = datetime.fromisoformat(f"{form['date']}T{form['clock']}+00:00")
    moment += timedelta(microseconds=int((form["fraction"] or "0").ljust(6, "0")[:6]))
    if zone is None or zone in "Zz":
        return moment
    sign = -1 if zone[0] == "-" else 1
    offset = sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    return (moment.replace(tzinfo=timezone(offset))).astimezone(UTC)


def micros(moment: datetime) -> int:
    """Count the microseconds since 1970, the unit in which runs are ordered."""
    return (moment - EPOCH) // MICROSECOND


def naive(moment: datetime) -> str:
    """
    Write an instant as v1 does: UTC, and not a word about it.

    >>> naive(parse("2024-04-29T00:49:12.09Z", zone_required=True))
    '2024-04-29T00:49:12.090000'
    """
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def zoned(moment: datetime) -> str:
    """
    Write an instant as v2 does: RFC 3339, ``Z``, and as few fraction digits as it takes.

    >>> zoned(parse("2024-04-29T00:49:12.090000", zone_required=False))
    '2024-04-29T00:49:12.09Z'
    """
    text = naive(moment)
    return (text.rstrip("0") if "." in text else text) + "Z"


def stamp(moment: datetime, identifier: str) -> str:
    """
    Write one segment of a ``dotted_order``.

    >>> stamp(parse("2024-04-29T00:49:12.09Z", zone_required=True), "b9...")
    '20240429T004912090000Zb9...'
    """
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S%f}Z{identifier}"
