"""
Where objects lie: a path for every view, project and window, and a name for every object.

::

    _manifest.json
    part-00000-3f9a1c2b.parquet                       its number and its content: the same rows have the same name
    _attachment-3f9a1c2b00000000.png                  readers of tables pass over names that begin like this
    _checkpoint-3f9a1c2b00000000-v2-20250301T093000Z--20250301T120000.000001Z
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import accumulate
from typing import Any
from urllib.parse import quote

from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.windows import TimeWindow

# A project's name in a path, in bytes; after "project=" file systems take 247. A name that was cut is longer than any
# other one, so that the two are never the same.
_MAX_NAME_BYTES, _CUT_NAME_BYTES = 240, 246
_MIN_DIGEST_CHARACTERS = 11  # of a name that was cut

MANIFEST = "_manifest.json"
# The objects of an export beside its manifest. It may delete what has such a name.
PART = re.compile(r"part-\d{5,}-(?:[0-9a-f]{8}){1,8}\.[a-z.]+")
ATTACHMENT = re.compile(r"_attachment-(?:[0-9a-f]{8}){2,8}\.[a-z0-9]+")
CHECKPOINT = re.compile(r"_checkpoint-([0-9a-f]{16}-v\d)-(\d{8}T[\d.]+Z)--(\d{8}T[\d.]+Z)")
_PROBE = re.compile(r"_probe-[0-9a-f]{32}")
_TEMPORARY = re.compile(r"(.*)\.[0-9a-f]{32}\.tmp")  # a file on a local disk that is not finished


def is_of_an_export(name: str) -> bool:
    """Return whether exports write such a name beside their manifest: an object, or an unfinished file of one."""
    if temporary := _TEMPORARY.fullmatch(name):
        return temporary[1] == MANIFEST or is_of_an_export(temporary[1])
    return any(pattern.fullmatch(name) for pattern in (PART, ATTACHMENT, CHECKPOINT, _PROBE))


def partition(view: str, project: str, window: TimeWindow, pattern: str = "auto") -> str:
    """
    Return the path of a window below the destination.

    ``pattern`` is ``auto`` or a format string over ``start`` and ``end``.

    >>> day = TimeWindow(datetime.fromisoformat("2025-03-01T00:00Z"), datetime.fromisoformat("2025-03-02T00:00Z"))
    >>> partition("runs", "my shop", day)
    'runs/project=my%20shop/date=2025-03-01'
    >>> partition("runs", "shop", day, "dt={start:%Y%m%d}")
    'runs/project=shop/dt=20250301'
    """
    window_path = _window_path(window) if pattern == "auto" else _formatted(pattern, window)
    return f"{view}/project={_safe(project)}/{window_path}"


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
    """Percent-encode a name; cut one that is too long for a file system between two characters, and add its digest."""
    letters = [quote(letter, safe="") for letter in project]
    safe = "".join(letters)
    if len(safe) <= _MAX_NAME_BYTES:
        return safe
    max_end = _CUT_NAME_BYTES - _MIN_DIGEST_CHARACTERS
    prefix = "".join(
        letter for letter, end in zip(letters, accumulate(map(len, letters)), strict=True) if end < max_end
    )
    return f"{prefix}~{sha256(project.encode()).hexdigest()}"[:_CUT_NAME_BYTES]


def part_name(number: int, sha256: str, extension: str) -> str:
    """Name a part by its number and its content."""
    return f"part-{number:05d}-{sha256[:8]}.{extension}"


def attachment_name(sha256: str, extension: str) -> str:
    """Name an attachment by its content."""
    return f"_attachment-{sha256[:16]}.{extension}"


def names_by_digest(name: str, sha256: str) -> Iterator[str]:
    """
    Yield the names of a part or an attachment, with ever more digits of its digest, its own name first.

    >>> list(names_by_digest("part-00000-3f9a1c2b.parquet", "3f9a1c2b" + 56 * "0"))[:2]
    ['part-00000-3f9a1c2b.parquet', 'part-00000-3f9a1c2b00000000.parquet']
    """
    prefix, _, end = name.rpartition("-")
    digits, _, extension = end.partition(".")
    return (f"{prefix}-{sha256[:length]}.{extension}" for length in range(len(digits), len(sha256) + 1, 8))


def checkpoint_name(mark: str, window: TimeWindow) -> str:
    """Name a checkpoint by the mark of its export, ``3f9a1c2b00000000-v2``, and by its part of the window."""
    return f"_checkpoint-{mark}-{_stamps(window)}"


def checkpoint_window(name: str, mark: str) -> TimeWindow | None:
    """Return the part of the window that a checkpoint has; None if the name is not one of this mark."""
    match = CHECKPOINT.fullmatch(name)
    if match is None or match[1] != mark:
        return None
    return TimeWindow(datetime.fromisoformat(match[2]), datetime.fromisoformat(match[3]))


def _window_path(window: TimeWindow) -> str:
    start = window.start
    if start == start.replace(hour=0, minute=0, second=0, microsecond=0) and window.length == timedelta(days=1):
        return f"date={start:%Y-%m-%d}"
    if start == start.replace(minute=0, second=0, microsecond=0) and window.length == timedelta(hours=1):
        return f"date={start:%Y-%m-%d}/hour={start:%H}"
    return f"window={_stamps(window)}"


def _stamps(window: TimeWindow) -> str:
    bounds = (bound.astimezone(UTC) for bound in (window.start, window.end))
    return "--".join(f"{bound:%Y%m%dT%H%M%S.%f}".removesuffix(".000000") + "Z" for bound in bounds)


class _Pattern(string.Formatter):
    """The format language without attributes and items: a path says when, and nothing of Python's objects."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        return self.get_value(field_name, args, kwargs), field_name


def _formatted(pattern: str, window: TimeWindow) -> str:
    try:
        path = _Pattern().format(pattern, start=window.start, end=window.end).removesuffix("/")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"The partition {pattern!r} cannot be filled in ({error!r}); it is 'auto' or a format string over start "
            "and end, like 'dt={start:%Y-%m-%d}'."
        ) from error
    if not path or any(step in ("", ".", "..") for step in path.split("/")):
        raise ConfigurationError(f"The partition {pattern!r} gives {path!r}, which is no path below the destination.")
    return path
