"""An export of a window that LangSmith has deleted is empty, and says why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf, RunExport

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """What was warned of."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("airflow_langsmith.export")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("project", "workspace_days", "age", "retention_days", "requests"),
    [
        ({"trace_tier": "shortlived"}, None, 13, None, 0),
        ({"trace_tier": "shortlived"}, None, 20, 14, 0),
        ({"trace_tier": "SHORT_LIVED"}, None, 20, 14, 0),
        ({"trace_tier": "longlived"}, None, 20, None, 1),
        ({"trace_tier": "longlived"}, 90, 100, 90, 1),
        ({"trace_tier": "longlived"}, 90, 80, None, 1),
        ({"trace_tier": "longlived", "longlived_ttl_days": 30}, 90, 40, 30, 0),
        ({"trace_tier": "longlived"}, None, 401, 400, 0),
    ],
)
def test_an_empty_export_of_an_expired_window_says_so(
    client_of: ClientOf,
    export_runs: RunExport,
    warned: list[str],
    project: dict[str, Any],
    workspace_days: int | None,
    age: int,
    retention_days: int | None,
    requests: int,
) -> None:
    """The window's age is compared with what the project keeps, or its workspace, or the most there is."""
    with LangSmithStandIn(retention_days=workspace_days) as langsmith:
        langsmith.add_project("shop", **project)
        start = TODAY - age * DAY
        export_runs(client_of(langsmith), "shop", start, start + DAY)
        assert len(langsmith.requests_to("/ttl-settings")) == requests
    expected = (
        [] if retention_days is None else [f"{age} days ago; traces of this project are kept for {retention_days} days"]
    )
    assert [line for line in warned if "kept" in line] == [f"The window began {line}" for line in expected]
    assert all(len(line) < 90 for line in warned)


def test_an_export_with_rows_asks_nothing(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport, warned: list[str]
) -> None:
    """If there are rows, nothing is asked; but a project that says that it keeps traces for 14 days is warned about."""
    start = TODAY - 30 * DAY
    for name, tier in (("long", "longlived"), ("short", "shortlived")):
        langsmith.add_run(project=name, start_time=start)
        langsmith.add_project(name, trace_tier=tier)
        warned.clear()
        export_runs(client_of(langsmith), name, start, start + DAY)
        assert bool(warned) is (name == "short")
    assert not langsmith.requests_to("/ttl-settings")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_server_that_does_not_say(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport, warned: list[str], status: int
) -> None:
    """Where retention cannot be asked for, the export is as before."""
    langsmith.add_project("shop")
    langsmith.misbehave("status", status=status, path="/ttl-settings", body={"detail": "no"})
    start = TODAY - 30 * DAY
    assert export_runs(client_of(langsmith), "shop", start, start + DAY).manifest.rows == 0
    assert not warned
