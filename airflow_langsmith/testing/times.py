"""Times as LangSmith writes and reads them: v1 in UTC without a zone, v2 in RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

__all__ = ["dotted_order_segment", "parse_time", "to_micros", "v1_time", "v2_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?(?P<zone>[Zz]|[+-]\d\d:\d\d)?")


def parse_time(text: str, *, zone_required: bool) -> datetime:
    """
    Read an ISO 8601 time as an aware UTC datetime. A time without a zone is in UTC, if that is allowed.

    >>> parse_time("2026-03-01T00:00:00.25+01:00", zone_required=True).isoformat()
    '2026-02-28T23:00:00.250000+00:00'
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an ISO 8601 date-time")
    if zone_required and not match["zone"]:
        raise ValueError(f"{text!r} has no time zone")
    time = datetime.fromisoformat(text.upper())
    return time.astimezone(UTC) if match["zone"] else time.replace(tzinfo=UTC)


def to_micros(time: datetime) -> int:
    """Return the microseconds since 1970, by which runs are sorted."""
    return (time - _EPOCH) // _MICROSECOND


def v1_time(time: datetime) -> str:
    """
    Write a time as v1 does, in UTC without a zone.

    >>> v1_time(parse_time("2024-04-29T00:49:12.09Z", zone_required=True))
    '2024-04-29T00:49:12.090000'
    """
    return time.astimezone(UTC).replace(tzinfo=None).isoformat()


def v2_time(time: datetime) -> str:
    """
    Write a time as v2 does, in RFC 3339 with as few digits as possible.

    >>> v2_time(parse_time("2024-04-29T00:49:12.090000", zone_required=False))
    '2024-04-29T00:49:12.09Z'
    """
    text = v1_time(time)
    return (text.rstrip("0") if "." in text else text) + "Z"


def dotted_order_segment(time: datetime, run_id: str) -> str:
    """
    Write the segment of a run in a ``dotted_order``.

    >>> dotted_order_segment(parse_time("2024-04-29T00:49:12.09Z", zone_required=True), "b9...")
    '20240429T004912090000Zb9...'
    """
    return f"{time.astimezone(UTC):%Y%m%dT%H%M%S%f}Z{run_id}"
