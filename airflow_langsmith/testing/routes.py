"""The endpoint of each method and path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from airflow_langsmith.testing import blob_storage
from airflow_langsmith.testing.bulk import destination_endpoints as bulk_destinations
from airflow_langsmith.testing.bulk import export_endpoints as bulk_exports
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
    """An endpoint. ``path`` has a ``{}`` for each parameter; ``is_open`` means that it needs no key."""

    version: int
    method: str
    path: str
    endpoint: Endpoint
    is_open: bool = False


# Fixed paths come before paths with a parameter that match them, too.
_ROUTES = (
    Route(1, "GET", "/info", info.read, is_open=True),
    Route(1, "GET", "/storage/{}/{}", blob_storage.read, is_open=True),
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
    Route(1, "GET", "/bulk-exports", bulk_exports.find),
    Route(1, "POST", "/bulk-exports", bulk_exports.create),
    Route(1, "GET", "/bulk-exports/runs", bulk_exports.find_runs_of_schedule),
    Route(1, "GET", "/bulk-exports/destinations", bulk_destinations.find),
    Route(1, "POST", "/bulk-exports/destinations", bulk_destinations.create),
    Route(1, "GET", "/bulk-exports/destinations/{}", bulk_destinations.read),
    Route(1, "PATCH", "/bulk-exports/destinations/{}", bulk_destinations.update),
    Route(1, "GET", "/bulk-exports/{}", bulk_exports.read),
    Route(1, "PATCH", "/bulk-exports/{}", bulk_exports.cancel),
    Route(1, "GET", "/bulk-exports/{}/runs", bulk_exports.find_runs),
    Route(1, "GET", "/bulk-exports/{}/runs/{}", bulk_exports.read_run),
    Route(2, "POST", "/runs/query", v2_runs.query),
    Route(2, "GET", "/runs/{}", v2_runs.read),
    Route(2, "POST", "/public/{}/runs/query", v2_shares.query, is_open=True),
)

_METHODS: dict[tuple[int, str], dict[str, Route]] = {}
for _route in _ROUTES:
    _METHODS.setdefault((_route.version, _route.path), {})[_route.method] = _route
_PATHS = [
    (version, re.compile(path.replace("{}", "([^/]+)")), methods) for (version, path), methods in _METHODS.items()
]


def split_version(path: str) -> tuple[int, str]:
    """
    Split a path into API version and route. The SDK sends the routes of v1 without a version.

    >>> split_version("/api/v2/runs/query"), split_version("/runs/query")
    ((2, '/runs/query'), (1, '/runs/query'))
    """
    match = _VERSION.fullmatch(path)
    if match is None:
        return 1, path
    return int(match[1] or 1), match[2] or "/"


def find_route(version: int, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """
    Return the endpoint, and the parameters in its path.

    :raises Refusal: 404 for an unknown path, 405 for an unknown method.
    """
    for route_version, pattern, methods in _PATHS:
        match = pattern.fullmatch(path) if route_version == version else None
        if match is not None:
            if method not in methods:
                raise Refusal(405, "Method Not Allowed")
            return methods[method], tuple(map(unquote, match.groups()))
    raise Refusal(404, "Not Found", body={"detail": "Not Found"})
