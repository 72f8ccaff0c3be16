"""Counting without reading, and how few requests that takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from airflow_langsmith.api import census
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Project
from airflow_langsmith.errors import ApiError
from airflow_langsmith.testing import LangSmithStandIn
from tests.queries import run_query

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])

ClientOf = Callable[..., LangSmithClient]


def some(count: int, **fields: Any) -> Iterator[dict[str, Any]]:
    """Make runs, a second apart."""
    for number in range(count):
        plain = {"id": str(UUID(int=number + 1)), "name": "answer", "run_type": "chain", "project_name": "shop"}
        yield {**plain, "start_time": START + number * SECOND, **fields}


def day(client: LangSmithClient, **narrowed: Any) -> RunQuery:
    """Ask for the day's runs."""
    return run_query(project=client.project("shop"), start=START, end=START + DAY, **narrowed)


@BOTH
@pytest.mark.parametrize("runs", [0, 99, 2500])
def test_a_count_takes_two_requests(langsmith: LangSmithStandIn, client_of: ClientOf, version: str, runs: int) -> None:
    """However many runs there are, a page of ids and one question count them, to the microsecond of the window."""
    langsmith.load(some(runs))
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
        langsmith.load(some(2500))
        client = client_of(langsmith, "v2")
        assert client.count(day(client, filter='eq(run_type, "chain")')) == 2500
        assert [len(langsmith.requests_to(path)) for path in ("/runs/query", "/runs/stats")] == [3, 1]


@pytest.mark.parametrize("status", [404, 405, 410, 501])
def test_a_count_after_the_end_of_stats(langsmith: LangSmithStandIn, client_of: ClientOf, status: int) -> None:
    """When the address that counts is gone, pages of ids count, and it is not asked again."""
    langsmith.load(some(2500))
    langsmith.misbehave("status", status=status, path="/runs/stats", times=None)
    client = client_of(langsmith, "v2")
    assert [client.count(day(client)) for _ in range(3)] == [2500, 2500, 2500]
    assert len(langsmith.requests_to("/runs/stats")) == 1


@pytest.mark.parametrize(("fault", "status"), [("status", 503), ("rate_limit", 429)])
def test_a_count_while_stats_fail(langsmith: LangSmithStandIn, client_of: ClientOf, fault: Any, status: int) -> None:
    """Stats that fail or are limited for long are not needed, but a server that fails altogether is an error."""
    langsmith.load(some(1500))
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
    langsmith.load(some(1500))
    langsmith.misbehave("status", status=200, body={"run_count": None}, path="/runs/stats")
    client = client_of(langsmith, "v2")
    assert client.count(day(client)) == 1500


@BOTH
def test_who_has_not_ended(langsmith: LangSmithStandIn, client_of: ClientOf, version: str) -> None:
    """Pending runs are found among any number of others with one request."""
    langsmith.load(some(1200, end_time=START + DAY))
    waiting = langsmith.add_run(project="shop", start_time=START, name="slow")
    langsmith.add_run(project="shop", start_time=START, name="other")
    client = client_of(langsmith, version)
    query = day(client, filter='eq(name, "slow")')
    before = client.requests
    assert [run.id for run in client.drive(census.pending(query, client.negotiator))] == [waiting]
    assert client.requests - before == 1


@BOTH
def test_what_was_given(langsmith: LangSmithStandIn, client_of: ClientOf, version: str) -> None:
    """Feedback is counted by run and key, and its pieces are there for those runs that have several."""
    one = langsmith.add_run(project="shop", start_time=START)
    two = langsmith.add_run(project="shop", start_time=START)
    langsmith.add_run(project="shop", start_time=START)
    other = langsmith.add_run(project="other", start_time=START)
    langsmith.add_feedback(one, key="user_score", score=True)
    langsmith.add_feedback(one, key="label", value="good")
    langsmith.add_feedback(two, key="user_score", score=0.25)
    langsmith.add_feedback(two, key="user_score", score=0.75)
    langsmith.add_feedback(two, key="note", comment="not asked for")
    langsmith.add_feedback(other, key="user_score", score=1)
    client = client_of(langsmith, version)
    query = day(client)
    found = client.drive(census.judged(query, ("user_score", "label"), client.negotiator))
    assert {run: {key: given.n for key, given in keys.items()} for run, keys in found.items()} == {
        one: {"user_score": 1, "label": 1},
        two: {"user_score": 2},
    }
    assert (found[one]["user_score"].avg, found[one]["label"].values) == (1.0, {"good": 1})
    pieces = client.drive(census.pieces(query, [two], ["user_score"], client.negotiator))
    assert sorted(piece.score or 0 for piece in pieces) == [0.25, 0.75]


@pytest.mark.parametrize(
    ("stats", "pieces", "tells"),
    [
        ({"n": 1, "avg": 0.0, "show_feedback_arrow": True, "values": {}}, 1, True),
        ({"n": 0, "avg": None, "show_feedback_arrow": True, "values": {"CONCEPTUAL": 1}}, 1, True),  # v1
        ({"n": 1, "avg": None, "values": {"CONCEPTUAL": 1}, "sources": ["api"]}, 1, True),  # v2
        ({"n": 9, "avg": 0.6666666666666666, "values": {"CORRECT": 6, "INCORRECT": 3}}, 9, False),
        ({"n": 1, "avg": 1, "values": {"CORRECT": 1}}, 1, False),  # v1: one piece or two
        ({"n": 0, "avg": None, "values": {}}, 0, False),  # v1: an object
        ({"n": None, "avg": None, "values": None}, 0, False),
        ({"n": 1, "avg": "NaN", "values": {}}, 1, False),  # mended: a score that is no number
        ({"n": 2, "avg": 0.5, "values": {}, "sources": ['{"type":"api","metadata":{}}']}, 2, False),
    ],
)
def test_what_stats_tell(stats: dict[str, Any], pieces: int, *, tells: bool) -> None:
    """Stats count their labels, too, and tell all of one score or one label, but nothing certain of anything else."""
    found = msgspec.json.decode(json.dumps(stats), type=census.Given)
    assert (found.n, found.is_one_piece) == (pieces, tells)


@pytest.mark.parametrize("many", [120, 51])
def test_pieces_of_many_runs(langsmith: LangSmithStandIn, client_of: ClientOf, many: int) -> None:
    """Pieces come for 50 runs a request, and all of them where there are more than fit a page."""
    runs = [langsmith.add_run(project="shop", start_time=START) for _ in range(many)]
    for run in runs:
        for score in range(3):
            langsmith.add_feedback(run, score=score)
    client = client_of(langsmith)
    before = client.requests
    project = Project(id=langsmith.project_id("shop"), name="shop")
    query = run_query(project=project, start=START, end=START + DAY)
    found = client.drive(census.pieces(query, runs, ["user_score"], client.negotiator))
    assert len({piece.id for piece in found}) == 3 * many
    assert client.requests - before <= 2 * -(-many // 50)
