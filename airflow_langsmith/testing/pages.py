"""Pages of runs. A cursor names the last run of its page, so that new runs do not shift the pages."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from airflow_langsmith.testing.records import Run
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.timeline import Key

__all__ = ["Page", "decode_cursor", "equivalent_cursor", "fill_page"]

_BEFORE_FIRST: Key = 2**62, ""  # newer than any run


@dataclass(frozen=True, slots=True)
class Page:
    """The runs of a page. ``cursor`` is None after the last page."""

    runs: list[Run]
    cursor: str | None


def fill_page(runs: Iterable[Run], limit: int | None, *, last_cursor: bool) -> Page:
    """Take runs until the page is full. With ``last_cursor`` a full last page has a cursor, too."""
    page = list(islice(runs, limit and limit + 1))
    if limit is None or len(page) < limit + (not last_cursor):
        return Page(page, None)
    return Page(page[:limit], _encode(page[limit - 1].key))


def equivalent_cursor(cursor: str | None, number: int) -> str:
    """Write another cursor to the same page; None leads to the first page. Each number gives another text."""
    key = _BEFORE_FIRST if cursor is None else decode_cursor(cursor)
    return _encode((*key, number))


def _encode(key: tuple[int | str, ...]) -> str:
    return urlsafe_b64encode(json.dumps(key).encode()).decode()


def decode_cursor(cursor: str) -> Key:
    """Read the key of the run that the page comes after."""
    try:
        micros, run_id, *_ = json.loads(urlsafe_b64decode(cursor))
    except (ValueError, TypeError):
        raise Refusal(400, "Invalid cursor") from None
    if not isinstance(micros, int) or not isinstance(run_id, str):
        raise Refusal(400, "Invalid cursor")
    return micros, run_id
