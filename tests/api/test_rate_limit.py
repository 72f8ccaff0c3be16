"""The budget of requests, on a clock that the test turns."""

from __future__ import annotations

import random
import runpy
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.api.rate_limit import BUDGETS, QueuedRequest, RateLimiter, RateLimitPolicy, rate_limiter_for
from airflow_langsmith.api.records import Project
from airflow_langsmith.api.v1 import V1
from tests.queries import run_query

PERIOD = RateLimitPolicy().period_seconds
simulation = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "simulation.py")))
SERVERS = pytest.mark.parametrize("server", ["fixed", "sliding", "token"])
TELLS = pytest.mark.parametrize("tells", [True, False], ids=["Retry-After", "silent"])


@pytest.fixture(autouse=True)
def the_same_chance() -> Iterator[None]:
    """Let the pauses of retries, which are left to chance, be the same in every run."""
    before = random.getstate()
    random.seed(1)
    yield
    random.setstate(before)


def sent(limiter: RateLimiter, now: float) -> tuple[QueuedRequest, float]:
    """Let one request go as early as it may, and tell when that was."""
    with limiter.enqueue(0) as place:
        while wait := limiter.seconds_to_wait(place, now):
            now += wait
    return place, now


@given(st.integers(1, 12), st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_never_more_than_the_budget_in_any_ten_seconds(budget: int, gaps: list[float]) -> None:
    """However they come, at most ``budget`` requests go in any ten seconds, and none waits longer than it must."""
    limiter, clock, times = RateLimiter(budget), 1000.0, []
    for gap in gaps:
        came = clock + gap
        _, clock = sent(limiter, came)
        times.append(clock)
        earliest = times[-1 - budget] + PERIOD if len(times) > budget else 0.0
        assert clock == pytest.approx(max(came, earliest))


def test_a_hold_holds_those_who_wait_already() -> None:
    """After a 429 nobody goes before the server's time is up, and then in the order they came in."""
    limiter = RateLimiter(2)
    sent(limiter, 99.0)
    sent(limiter, 99.0)
    with limiter.enqueue(0) as first, limiter.enqueue(0) as second:
        assert limiter.seconds_to_wait(first, 100.0)
        limiter.pause(100.0, 50.0)
        assert limiter.seconds_to_wait(second, 99 + PERIOD)
        assert limiter.seconds_to_wait(first, 149.9) == pytest.approx(0.1)
        assert [limiter.seconds_to_wait(place, 150.0) for place in (first, second)] == [0.0, 0.0]


def test_who_has_most_to_read_goes_first() -> None:
    """Of one owner's cursors the one with most pages left goes first; another owner has a turn of its own."""
    limiter = RateLimiter(2)
    sent(limiter, 100.0)
    sent(limiter, 105.0)
    with limiter.enqueue(0, 2.0) as short, limiter.enqueue(0, 9.0) as long, limiter.enqueue(1) as another:
        order: list[QueuedRequest] = []
        for now in (100 + PERIOD, 105 + PERIOD, 100 + 2 * PERIOD):
            order += [
                place
                for place in (short, long, another)
                if place not in order and not limiter.seconds_to_wait(place, now)
            ]
    assert order == [another, long, short]


def test_who_goes_away_leaves_the_line() -> None:
    """A request that is given up while it waits takes nobody's turn."""
    limiter = RateLimiter(1)
    sent(limiter, 100.0)
    with limiter.enqueue(0) as last:
        with suppress(KeyboardInterrupt), limiter.enqueue(0) as gone:
            assert limiter.seconds_to_wait(gone, 101.0)
            raise KeyboardInterrupt
        assert limiter.seconds_to_wait(last, 100 + PERIOD) == 0.0


def test_refusals_on_the_way_together_are_one() -> None:
    """Several 429s to requests of the same moment lower the cap once; one to a later request lowers it again."""
    limiter = RateLimiter(100)
    places = [sent(limiter, 100.0)[0] for _ in range(3)]
    for place in places:
        limiter.record_answer(place, 101.0, refused=True)
    assert limiter.cap == 75
    limiter.record_answer(sent(limiter, 102.0)[0], 103.0, refused=True)
    assert limiter.cap == 56


def test_a_cap_that_was_too_high_is_tried_again_late() -> None:
    """After a clean period the cap is raised, up to what was refused only after some, and never over the budget."""
    limiter = RateLimiter(10)
    limiter.record_answer(sent(limiter, 0.0)[0], 0.0, refused=True)
    caps = []
    for period in range(1, 9):
        sent(limiter, period * PERIOD + 0.01 * period)
        caps.append(limiter.cap)
    assert caps == [8, 9, 9, 10, 10, 10, 10, 10]


def test_how_many_at_a_time_a_budget_needs() -> None:
    """Latency times budget tells how many requests have to be under way, and follows both."""
    limiter = RateLimiter(10)
    assert limiter.useful_concurrency == 0.0
    limiter.record_answer(sent(limiter, 100.0)[0], 100 + PERIOD / 2, refused=False)
    assert limiter.useful_concurrency == pytest.approx(5.0)
    for second in range(9):
        limiter.record_answer(sent(limiter, 200.0 + second)[0], 200.0 + second, refused=False)
    assert 0.5 < limiter.useful_concurrency < 1
    before = limiter.useful_concurrency
    limiter.record_answer(sent(limiter, 300.0)[0], 301.0, refused=True)
    assert limiter.useful_concurrency == pytest.approx(0.7 * before)


@SERVERS
@TELLS
@pytest.mark.parametrize("latency", [0.3, 3.0])
def test_a_budget_is_used_up_and_never_overdrawn(server: str, latency: float, *, tells: bool) -> None:
    """Over 200 pages at 10 per 10 s there is no 429, and at most a twentieth of the time is lost."""
    for seed in range(3):
        share, refused = simulation.paced(server, 200, 10, latency, retry_after=tells, seed=seed)
        assert refused == 0
        assert share >= simulation.ENOUGH


@pytest.mark.parametrize("cursors", [1, 3, 8])
@pytest.mark.parametrize("first", [0.1, 3.0, 9.9])
def test_no_429_from_windows_by_the_server_s_clock(first: float, cursors: int) -> None:
    """A server whose windows begin when it likes is not overdrawn either."""
    world = simulation.World(simulation.Fixed(10, first), RateLimiter(10), 0.3)
    world.export(100, cursors)
    world.clock.run()
    assert not world.refused


@SERVERS
@TELLS
@pytest.mark.parametrize(("limit", "most"), [(1, 45), (3, 20), (5, 17), (8, 10)])
def test_a_budget_that_is_too_high_is_found_out(server: str, limit: int, most: int, *, tells: bool) -> None:
    """With a smaller real budget than ours the export goes on, with few 429s and little time lost."""
    world = simulation.World(simulation.SERVERS[server](limit), RateLimiter(10), 0.3, tells)
    world.export(200, 8)
    world.clock.run()
    assert world.passed[0] == 200
    assert len(world.refused) <= most
    assert world.clock.now <= simulation.fastest(server, 200, limit, 0.3, 8) / 0.88


@SERVERS
@TELLS
def test_a_budget_shared_with_others(server: str, *, tells: bool) -> None:
    """Where others take four tenths, we take what is left, with few 429s, and all of it when they have gone."""
    world = simulation.World(simulation.SERVERS[server](10), RateLimiter(10), 0.3, tells)
    world.others(80, 2.5)
    world.export(300, 8)
    world.clock.run()
    assert len(world.refused) <= 15
    assert world.clock.now <= 450
    assert world.limiter.cap >= 9


def test_exports_share_evenly() -> None:
    """Of two exports with many cursors each gets half, though one came later; neither has to wait for the other."""
    world = simulation.World(simulation.Sliding(10), RateLimiter(10), 0.3)
    world.export(100, 8, owner=1)
    world.export(100, 8, owner=2, delay=30.0)
    halfway: list[int] = []

    def look() -> Iterator[float]:
        yield 40.0
        before = world.passed[1], world.passed[2]
        yield 100.0
        halfway.extend((world.passed[1] - before[0], world.passed[2] - before[1]))

    world.clock.start(look())
    world.clock.run()
    assert abs(halfway[0] - halfway[1]) <= 4
    assert world.refused == []


def test_one_cursor_is_not_starved_by_eight() -> None:
    """An export with one cursor gets what it can use, up to half, beside one with eight."""
    world = simulation.World(simulation.Sliding(10), RateLimiter(10), 0.3, chance=random.Random(1))
    world.export(300, 8, owner=1)
    world.export(40, 1, owner=2, delay=20.0)
    world.clock.run()
    assert world.ended[2] - 20 <= 1.1 * 40 / 5 * PERIOD
    assert world.ended[1] > world.ended[2]


def test_one_budget_for_one_key_and_tier() -> None:
    """Clients with the same host, key and tier share a limiter; others do not."""
    first = rate_limiter_for("https://a", "key", "v1 query")
    assert rate_limiter_for("https://a", "key", "v1 query") is first
    others = [("https://b", "key", "v1 query"), ("https://a", "other", "v1 query"), ("https://a", "key", "v2 query")]
    assert all(rate_limiter_for(*place) is not first for place in others)
    assert rate_limiter_for("https://a", "key", "v1 query", 5) is not first


def test_a_budget_of_the_connection_s_own() -> None:
    """It replaces the documented one for reading runs, and not for what is not that."""
    budgets = {tier: rate_limiter_for("https://c", "key", tier, 7).budget for tier in BUDGETS}
    assert budgets == {**dict.fromkeys(BUDGETS, 7), "bulk export creation": 250, "other": 300, "storage": 100_000}


@pytest.mark.parametrize(
    ("days", "filter_", "budget"), [(1, None, 10), (8, None, 3), (1, 'search("x")', 3), (8, 'search("x")', 1)]
)
def test_v1_tiers_as_documented(days: int, filter_: str | None, budget: int) -> None:
    """A v1 query's budget follows how far back its window starts, and whether it searches."""
    start = datetime.now(UTC) - timedelta(days=days)
    query = run_query(project=Project(id="p", name="shop"), start=start, end=start + timedelta(hours=1), filter=filter_)
    assert BUDGETS[V1().tier(query)] == budget
