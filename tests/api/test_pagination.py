"""A pagination shared with others: nothing twice, nothing lost, in any order of reading."""

from __future__ import annotations

import random
import runpy
from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.api.flow import Request, Response
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.seen_runs import SeenRuns
from airflow_langsmith.api.settings import Settings
from tests.api import hostile
from tests.queries import run_query

simulation = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "simulation.py")))
SECONDS = st.lists(st.integers(0, 60), max_size=60).map(lambda drawn: [s for s in drawn if drawn.count(s) < 4])


def next_page(pagination: Pagination, server: Any) -> list[str]:
    """Read a page, answered without a network, and give the ids on it."""
    flow = pagination.next_page()
    step = next(flow)
    while True:
        assert isinstance(step, Request)
        try:
            step = flow.send(Response(200, {}, server.page(step)))
        except StopIteration as end:
            return [run.id for run in end.value.runs]


@given(SECONDS, st.integers(4, 9), st.integers(0, 1000))
def test_shared_walks_read_what_one_would(seconds: list[int], page_size: int, seed: int) -> None:
    """
    However often and at whatever moment a pagination is shared, all runs come once, and in the order of one pagination.

    At any time a pagination knows since when all runs of its own part have come.
    """
    chance = random.Random(seed)
    server = simulation.Runs(simulation.DAY + timedelta(seconds=second) for second in seconds)
    query = run_query(
        project=simulation.SHOP,
        start=simulation.DAY + timedelta(seconds=5),
        end=simulation.DAY + timedelta(seconds=50),
        page_size=page_size,
    )
    moments = {str(UUID(int=place)): time for place, time in enumerate(server.times)}
    readers: list[tuple[Pagination, list[str]]] = [
        (Pagination(query, VersionNegotiator(Settings(api_version="v2"))), [])
    ]
    while reading := [place for place, (pagination, _) in enumerate(readers) if not pagination.done]:
        place = chance.choice(reading)
        pagination, ids = readers[place]
        ids += next_page(pagination, server)
        parts = chance.randint(1, 3)
        if parts > 1 and pagination.remaining > timedelta(seconds=1):
            readers[place + 1 : place + 1] = [(older, []) for older in pagination.split_off(parts)]
        since = pagination.complete_since
        assert since is not None
        assert pagination.query.start <= since <= pagination.query.end
        assert {id_ for id_, time in moments.items() if since <= time < pagination.query.end} <= set(ids)
    within = [id_ for id_, time in moments.items() if query.start <= time < query.end]
    assert [run_id for _, ids in readers for run_id in ids] == within


def test_a_walk_that_is_shared_asks_as_before() -> None:
    """The question a cursor belongs to stays the same to the letter, though others read a part of its answer."""
    times = [simulation.DAY + timedelta(seconds=second) for second in range(100)]
    query = run_query(
        project=simulation.SHOP, start=simulation.DAY, end=simulation.DAY + timedelta(seconds=100), page_size=10
    )
    pagination, server = Pagination(query, VersionNegotiator(Settings(api_version="v2"))), simulation.Runs(times)
    next_page(pagination, server)
    first = next(pagination.next_page())
    older = pagination.split_off(3)
    second = next(pagination.next_page())
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert first.json == second.json
    edges = [times[60] + timedelta(seconds=1.5), times[30] + timedelta(seconds=3), times[0]]
    assert [part.query.start for part in (pagination, *older)] == edges
    assert [part.query.end for part in older] == edges[:2]


def test_shares_are_whole_pages() -> None:
    """If runs are evenly spread, parts take no request more than one pagination, unless a last page is nearly full."""
    times = [simulation.DAY + timedelta(seconds=second + 0.5) for second in range(790)]
    query = run_query(
        project=simulation.SHOP, start=simulation.DAY, end=simulation.DAY + timedelta(seconds=790), page_size=20
    )
    pagination, server = Pagination(query, VersionNegotiator(Settings(api_version="v2"))), simulation.Runs(times)
    runs, pages = len(next_page(pagination, server)), 1
    for part in (pagination, *pagination.split_off(4)):
        while not part.done:
            runs, pages = runs + len(next_page(part, server)), pages + 1
    assert (runs, pages) == (790, 40)


def test_what_is_left_is_told_by_the_last_page() -> None:
    """The pages left are those of runs as close together as the last ones, wherever in the window they are."""
    at_noon = [simulation.DAY + timedelta(hours=12, seconds=second) for second in range(101)]
    query = run_query(
        project=simulation.SHOP, start=simulation.DAY, end=simulation.DAY + timedelta(days=1), page_size=11
    )
    pagination = Pagination(query, VersionNegotiator(Settings(api_version="v2")))
    next_page(pagination, simulation.Runs(at_noon))
    assert pagination.pages_left == (12 * 3600 + 90) / 11
    while not pagination.done:
        next_page(pagination, simulation.Runs(at_noon))
    assert pagination.pages_left == 0


def test_hostile_pages() -> None:
    """
    From servers that page badly in every way, all runs come once, or an error of ours, in a bounded number of requests.

    Pages are capped, refused, empty, short, repeated, in a circle, without their cursor and in no order; the last one
    has a cursor or none; runs come and move meanwhile; and paginations are shared.
    """
    ends = Counter(hostile.check(seed) for seed in range(100))
    assert ends["whole"] > 50
    assert set(ends) <= {"whole", "CursorLoopError", "PageTooLargeError"}


@pytest.mark.parametrize("order", ["newest", "oldest", "none"])
@pytest.mark.parametrize("chance", [0.1, 1.0])
@pytest.mark.parametrize("apart", [timedelta(0), timedelta(microseconds=1), timedelta(seconds=30)])
def test_cursors_that_get_lost(order: str, chance: float, apart: timedelta) -> None:
    """If full pages lose their cursors, all runs are still read, from a server that does not sort, too."""
    starts = [hostile.DAY + number * apart for number in range(2500)]
    runs = {str(UUID(int=place * 7919 % 2503)): start for place, start in enumerate(starts)}
    server = hostile.HostileServer(hostile.Vices(order=order, loses_cursor=chance), random.Random(1), runs)
    assert len(list(hostile.read(server, 100, 500))) == 2500


def test_what_is_new_of_a_page() -> None:
    """Runs that were read come no more, however many pages ago; those of the last moment and moved ones do."""

    def page(*runs: str) -> list[Any]:
        return [SimpleNamespace(id=run[0], start_time=simulation.DAY + timedelta(seconds=int(run[1]))) for run in runs]

    trail = SeenRuns()
    pages = [("a9", "b8"), ("b8", "c7"), (), (), ("c7", "d7", "e6"), ("a9", "b8"), ("a9", "f5"), ("b4",), ("e6", "b4")]
    new = [[run.id for run in trail.add_new(page(*runs))] for runs in pages]
    assert new == [["a", "b"], ["c"], [], [], ["d", "e"], [], ["f"], ["b"], []]
    assert trail.is_sorted
    assert [run.id for run in trail.add_new(page("g6"))] == ["g"]
    assert not trail.is_sorted
