"""The time that a client waits: the whole's, not the sum of its threads'."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

from airflow_langsmith.api.wait_clock import WaitClock
from airflow_langsmith.testing import LangSmithStandIn
from tests.queries import run_query

START = datetime(2026, 3, 1, tzinfo=UTC)


def test_threads_that_wait_together_wait_once() -> None:
    """Ten threads that wait at the same time have waited as long as the first to begin and the last to end."""
    clock, all_wait, first_to_last = WaitClock(), Barrier(10), []

    def wait(_: int) -> None:
        began = time.monotonic()
        with clock:
            all_wait.wait(10)
            all_wait.wait(10)
        first_to_last.append(time.monotonic() - began)

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(wait, range(10)))
    assert clock.seconds > 0
    assert clock.seconds < sum(first_to_last) / 2 + 1


def test_a_client_tells_how_long_it_waited(langsmith: LangSmithStandIn, client_of: Any) -> None:
    """What the rate limit and the pauses after failures cost is told, and nothing else."""
    langsmith.add_run(project="shop", start_time=START)
    client = client_of(langsmith, "v2", max_retries=3)
    query = run_query(project=client.project("shop"), start=START, end=START + timedelta(1))
    list(client.runs(query))
    without = client.waited_seconds
    langsmith.misbehave("rate_limit", retry_after=1)
    began = time.monotonic()
    list(client.runs(query))
    assert 0.9 < client.waited_seconds - without <= time.monotonic() - began
