"""One window read by several cursors: faster, and the same to the byte."""

from __future__ import annotations

import math
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.records import Page
from airflow_langsmith.errors import InvalidQueryError
from airflow_langsmith.export.cursor_limit import CursorLimit, ParallelReadPolicy
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, Exported, OutputOptions
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.export.parallel_read import ParallelRead, ReadJob
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.export.row_file import RowCodec
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import Rows, view_of
from tests.conftest import ClientOf
from tests.queries import read_pages, run_query

simulation = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "simulation.py")))
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PAGE = 20  # runs
Moments = Callable[[int], timedelta]


def evenly(number: int) -> timedelta:
    """Spread runs over the day."""
    return number * timedelta(minutes=2)


def at_noon(number: int) -> timedelta:
    """Crowd them within an hour, four of a kind."""
    return timedelta(hours=12) + (number // 4) * timedelta(seconds=20)


def fill(langsmith: LangSmithStandIn, traces: int, moment: Moments = evenly) -> None:
    """Put in traces of a root with feedback and a retriever."""
    for number in range(traces):
        start = START + moment(number)
        thread = {"metadata": {"thread_id": f"thread {number // 3 if number % 4 else number % 5}"}}  # some all day
        root = langsmith.add_run(project="shop", start_time=start, end_time=start, inputs={"n": number}, extra=thread)
        langsmith.add_run(project="shop", start_time=start, parent_run_id=root, run_type="retriever", outputs={"d": []})
        langsmith.add_feedback(root, score=1)


def slow(langsmith: LangSmithStandIn, pages: int | None) -> None:
    """Let so many pages take as long as over a real network, or all: else there is no use for several cursors."""
    langsmith.misbehave("delay", times=pages, seconds=0.1)


def exported(
    client: LangSmithClient,
    where: Path,
    view: str = "runs",
    format_: str = "jsonl",
    on_page: Callable[[Progress], None] = lambda _: None,
    **source: Any,
) -> Exported:
    """Export the day's roots."""
    chosen = view_of(view)
    query = run_query(
        project=client.project("shop"), start=START, end=START + DAY, fields=chosen.fields, page_size=PAGE, is_root=True
    )
    target = OutputOptions(destination=f"file://{where}", format=format_of(format_))
    return Export(PageSource(client, **source), query, chosen, target, on_page=on_page).run()


def windows(langsmith: LangSmithStandIn) -> set[str]:
    """Return the windows that roots were queried for: each cursor has its own."""
    bodies = [request.body or {} for request in langsmith.requests_to("/runs/query")]  # none of a request cut short
    return {body["filter"] for body in bodies if body.get("is_root") and "metadata_value" not in body["filter"]}


def cursors_alive() -> list[str]:
    """List the threads of cursors."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("langsmith-cursor")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """However an export ends, its threads have ended."""
    yield
    assert not cursors_alive()


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("view", "format_"), [("runs", "parquet"), ("traces", "jsonl"), ("retrievals", "csv")])
def test_the_same_bytes_however_many(
    langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path, version: str, view: str, format_: str
) -> None:
    """With 1, 2 and 8 cursors, through slow pages, 429s, 5xx, resets and cut bodies, the files are the same."""
    fill(langsmith, 401)
    files, cursors = [], []
    for number in (1, 2, 8):
        langsmith.misbehave("delay", seconds=0.3, times=3)
        langsmith.misbehave("rate_limit", after=2, retry_after=0.2)
        langsmith.misbehave("status", after=2)
        langsmith.misbehave("reset", after=2)
        langsmith.misbehave("truncate", after=2)
        langsmith.requests.clear()
        done = exported(client_of(langsmith, version), tmp_path / str(number), view, format_, concurrency=number)
        assert not langsmith.unspent_faults
        assert done.manifest.rows == 401
        files.append([file.sha256 for file in done.manifest.files])
        cursors.append(len(windows(langsmith)))
    assert files[0] == files[1] == files[2]
    assert cursors[0] == 1 < cursors[1] <= cursors[2]


@pytest.mark.parametrize("moment", [evenly, at_noon])
def test_a_share_costs_one_request_at_most(
    langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path, moment: Moments
) -> None:
    """Beside the pages there have to be, every share takes at most one request, wherever in the window runs are."""
    fill(langsmith, 595, moment)
    slow(langsmith, None)
    seen: list[tuple[int, float]] = []

    def look(progress: Progress) -> None:
        assert threading.current_thread() is threading.main_thread()
        seen.append((progress.runs, progress.share))

    done = exported(client_of(langsmith), tmp_path, on_page=look)
    shares = len(windows(langsmith)) - 1
    assert shares > 0
    assert len(langsmith.requests_to("/runs/query")) <= math.ceil(595 / PAGE) + shares
    assert done.manifest.rows == 595
    assert seen == sorted(seen)
    assert seen[-1] == (595, 1.0)


def test_no_share_of_a_small_window(langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path) -> None:
    """What is a few pages long is read by one cursor, and not one request is wasted."""
    fill(langsmith, 70)
    slow(langsmith, None)
    exported(client_of(langsmith), tmp_path)
    assert len(langsmith.requests_to("/runs/query")) == 4


def test_no_share_where_one_keeps_the_budget_busy(
    langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path
) -> None:
    """Where answers come faster than the budget lets us ask, more cursors would only wait."""
    fill(langsmith, 390)
    slow(langsmith, None)
    exported(client_of(langsmith, requests_per_10s=25), tmp_path, concurrency=8)
    assert len(langsmith.requests_to("/runs/query")) == 20


def test_the_next_page_comes_while_rows_are_written(
    langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path
) -> None:
    """One cursor asks for the next page before the rows of the last one are in a file."""
    fill(langsmith, 5 * PAGE - 1)
    requests_by_page = []

    def write_slowly(progress: Progress) -> None:
        """Be busy in the thread that writes, until another page has been asked for."""
        pages, deadline = progress.pages, time.monotonic() + 10
        while pages < 5 and len(langsmith.requests_to("/runs/query")) <= pages and time.monotonic() < deadline:
            time.sleep(0.01)
        requests_by_page.append((pages, len(langsmith.requests_to("/runs/query"))))

    exported(client_of(langsmith), tmp_path, concurrency=1, on_page=write_slowly)
    assert requests_by_page[0][0] == 1
    assert all(requests > pages for pages, requests in requests_by_page if pages < 5)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_threads_are_read_by_several(
    langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path, version: str
) -> None:
    """Conversations come in the order of their newest turns, each once, however many cursors come upon them."""
    fill(langsmith, 301)
    alone = exported(client_of(langsmith, version), tmp_path / "one", "threads", concurrency=1)
    langsmith.requests.clear()
    slow(langsmith, None)
    several = exported(client_of(langsmith, version), tmp_path / "several", "threads", concurrency=3)
    assert len(windows(langsmith)) > 2
    assert several.manifest == alone.manifest
    assert alone.manifest.rows == len({number // 3 if number % 4 else number % 5 for number in range(301)})


def test_the_first_error_ends_it_all(langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path) -> None:
    """An error of one cursor is raised at once, though others wait for answers that will not come for long."""
    fill(langsmith, 400)
    slow(langsmith, 8)
    langsmith.misbehave("delay", times=4, seconds=60)
    langsmith.misbehave("status", status=400, body={"detail": "no such page"})
    client, began = client_of(langsmith), time.monotonic()
    with pytest.raises(InvalidQueryError, match="no such page"):
        exported(client, tmp_path)
    assert time.monotonic() - began < 20
    assert not list(tmp_path.rglob("*.jsonl.gz"))
    assert len(windows(langsmith)) > 1
    langsmith.behave()
    assert exported(client, tmp_path).manifest.rows == 400


class TimeIsUpError(Exception):
    """What Airflow raises in the main thread where a task takes too long."""


@pytest.mark.parametrize("trouble", ["delay", "rate_limit", "status"])
def test_a_timeout_ends_it_at_once(
    langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Any
) -> None:
    """An exception in the task's own thread ends cursors that wait for an answer, for a 429's time, for a retry."""
    # Python swallows what is raised in a finalizer; then it is raised once more.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: signal.setitimer(signal.ITIMER_REAL, 0.1))
    fill(langsmith, 400)
    slow(langsmith, 8)
    langsmith.misbehave(trouble, times=None, seconds=60, retry_after=60 if trouble == "rate_limit" else None)

    rung = []

    def ring(*_: object) -> None:
        rung.append(time.monotonic())
        raise TimeIsUpError

    def ring_when_cursors_read() -> None:
        while len(windows(langsmith)) < 2:
            time.sleep(0.01)
        signal.setitimer(signal.ITIMER_REAL, 0.5)

    before = signal.signal(signal.SIGALRM, ring)
    bell = threading.Thread(target=ring_when_cursors_read, daemon=True)
    bell.start()
    try:
        with pytest.raises(TimeIsUpError):
            exported(client_of(langsmith, max_retries=50), tmp_path)
    finally:
        ended = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    bell.join()
    assert ended - rung[-1] < 20
    assert not cursors_alive()


def test_a_full_disk_holds_cursors_back(langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path) -> None:
    """Where rows that wait may take no more room, their cursors wait, and the export still ends."""
    fill(langsmith, 400)
    slow(langsmith, None)
    policy = ParallelReadPolicy(max_bytes_on_disk=1)
    assert exported(client_of(langsmith), tmp_path, read_policy=policy).manifest.rows == 400
    assert len(windows(langsmith)) > 1


def test_rows_that_wait_take_a_bounded_part_of_the_disk(
    langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path
) -> None:
    """However far cursors are ahead of their reader, and whosever turn it is, rows take no more disk than allowed."""
    fill(langsmith, 400)
    slow(langsmith, 4)
    client, view, sizes = client_of(langsmith), view_of("runs"), [0]
    query = run_query(project=client.project("shop"), start=START, end=START + DAY, page_size=PAGE, is_root=True)
    page_bytes = len(RowCodec(view).encode(view.rows(next(iter(read_pages(client, query))).runs)))
    policy = ParallelReadPolicy(max_cursors=2, max_bytes_on_disk=3 * page_bytes)

    def make(_: LangSmithClient, __: Pagination, page: Page) -> Iterator[Rows]:
        yield view.rows(page.runs)

    def on_disk() -> int:
        return sum(path.stat().st_size for path in tmp_path.iterdir())

    rows = 0
    job = ReadJob(client, query, view, policy, Progress(), tmp_path)
    with closing(ParallelRead(job, query, make, 1.0).rows()) as batches:
        for batch in batches:
            rows += batch.count
            requests, quiet = 0, 0
            while quiet < 5:  # until no cursor gets any further
                time.sleep(0.01)
                quiet = quiet + 1 if requests == len(langsmith.requests) else 0
                requests = len(langsmith.requests)
            sizes.append(on_disk())
    assert rows == 400
    assert 2 * page_bytes < max(sizes) < 4.5 * page_bytes


@pytest.mark.parametrize(
    ("needed", "seconds_left", "most", "is_start", "cursors"),
    [
        (0.9, 100.0, 8, True, 1),
        (1.1, 100.0, 8, True, 4),
        (1.1, 0.9, 8, True, 1),
        (3.0, 100.0, 8, True, 8),
        (3.0, 100.0, 8, False, 4),
        (50.0, 100.0, 2, True, 2),
        (50.0, 100.0, 0, True, 1),
    ],
)
def test_how_many_cursors_are_usable(
    needed: float, seconds_left: float, most: int, cursors: int, *, is_start: bool
) -> None:
    """As many cursors are usable as use the budget up, at first some more, and one for less than a second."""
    limit = CursorLimit()
    limit.changes = 0 if is_start else 1
    assert limit.usable(needed, seconds_left, most) == cursors


@pytest.mark.parametrize(
    ("pages", "others", "cursors", "parts"),
    [
        (100.0, [], 1, 1),
        (100.0, [], 8, 8),
        (100.0, [90.0, 90.0], 4, 2),
        (100.0, [90.0, 90.0, 90.0], 4, 1),
        (100.0, [90.0, 90.0], 9, 4),
        (100.0, [101.0], 8, 1),
        (3.9, [], 8, 1),
        (6.0, [], 8, 3),
    ],
)
def test_when_it_is_worth_sharing(pages: float, others: list[float], cursors: int, parts: int) -> None:
    """A cursor shares its pages if there may be more cursors, it has the most pages left, and these are several."""
    limit = CursorLimit()
    limit.cursors = cursors
    assert limit.shares(pages, others, 9) == parts


def read_alone(at_once: float, cursors: int, pages: int = 300) -> tuple[float, Any]:
    """Read pages of 300 ms from a server that works on so many at once; give the seconds, and the world then."""
    world = simulation.World(simulation.Free(), simulation.RateLimiter(10**6), 0.3, spread=0.1, at_once=at_once)
    world.read(simulation.even(100 * pages), 100, cursors)
    world.clock.run()
    return world.clock.now, world


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_cursors_that_do_not_help_are_given_back(at_once: int) -> None:
    """If a server has no more to give, cursors come down to what helps, and it takes no longer than with one."""
    one_cursor, _ = read_alone(at_once, 1)
    several, world = read_alone(at_once, 9)
    assert world.limit.cursors <= 3 * at_once
    assert several <= 1.05 * one_cursor
    assert several <= 1.5 * one_cursor / at_once


def test_cursors_that_help_stay() -> None:
    """If a server is as fast for nine cursors as for one, all of them read to the end."""
    one_cursor, _ = read_alone(math.inf, 1)
    several, world = read_alone(math.inf, 9)
    assert world.limit.cursors == 9
    assert several <= one_cursor / 7.5


def test_cursors_are_tried_again() -> None:
    """Cursors that did not help are tried again after a while, each time a longer one."""
    limit, tries = CursorLimit(), []
    for page in range(1000):
        before = limit.cursors
        limit.add_page(0.1 * limit.cursors, limit.changes, limit.cursors, 9)
        if limit.cursors > before:
            tries.append(page)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) > 3
    assert pauses == sorted(pauses)


def test_six_times_as_fast_as_one_by_one() -> None:
    """A hundred pages of 300 ms each, with no limit, take a sixth of what they take one after the other."""
    world = simulation.World(simulation.Free(), simulation.RateLimiter(10**6), 0.3, spread=0.0)
    world.read((START.replace(day=1) + second * timedelta(seconds=8.64) for second in range(10_000)), 100)
    world.clock.run()
    assert world.clock.now <= 100 * 0.3 / 6


@pytest.mark.parametrize("tells", [True, False], ids=["Retry-After", "silent"])
@pytest.mark.parametrize("server", ["fixed", "sliding", "token"])
@pytest.mark.parametrize("latency", [0.3, 3.0])
@pytest.mark.parametrize(("shape", "least"), [("even", 0.95), ("diurnal", 0.91), ("bursty", 0.9)])
def test_the_budget_is_used_by_cursors(shape: str, least: float, server: str, latency: float, *, tells: bool) -> None:
    """Over 200 pages at 10 per 10 s there is no 429 and one request a share at most, and hardly any time is lost."""
    done = simulation.shared(shape, server, 19_950, latency, retry_after=tells, spread=0.1)
    assert done.refused == 0
    assert done.runs == 19_950
    assert done.requests <= 200 + (done.paginations - 1 if shape != "even" else 0)
    assert (done.paginations == 1) == (latency == 0.3)
    assert done.efficiency >= (least if done.paginations > 1 else 0.95)
