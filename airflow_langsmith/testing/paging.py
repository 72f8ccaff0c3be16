"""Pages of runs: an opaque cursor that names the last run served, so that new arrivals shift nothing."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from airflow_langsmith.testing.records import Run
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.timeline import Key

__all__ = ["Page", "another_cursor", "cursor_of", "fill_page", "key_of"]

_BEFORE_ALL: Key = 2**62, ""  # newer than any run


@dataclass(frozen=True, slots=True)
class Page:
    """The runs of one page. ``cursor`` is None after the last."""

    runs: list[Run]
    cursor: str | None


def fill_page(runs: Iterable[Run], keep: Callable[[Run], bool], limit: int | None, *, last_cursor: bool) -> Page:
    """Take the runs that pass the filter until the page is full; ``last_cursor`` gives one to a full last page, too."""
    found = list(islice(filter(keep, runs), limit and limit + 1))
    if limit is None or len(found) < limit + (not last_cursor):
        return Page(found, None)
    return Page(found[:limit], cursor_of(found[limit - 1].key))


def cursor_of(key: Key) -> str:
    """Wrap a key into a cursor that nobody is tempted to read."""
    return urlsafe_b64encode(json.dumps(key).encode()).decode()


def another_cursor(cursor: str | None, number: int) -> str:
    """Write a cursor that leads where another one does, None to the first page, and differs from it by a number."""
    key = _BEFORE_ALL if cursor is None else key_of(cursor)
    return urlsafe_b64encode(json.dumps([*key, number]).encode()).decode()


def key_of(cursor: str) -> Key:
    """Unwrap a cursor."""
    try:
        micros, identifier, *_ = json.loads(urlsafe_b64decode(cursor))
    except (ValueError, TypeError):
        raise Refusal(400, "Invalid cursor") from None
    if not isinstance(micros, int) or not isinstance(identifier, str):
        raise Refusal(400, "Invalid cursor")
    return micros, identifier
