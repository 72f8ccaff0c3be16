"""Each run of a window is exported once, with any bounds, pages and API version of the server."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from langsmith import Client

from airflow_langsmith.api import pagination
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.pagination import PagePolicy
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.seen_runs import MAX_PAGES_WITHOUT_NEW_RUNS
from airflow_langsmith.errors import CursorLoopError, LangSmithError
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.settings import Edges
from tests.conftest import ClientOf, ReadRows, RunExport
from tests.queries import read_pages, run_query
from tests.wording import says

# The SDK warns of each use of v1.
pytestmark = pytest.mark.filterwarnings("ignore::langsmith._internal._beta_decorator.LangSmithDeprecationWarning")

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
DAYS = [FIRST, FIRST + DAY, FIRST + 2 * DAY]
HUGE = {"text": 'ü€😀\\"\n' * 14_000}  # about 100 KB


def difficult_runs() -> Iterator[dict[str, Any]]:
    """Yield runs at each edge of three days, and all that is easily lost."""
    for day in [*DAYS, FIRST + 3 * DAY]:
        for start in (day - MICROSECOND, day, day + MICROSECOND):
            yield {"start_time": start, "name": f"edge {start}", "end_time": start + timedelta(seconds=1)}
    for day in DAYS:
        for minute in range(230):
            start = day + timedelta(minutes=minute, seconds=1)
            yield {"start_time": start, "name": f"run {minute}", "end_time": start, "outputs": {"n": minute}}
        same = day + timedelta(hours=3)  # more runs of one microsecond than fit on one page of v1
        for number in range(120):
            yield {"start_time": same, "name": f"same {number}", "end_time": same}
        yield {"start_time": day + timedelta(hours=5), "name": "pending"}
        yield {"start_time": day + timedelta(hours=5), "name": "long", "end_time": day + 2 * DAY}
        yield {"start_time": day + timedelta(hours=6), "name": "größe 😀 \\ \"'", "tags": ["ä", ""], "inputs": HUGE}
        yield {"start_time": day + timedelta(hours=7), "name": "nulls", "inputs": None, "outputs": None, "extra": None}
        failed = {"error": "ValueError('é')\n  at line 1", "outputs": None, "run_type": "tool"}
        yield {"start_time": day + timedelta(hours=8), "name": "failed", "end_time": day + timedelta(hours=9), **failed}


@pytest.fixture(params=zip(get_args(Edges), (True, False, False), strict=True))
def difficult(request: pytest.FixtureRequest) -> Iterator[LangSmithStandIn]:
    """A workspace of difficult runs, on a server with each kind of bounds."""
    edges, last_cursor = request.param
    with LangSmithStandIn(edges=edges, last_cursor=last_cursor) as server:
        for run in difficult_runs():
            server.add_run(project="shop", **run)
        server.add_run(project="other", start_time=FIRST)
        yield server


def whole_day(client: LangSmithClient, page_size: int) -> RunQuery:
    """Return the query for the first day."""
    return run_query(project=client.project("shop"), start=FIRST, end=FIRST + DAY, page_size=page_size)


def listed(server: LangSmithStandIn) -> dict[str, Any]:
    """List all runs of the project with the SDK."""
    client = Client(api_url=server.url, api_key=server.api_key)
    return {str(run.id): run for run in client.list_runs(project_name="shop")}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_three_days_are_complete(
    difficult: LangSmithStandIn,
    version: str,
    client_of: ClientOf,
    export_runs: RunExport,
    read_rows: ReadRows,
) -> None:
    """The rows of adjacent windows are the runs that the SDK lists, each once, in its own day."""
    client = client_of(difficult, version)
    rows = []
    for day in DAYS:
        exported = export_runs(client, "shop", day, day + DAY)
        assert exported.manifest.api_version == version
        day_rows = read_rows(exported.uri)
        assert all(day <= row["start_time"] < day + DAY for row in day_rows)
        assert exported.manifest.rows == len(day_rows)
        assert exported.manifest.pending == sum(row["status"] == "pending" for row in day_rows) == 3
        rows += day_rows
    expected = {
        run_id: run
        for run_id, run in listed(difficult).items()
        if FIRST <= run.start_time.replace(tzinfo=UTC) < FIRST + 3 * DAY
    }
    assert len(expected) == 3 * (3 + 230 + 120 + 5)
    assert sorted(row["run_id"] for row in rows) == sorted(expected)
    for row in rows:
        run = expected[row["run_id"]]
        assert row["start_time"] == run.start_time.replace(tzinfo=UTC)
        assert row["end_time"] == (run.end_time and run.end_time.replace(tzinfo=UTC))
        assert (row["name"], row["run_type"], row["status"]) == (run.name, run.run_type, run.status)
        assert row["error"] == run.error
        assert row["tags"] == (run.tags or [])
        assert (json.loads(row["inputs"]) if row["inputs"] else {}) == (run.inputs or {})
        assert (json.loads(row["outputs"]) if row["outputs"] else None) == run.outputs


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_window_of_one_microsecond(
    difficult: LangSmithStandIn,
    version: str,
    client_of: ClientOf,
    export_runs: RunExport,
) -> None:
    """The shortest window has the runs of its microsecond, and no others."""
    for start in (FIRST - MICROSECOND, FIRST, FIRST + MICROSECOND):
        exported = export_runs(client_of(difficult, version), "shop", start, start + MICROSECOND)
        assert exported.manifest.rows == 1
        assert exported.manifest.min_start_time == exported.manifest.max_start_time == start


@pytest.fixture(params=[True, False], ids=["cursor", "no cursor"])
def langsmith(request: pytest.FixtureRequest) -> Iterator[LangSmithStandIn]:
    """A LangSmith whose full last page has a cursor, or none: LangSmith does not document it."""
    with LangSmithStandIn(last_cursor=request.param) as server:
        yield server


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("fault", ["status", "truncate", "reset", "rate_limit"])
def test_a_failed_page_is_read_again(
    langsmith: LangSmithStandIn,
    version: str,
    fault: Any,
    client_of: ClientOf,
    export_runs: RunExport,
) -> None:
    """A page that fails once is exported once, and no earlier page is read again."""
    for minute in range(250):
        langsmith.add_run(project="shop", start_time=FIRST + timedelta(minutes=minute))
    langsmith.misbehave(fault, after=1)
    exported = export_runs(client_of(langsmith, version), "shop", FIRST, FIRST + DAY, query={"page_size": 100})
    assert exported.manifest.rows == 250
    assert len(langsmith.requests_to("/runs/query")) == 4
    assert not langsmith.unspent_faults


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_pages_that_are_too_large_for_a_proxy(
    langsmith: LangSmithStandIn,
    version: str,
    client_of: ClientOf,
    export_runs: RunExport,
) -> None:
    """All runs are exported through a proxy that accepts small pages only."""
    for minute in range(100):
        langsmith.add_run(project="shop", start_time=FIRST + timedelta(minutes=minute))
    langsmith.misbehave("too_large", largest_page=30, times=None)
    exported = export_runs(client_of(langsmith, version), "shop", FIRST, FIRST + DAY)
    assert exported.manifest.rows == 100


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("runs", "together"), [(0, 1), (1, 1), (40, 1), (40, 8), (40, 40)])
def test_pages_of_one_run(
    langsmith: LangSmithStandIn, version: str, runs: int, together: int, client_of: ClientOf
) -> None:
    """Pages of one run come to an end, also if runs start together, with either kind of last page."""
    langsmith.add_project("shop")
    for number in range(runs):
        langsmith.add_run(project="shop", start_time=FIRST + timedelta(minutes=number // together))
    langsmith.misbehave("too_large", largest_page=1, times=None)
    client = client_of(langsmith, version)
    pages = list(read_pages(client, whole_day(client, page_size=10)))
    assert [len(page.runs) for page in pages] == [1] * runs + [0] * (len(pages) - runs)
    assert len(pages) <= runs + 1


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("place", [0, 9, 19])
@pytest.mark.parametrize("together", [1, 20])
def test_a_run_larger_than_the_largest_page(
    langsmith: LangSmithStandIn,
    version: str,
    place: int,
    together: int,
    client_of: ClientOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that is larger than the largest page is read, on any page."""
    monkeypatch.setattr(pagination, "POLICY", PagePolicy(max_body_bytes=100_000))
    for number in range(20):
        text = random.Random(number).randbytes(200_000).hex() if number == place else ""
        start = FIRST + timedelta(minutes=number // together)
        langsmith.add_run(project="shop", start_time=start, inputs={"text": text})
    client = client_of(langsmith, version)
    runs = [run for page in read_pages(client, whole_day(client, page_size=20)) for run in page.runs]
    assert len(runs) == len({run.id for run in runs}) == 20
    assert sum(len(bytes(run.inputs or b"")) > 400_000 for run in runs) == 1


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("together", [20, 100, 200])
def test_a_last_page_of_one_microsecond(
    langsmith: LangSmithStandIn, version: str, together: int, client_of: ClientOf
) -> None:
    """A full last page costs one more request, also if its runs have the same start."""
    for number in range(200):
        langsmith.add_run(project="shop", start_time=FIRST + timedelta(minutes=number // together))
    client = client_of(langsmith, version)
    assert [len(page.runs) for page in read_pages(client, whole_day(client, page_size=20))] == [20] * 10 + [0]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("fault", ["empty_page", "old_page"])
def test_pages_without_new_runs(
    langsmith: LangSmithStandIn,
    version: str,
    fault: Any,
    client_of: ClientOf,
    export_runs: RunExport,
    read_rows: ReadRows,
) -> None:
    """Empty pages and repeated pages lose no row and double none, in an export and in a read."""
    for minute in range(300):
        langsmith.add_run(project="shop", start_time=FIRST + timedelta(minutes=minute // 3))
    client = client_of(langsmith, version)
    query = whole_day(client, page_size=20)
    for times in (1, 3):
        langsmith.misbehave(fault, after=5, times=times)
        assert sum(len(page.runs) for page in read_pages(client, query)) == 300
        assert not langsmith.unspent_faults
    langsmith.misbehave(fault, after=5, times=3)
    exported = export_runs(client, "shop", FIRST, FIRST + DAY, query={"page_size": 20})
    assert len({row["run_id"] for row in read_rows(exported.uri)}) == exported.manifest.rows == 300


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("fault", "runs"), [("circle", 90), ("circle", 390), ("empty_page", 390), ("old_page", 390)])
def test_a_circle_of_new_cursors_is_an_error(
    langsmith: LangSmithStandIn,
    version: str,
    fault: Any,
    runs: int,
    client_of: ClientOf,
    export_runs: RunExport,
) -> None:
    """New cursors without new runs fail the export after a bounded number of requests."""
    for minute in range(runs):
        langsmith.add_run(project="shop", start_time=FIRST + timedelta(minutes=minute))
    langsmith.misbehave(fault, times=None)
    with pytest.raises(CursorLoopError, match=says("going on would never end")):
        export_runs(client_of(langsmith, version), "shop", FIRST, FIRST + DAY, query={"page_size": 100})
    assert len(langsmith.requests_to("/runs/query")) <= 9 * (4 + MAX_PAGES_WITHOUT_NEW_RUNS + 1)  # of at most 9 cursors


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_lost_cursor_loses_nothing(
    langsmith: LangSmithStandIn,
    version: str,
    client_of: ClientOf,
    export_runs: RunExport,
) -> None:
    """A full page without a cursor is not the last page."""
    for minute in range(250):
        langsmith.add_run(project="shop", start_time=FIRST + timedelta(minutes=minute // 3))
    langsmith.misbehave("lose_cursor")
    exported = export_runs(client_of(langsmith, version), "shop", FIRST, FIRST + DAY, query={"page_size": 100})
    assert exported.manifest.rows == 250


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_repeated_cursor_is_an_error(
    langsmith: LangSmithStandIn,
    version: str,
    client_of: ClientOf,
    export_runs: RunExport,
) -> None:
    """A cursor that repeats itself fails the export after a bounded number of requests."""
    for minute in range(250):
        langsmith.add_run(project="shop", start_time=FIRST + timedelta(minutes=minute))
    langsmith.misbehave("repeat_cursor", times=None)
    with pytest.raises(LangSmithError, match=says("going on would never end")):
        export_runs(client_of(langsmith, version), "shop", FIRST, FIRST + DAY, query={"page_size": 100})
    assert len(langsmith.requests_to("/runs/query")) <= 3


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_page_that_keeps_failing_publishes_nothing(
    langsmith: LangSmithStandIn,
    version: str,
    client_of: ClientOf,
    export_runs: RunExport,
    read_rows: ReadRows,
    tmp_path: Any,
) -> None:
    """If page 3 fails, the export fails, and the files of the last export stay as they are."""
    for minute in range(350):
        langsmith.add_run(project="shop", start_time=FIRST + timedelta(minutes=minute))
    client = client_of(langsmith, version, max_retries=0)
    uri = export_runs(client, "shop", FIRST, FIRST + DAY, max_rows_per_file=50).uri
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for minute in range(350):
        langsmith.add_run(project="shop", start_time=FIRST + timedelta(minutes=minute, seconds=30))
    langsmith.misbehave("status", after=2, times=None)
    with pytest.raises(LangSmithError, match=says("Status 503")):
        export_runs(client, "shop", FIRST, FIRST + DAY, max_rows_per_file=50, query={"page_size": 100})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert len(read_rows(uri)) == 350
