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

__all__ = ["Page", "cursor_of", "fill_page", "key_of"]


@dataclass(frozen=True, slots=True)
class Page:
    """The runs of one page. ``cursor`` is None after the last; a full page always has one, even if it is the last."""

    runs: list[Run]
    cursor: str | None


def fill_page(runs: Iterable[Run], keep: Callable[[Run], bool], limit: int | None) -> Page:
    """Take the runs that pass the filter until the page is full."""
    found = list(islice(filter(keep, runs), limit))
    return Page(found, cursor_of(found[-1].key) if limit is not None and len(found) == limit else None)


def cursor_of(key: Key) -> str:
    """Wrap a key into a cursor that nobody is tempted to read."""
    return urlsafe_b64encode(json.dumps(key).encode()).decode()


def key_of(cursor: str) -> Key:
    """Unwrap a cursor."""
    try:
        micros, identifier = json.loads(urlsafe_b64decode(cursor))
    except (ValueError, TypeError):
        raise Refusal(400, "Invalid cursor") from None
    if not isinstance(micros, int) or not isinstance(identifier, str):
        raise Refusal(400, "Invalid cursor")
    return micros, identifier
