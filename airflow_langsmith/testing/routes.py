"""Which endpoint serves which method and path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from airflow_langsmith.testing import storage
from airflow_langsmith.testing.context import Endpoint
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.v1 import feedback, info, ingest, projects, shares, stats
from airflow_langsmith.testing.v1 import runs as v1_runs
from airflow_langsmith.testing.v2 import runs as v2_runs
from airflow_langsmith.testing.v2 import shares as v2_shares

__all__ = ["Route", "find_route", "split_version"]

_VERSION = re.compile(r"(?:/api)?(?:/v([12]))?(/.*)?")


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. ``path`` has a ``{}`` for every parameter; ``is_open`` needs no key."""

    version: int
    method: str
    path: str
    endpoint: Endpoint
    is_open: bool = False


# Fixed paths stand before those with a parameter that would swallow them.
_ROUTES = (
    Route(1, "GET", "/info", info.read, is_open=True),
    Route(1, "GET", "/storage/{}/{}", storage.read, is_open=True),
    Route(1, "GET", "/ttl-settings", info.ttl_settings),
    Route(1, "GET", "/sessions", projects.find),
    Route(1, "POST", "/sessions", projects.create),
    Route(1, "GET", "/sessions/{}", projects.read),
    Route(1, "PATCH", "/sessions/{}", projects.update),
    Route(1, "POST", "/runs/query", v1_runs.query),
    Route(1, "POST", "/runs/query/validate", v1_runs.validate, is_open=True),
    Route(1, "POST", "/runs/stats", stats.read),
    Route(1, "POST", "/runs/batch", ingest.batch),
    Route(1, "POST", "/runs/multipart", ingest.multipart),
    Route(1, "POST", "/runs", ingest.create),
    Route(1, "GET", "/runs/{}", v1_runs.read),
    Route(1, "PATCH", "/runs/{}", ingest.update),
    Route(1, "PUT", "/runs/{}/share", shares.create),
    Route(1, "GET", "/public/{}/run", shares.read, is_open=True),
    Route(1, "GET", "/public/{}/run/{}", shares.read_another, is_open=True),
    Route(1, "GET", "/feedback", feedback.find),
    Route(1, "POST", "/feedback", feedback.create),
    Route(1, "GET", "/feedback/{}", feedback.read),
    Route(1, "PATCH", "/feedback/{}", feedback.update),
    Route(1, "DELETE", "/feedback/{}", feedback.delete),
    Route(2, "POST", "/runs/query", v2_runs.query),
    Route(2, "GET", "/runs/{}", v2_runs.read),
    Route(2, "POST", "/public/{}/runs/query", v2_shares.query, is_open=True),
)

_METHODS: dict[tuple[int, str], dict[str, Route]] = {}
for _route in _ROUTES:
    _METHODS.setdefault((_route.version, _route.path), {})[_route.method] = _route
_PATTERNS = [
    (version, re.compile(path.replace("{}", "([^/]+)")), methods) for (version, path), methods in _METHODS.items()
]


def split_version(path: str) -> tuple[int, str]:
    """
    Split a path into API version and route; the SDK sends the routes of v1 bare.

    >>> split_version("/api/v2/runs/query"), split_version("/runs/query")
    ((2, '/runs/query'), (1, '/runs/query'))
    """
    found = _VERSION.fullmatch(path)
    if found is None:
        return 1, path
    return int(found[1] or 1), found[2] or "/"


def find_route(version: int, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """
    Find the endpoint, and the parameters in its path.

    :raises Refusal: 404 for an unknown path, 405 for a method it does not know.
    """
    for known, pattern, methods in _PATTERNS:
        match = pattern.fullmatch(path) if known == version else None
        if match is not None:
            if method not in methods:
                raise Refusal(405, "Method Not Allowed")
            return methods[method], tuple(map(unquote, match.groups()))
    raise Refusal(404, "Not Found", body={"detail": "Not Found"})
