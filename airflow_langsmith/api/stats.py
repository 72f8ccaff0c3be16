"""
Numbers about all runs of a query in one answer: ``POST /api/v1/runs/stats``.

Servers of both versions have it, and v2 has nothing in its place when it goes with v1.
"""

from __future__ import annotations

import msgspec

from airflow_langsmith.api import v1
from airflow_langsmith.api.decoding import decode
from airflow_langsmith.api.flow import Request
from airflow_langsmith.api.query import RunQuery

PATH = "/api/v1/runs/stats"


class _Stats(msgspec.Struct):
    run_count: int | None = None


_STATS = msgspec.json.Decoder(_Stats)


def question(query: RunQuery) -> Request:
    """Ask how many runs there are."""
    asked = {**v1.conditions(query), "select": ["run_count"]}
    return Request("POST", PATH, tier="run stats", json=asked, about=query.about)


def read(body: bytes) -> int | None:
    """Read the answer, which may be null."""
    return decode(_STATS, body, "how many runs").run_count
