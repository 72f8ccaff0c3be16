"""The windows of an export's runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

__all__ = ["partitions"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def partitions(start: datetime, end: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """
    Cut a window at the multiples of a length since a midnight in UTC.

    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> [(str(low), str(high)) for low, high in partitions(noon, noon + timedelta(days=1), timedelta(days=1))]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('2026-03-01 12:00:00+00:00', '2026-03-02 00:00:00+00:00'),
     ('2026-03-02 00:00:00+00:00', '2026-03-02 12:00:00+00:00')]
    """
    while start < end:
        cut = min(_EPOCH + ((start - _EPOCH) // length + 1) * length, end)
        yield start, cut
        start = cut
