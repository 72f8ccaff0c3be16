"""Where things lie: a path for every view, project and window, and a name for every part."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import accumulate
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.windows import TimeWindow

# Bytes of a project's name in a path, and of one that was cut, which is longer than any that was not; with "project="
# before it, file systems take 255.
_LONGEST, _CUT = 240, 246
_DIGITS = 11  # of the digest of a name that was cut, at least
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
# What is ours to clean up.
PART = re.compile(r"part-\d{5,}-(?:[0-9a-f]{8}){1,8}\.[a-z.]+")
ATTACHMENT = re.compile(r"_attachment-(?:[0-9a-f]{8}){2,8}\.[a-z0-9]+")
PROBE = re.compile(r"_probe-[0-9a-f]{32}")
CHECKPOINT = re.compile(r"_checkpoint-([0-9a-f]{16}-v\d)-(\d{8}T[\d.]+Z)--(\d{8}T[\d.]+Z)")


def partition(view: str, project: str, window: TimeWindow, pattern: str = "auto") -> str:
    """
    Place a window under the destination.

    ``pattern`` is ``auto`` or a format string over ``start`` and ``end``.

    >>> day = TimeWindow(datetime.fromisoformat("2025-03-01T00:00Z"), datetime.fromisoformat("2025-03-02T00:00Z"))
    >>> partition("runs", "my shop", day)
    'runs/project=my%20shop/date=2025-03-01'
    >>> partition("runs", "shop", day, "dt={start:%Y%m%d}")
    'runs/project=shop/dt=20250301'
    """
    stretch = _stretch(window) if pattern == "auto" else _format(pattern, window)
    return f"{view}/project={_safe(project)}/{stretch}"


def partition_by_ids(run_filter: RunFilter) -> str | None:
    """
    Return the partition of an export that goes by ids, whenever the runs started; None without ids.

    >>> partition_by_ids(RunFilter(trace_id="0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"))
    'trace=0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b'
    >>> partition_by_ids(RunFilter(run_ids=("a", "b")))
    'runs=c8687a08aa5d6ed2'
    """
    if run_filter.trace_id is not None:
        return f"trace={run_filter.trace_id}"
    if run_filter.run_ids is not None:
        return f"runs={sha256(' '.join(run_filter.run_ids).encode()).hexdigest()[:16]}"
    return None


def _safe(project: str) -> str:
    """
    Percent-encode a name; one that is too long for a file system ends in its digest instead.

    It is cut between two characters. The digest fills it up, so that it is longer than any name that was not cut.
    """
    letters = [quote(letter, safe="") for letter in project]
    safe = "".join(letters)
    if len(safe) <= _LONGEST:
        return safe
    ends = accumulate(map(len, letters))
    kept = "".join(letter for letter, end in zip(letters, ends, strict=True) if end < _CUT - _DIGITS)
    return f"{kept}~{sha256(project.encode()).hexdigest()}"[:_CUT]


def part_name(number: int, sha256: str, extension: str) -> str:
    """
    Name a part by its place and its content: the same rows give the same object, other rows one beside it.

    >>> part_name(0, "3f9a1c2b" + 56 * "0", "parquet")
    'part-00000-3f9a1c2b.parquet'
    """
    return f"part-{number:05d}-{sha256[:8]}.{extension}"


def attachment_name(sha256: str, extension: str) -> str:
    """
    Name an attachment by its content; readers of tables pass over names that begin like this.

    >>> attachment_name("3f9a1c2b" + 56 * "0", "png")
    '_attachment-3f9a1c2b00000000.png'
    """
    return f"_attachment-{sha256[:16]}.{extension}"


def longer_names(name: str, sha256: str) -> Iterator[str]:
    """
    Write the name of a part or an attachment with ever more digits of its digest, its own name first.

    >>> list(longer_names("part-00000-3f9a1c2b.parquet", "3f9a1c2b" + 56 * "0"))[:2]
    ['part-00000-3f9a1c2b.parquet', 'part-00000-3f9a1c2b00000000.parquet']
    """
    before, _, end = name.rpartition("-")
    digits, _, extension = end.partition(".")
    return (f"{before}-{sha256[:length]}.{extension}" for length in range(len(digits), len(sha256) + 1, 8))


def probe_name() -> str:
    """Name an object that is there for a moment, to see whether it can be."""
    return f"_probe-{uuid4().hex}"


def checkpoint_name(mark: str, start: datetime, end: datetime) -> str:
    """
    Name a checkpoint by what it is of, and by its stretch of the window.

    >>> checkpoint_name("3f9a1c2b00000000-v2", datetime(2025, 3, 1, 9, 30), datetime(2025, 3, 1, 12, 0, 0, 1))
    '_checkpoint-3f9a1c2b00000000-v2-20250301T093000Z--20250301T120000.000001Z'
    """
    return f"_checkpoint-{mark}-{_stamp(start)}--{_stamp(end)}"


def checkpoint_at(name: str, mark: str) -> tuple[datetime, datetime] | None:
    """Read the stretch from a name; None where it is not that of a checkpoint of this."""
    found = CHECKPOINT.fullmatch(name)
    if found is None or found[1] != mark:
        return None
    return datetime.fromisoformat(found[2]), datetime.fromisoformat(found[3])


def _stretch(window: TimeWindow) -> str:
    start = window.start
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if start == midnight and window.length == _DAY:
        return f"date={start:%Y-%m-%d}"
    if start == start.replace(minute=0, second=0, microsecond=0) and window.length == _HOUR:
        return f"date={start:%Y-%m-%d}/hour={start:%H}"
    return f"window={_stamp(window.start)}--{_stamp(window.end)}"


class _Pattern(string.Formatter):
    """The format language without attributes and items: a path says when, and nothing of our insides."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        return self.get_value(field_name, args, kwargs), field_name


def _stamp(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    fraction = f".{moment.microsecond:06d}" if moment.microsecond else ""
    return f"{moment:%Y%m%dT%H%M%S}{fraction}Z"


def _format(pattern: str, window: TimeWindow) -> str:
    try:
        path = _Pattern().format(pattern, start=window.start, end=window.end).removesuffix("/")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"partition={pattern!r} cannot be filled in ({error!r}); it is 'auto' or a format string over start "
            "and end, like 'dt={start:%Y-%m-%d}'."
        ) from error
    if not path or any(step in ("", ".", "..") for step in path.split("/")):
        raise ConfigurationError(f"partition={pattern!r} gives {path!r}, which is no path below the destination.")
    return path
