"""Counting without reading, and how few requests that takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_langsmith.api.runs import list_pending
from airflow_langsmith.errors import ApiError
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf
from tests.queries import DAY, START, day, run_fields

BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


@BOTH
@pytest.mark.parametrize("runs", [0, 99, 2500])
def test_a_count_takes_two_requests(langsmith: LangSmithStandIn, client_of: ClientOf, version: str, runs: int) -> None:
    """However many runs there are, a page of ids and one question count them, to the microsecond of the window."""
    langsmith.load(run_fields(runs))
    for beside in (START - timedelta(microseconds=1), START + DAY):
        langsmith.add_run(project="shop", start_time=beside)
    client = client_of(langsmith, version)
    query = day(client)
    before = client.requests
    assert client.count(query) == runs
    assert client.requests - before == (2 if runs == 2500 else 1)


def test_a_count_without_stats(client_of: ClientOf) -> None:
    """A server that has no stats is counted by its pages."""
    with LangSmithStandIn(backend="smithdb") as langsmith:
        langsmith.load(run_fields(2500))
        client = client_of(langsmith, "v2")
        assert client.count(day(client, filter='eq(run_type, "chain")')) == 2500
        assert [len(langsmith.requests_to(path)) for path in ("/runs/query", "/runs/stats")] == [3, 1]


@pytest.mark.parametrize("status", [404, 405, 410, 501])
def test_a_count_after_the_end_of_stats(langsmith: LangSmithStandIn, client_of: ClientOf, status: int) -> None:
    """When the address that counts is gone, pages of ids count, and it is not asked again."""
    langsmith.load(run_fields(2500))
    langsmith.misbehave("status", status=status, path="/runs/stats", times=None)
    client = client_of(langsmith, "v2")
    assert [client.count(day(client)) for _ in range(3)] == [2500, 2500, 2500]
    assert len(langsmith.requests_to("/runs/stats")) == 1


@pytest.mark.parametrize(("fault", "status"), [("status", 503), ("rate_limit", 429)])
def test_a_count_while_stats_fail(langsmith: LangSmithStandIn, client_of: ClientOf, fault: Any, status: int) -> None:
    """Stats that fail or are limited for long are not needed, but a server that fails altogether is an error."""
    langsmith.load(run_fields(1500))
    langsmith.misbehave(fault, path="/runs/stats", times=None)
    client = client_of(langsmith, "v2", max_retries=1)
    assert client.count(day(client)) == 1500
    langsmith.behave()
    langsmith.misbehave(fault, times=None)
    with pytest.raises(ApiError) as caught:
        client.count(day(client))
    assert (caught.value.status, caught.value.retriable) == (status, True)


def test_a_count_that_is_null(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """Stats may say null for the count, as their schema allows; pages of ids count then."""
    langsmith.load(run_fields(1500))
    langsmith.misbehave("status", status=200, body={"run_count": None}, path="/runs/stats")
    client = client_of(langsmith, "v2")
    assert client.count(day(client)) == 1500


@BOTH
def test_who_has_not_ended(langsmith: LangSmithStandIn, client_of: ClientOf, version: str) -> None:
    """Pending runs are found among any number of others with one request."""
    langsmith.load(run_fields(1200, end_time=START + DAY))
    waiting = langsmith.add_run(project="shop", start_time=START, name="slow")
    langsmith.add_run(project="shop", start_time=START, name="other")
    client = client_of(langsmith, version)
    query = day(client, filter='eq(name, "slow")')
    before = client.requests
    assert [run.id for run in client.drive(list_pending(query, client.negotiator))] == [waiting]
    assert client.requests - before == 1
