"""The budget of requests, on a clock that the test turns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_langsmith.api.pacing import BUDGETS, PERIOD, Pacer, pacer_for, v1_tier

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize("budget", [1, 3, 10])
def test_never_more_than_the_budget_in_any_ten_seconds(budget: int) -> None:
    """However they come, at most ``budget`` requests go in any ten seconds, and none waits longer than it must."""
    pacer, clock, sent = Pacer(budget), 1000.0, []
    for request in range(5 * budget):
        clock += 0.05 * (request % 3)
        sent.append(clock + pacer.reserve(clock))
    assert all(later - earlier > PERIOD - 1e-6 for earlier, later in zip(sent, sent[budget:], strict=False))
    assert sent[budget - 1] < 1000 + PERIOD
    assert sent[-1] <= 1000 + 4 * PERIOD + 0.1 * budget


def test_a_hold_holds_everybody() -> None:
    """After a 429 nobody goes before the server's time is up; then the budget is as before."""
    pacer = Pacer(2)
    pacer.hold(100.0, 5.0)
    assert [round(100 + pacer.reserve(100.0), 2) for _ in range(3)] == [105.0, 105.0, 105.0 + PERIOD]


def test_one_budget_for_one_key_and_tier() -> None:
    """Clients with the same host, key and tier share a pacer; others do not."""
    first = pacer_for("https://a", "key", "v1 query")
    assert pacer_for("https://a", "key", "v1 query") is first
    others = [("https://b", "key", "v1 query"), ("https://a", "other", "v1 query"), ("https://a", "key", "v2 query")]
    assert all(pacer_for(*place) is not first for place in others)
    assert pacer_for("https://a", "key", "v1 query", 5) is not first


@pytest.mark.parametrize(
    ("days", "filters", "budget"), [(1, "", 10), (8, "", 3), (1, 'search("x")', 3), (8, 'search("x")', 1)]
)
def test_v1_tiers_as_documented(days: int, filters: str, budget: int) -> None:
    """A v1 query's budget follows how far back its window starts, and whether it searches."""
    assert BUDGETS[v1_tier(NOW - timedelta(days=days), filters, NOW)] == budget
